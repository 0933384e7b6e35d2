"""Learning rates, groups, missing gradients, state: what the core promises about every optimizer."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from optimizer_table import RULES, draw, largest_difference, numpy, parameters, rule_name, tensors

import tbptt.backends
from tbptt import optim
from tbptt.errors import ConfigurationError, GradientError, ShapeError, StructureError
from tbptt.testing.oracles import optimizers as oracle


def ones(backend, shape=(2,), dtype="float64"):
    return backend.tensors.parameter(np.ones(shape, dtype))


# ------------------------------------------------------------------------------------------------ learning rates


def test_a_rate_is_a_function_of_the_updates_done_so_far(backend):
    starts, gradients = draw(updates=12)
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1 / (1 + step)

    held = parameters(backend, starts)
    optimizer = optim.SGD(held, lr=rate, momentum=0.9)
    for update in gradients:
        optimizer.apply(tensors(backend, update))
    rates = [0.1 / (1 + step) for step in range(12)]
    expected = [oracle.sgd(s, [u[i] for u in gradients], rates, momentum=0.9) for i, s in enumerate(starts)]
    assert asked == list(range(12))
    assert largest_difference(numpy(backend, held), expected) < 1e-12


def test_a_rate_changed_between_updates_acts_at_the_next(backend):
    starts, gradients = draw(updates=4)
    held = parameters(backend, starts)
    optimizer = optim.Adam(held, lr=0.1)
    optimizer.apply(tensors(backend, gradients[0]))
    optimizer.param_groups[0]["lr"] = 0.02
    optimizer.apply(tensors(backend, gradients[1]))
    optimizer.lr = 0.03
    optimizer.apply(tensors(backend, gradients[2]))
    optimizer.lr = lambda step: 0.01 * step
    assert optimizer.lr == 0.03
    optimizer.apply(tensors(backend, gradients[3]))
    expected = [oracle.adam(s, [u[i] for u in gradients], [0.1, 0.02, 0.03, 0.03]) for i, s in enumerate(starts)]
    assert largest_difference(numpy(backend, held), expected) < 1e-12


def test_groups_have_hyperparameters_of_their_own(backend):
    starts, gradients = draw(updates=10)
    held = parameters(backend, starts)
    optimizer = optim.AdamW(
        [{"params": held[:2], "lr": 0.1, "amsgrad": True}, {"params": iter(held[2:]), "weight_decay": 0.0}], lr=0.01
    )
    assert optimizer.rates() == [0.1, 0.01]
    with pytest.raises(ConfigurationError, match="no single"):
        _ = optimizer.lr
    for update in gradients:
        optimizer.apply(tensors(backend, update))
    columns = [[update[i] for update in gradients] for i in range(len(starts))]
    expected = [oracle.adamw(starts[i], columns[i], 0.1, amsgrad=True) for i in range(2)]
    expected += [oracle.adamw(starts[i], columns[i], 0.01, weight_decay=0.0) for i in range(2, len(starts))]
    assert largest_difference(numpy(backend, held), expected) < 1e-12
    optimizer.lr = 0.5
    assert optimizer.rates() == [0.5, 0.5]


# ------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("rule", [RULES[2], RULES[8]], ids=rule_name)  # the suite has all of them
def test_a_parameter_without_a_gradient_is_left_alone_with_its_moments_and_count(backend, rule):
    optimizer_class, make_expected, options = rule
    starts, gradients = draw(updates=12)
    for step, update in enumerate(gradients):
        for i in range(len(update)):
            if (step + i) % 3 == 0 or (step < 4 and i == 1):
                update[i] = None
    held = parameters(backend, starts)
    optimizer = optimizer_class(held, **options)
    for update in gradients:
        optimizer.apply(tensors(backend, update))
    expected = [make_expected(s, [u[i] for u in gradients], **options) for i, s in enumerate(starts)]
    assert largest_difference(numpy(backend, held), expected) < 1e-12
    counts = [sum(update[i] is not None for update in gradients) for i in range(len(starts))]
    assert [int(step) for step in optimizer.state_dict()["groups"][0]["slots"]["step"]] == counts


def test_gradients_are_any_tree_whose_leaves_are_in_order(backend):
    starts = [np.ones(2), np.ones(3), np.ones(())]
    a, b, c = tensors(backend, [np.full(2, 1.0), np.full(3, 2.0), np.full((), 4.0)])
    expected = [np.zeros(2), -np.ones(3), np.full((), -3.0)]
    for given in ([a, b, c], (a, b, c), [[a], (b, c)], {"x": a, "y": [b, c]}, [a, {"z": (b, c)}]):
        held = parameters(backend, starts)
        optim.SGD(held, lr=1.0).apply(given)
        assert largest_difference(numpy(backend, held), expected) == 0.0
    held = parameters(backend, starts)
    optim.SGD({"b": held[1], "a": held[0], "c": held[2]}, lr=1.0).apply({"c": c, "b": b, "a": a})
    assert largest_difference(numpy(backend, held), expected) == 0.0


def test_all_gradients_none_is_an_error(backend):
    with pytest.raises(GradientError, match="All 2 gradients are None"):
        optim.SGD([ones(backend), ones(backend)]).apply([None, None])


@pytest.mark.parametrize("optimizer_class", [optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad])
def test_wrong_gradients_are_refused_before_anything_changes(backend, optimizer_class):
    held = [ones(backend, (2,)), ones(backend, (2, 3))]
    optimizer = optimizer_class(held)
    good = tensors(backend, [np.ones(2), np.ones((2, 3))])
    stranger = tbptt.backends.load("tensorflow" if backend.name == "torch" else "torch").tensors.asarray(np.ones(2))
    table = [
        (good[:1], StructureError, "2 parameters and received 1 gradients"),
        ([*good, good[0]], StructureError, "received 3"),
        ([good[1], good[0]], ShapeError, r"parameter 0 has the shape \(2, 3\)"),
        ([good[0], good[0]], ShapeError, "parameter 1"),
        ([stranger, good[1]], GradientError, "expected a tensor of " + backend.name),
        ([1.0, good[1]], GradientError, "float"),
        ([tensors(backend, [np.ones(2, "float32")])[0], good[1]], GradientError, "float32"),
    ]
    for gradients, error, message in table:
        with pytest.raises(error, match=message):
            optimizer.apply(gradients)
    assert optimizer.step_count == 0
    assert all(np.array_equal(value, np.ones_like(value)) for value in numpy(backend, held))
    assert all(int(step) == 0 for step in optimizer.state_dict()["groups"][0]["slots"]["step"])


# ------------------------------------------------------------------------------------------------ errors at the start


def test_what_cannot_be_optimized_is_refused(backend):
    weight, other = ones(backend), ones(backend)
    stranger = ones(tbptt.backends.load("tensorflow" if backend.name == "torch" else "torch"))
    table = [
        ([], "empty"),
        ([{"params": []}], "empty"),
        (iter([]), "empty"),
        ([weight, other, weight], "Parameters 0 and 2 are the same"),
        ([{"params": [weight]}, {"params": [weight]}], "Parameters 0 and 1 are the same"),
        ([weight, np.ones(2)], "Number 1 .*numpy.ndarray"),
        ([backend.tensors.asarray(np.ones(2))], "no parameter"),
        ([("name", weight)], "tuple"),
        (weight, "iterable"),
        (3, "iterable"),
        ([weight, {"params": [other]}], "not both"),
        ([{"params": [weight], "rate": 1.0}], "rate"),
        ([{"weights": [weight]}], "needs 'params'"),
        ([weight, stranger], "one engine"),
    ]
    for params, message in table:
        with pytest.raises(ConfigurationError, match=message):
            optim.Adam(params)


@pytest.mark.parametrize(
    ("optimizer_class", "options", "message"),
    [
        (optim.SGD, {"lr": -0.1}, "lr is -0.1"),
        (optim.SGD, {"lr": "fast"}, "lr is 'fast'"),
        (optim.SGD, {"lr": float("nan")}, "lr is nan"),
        (optim.SGD, {"momentum": -0.9}, "momentum"),
        (optim.SGD, {"weight_decay": -1}, "weight_decay"),
        (optim.SGD, {"nesterov": True}, "nesterov"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        (optim.Adam, {"lr": None}, "lr is None"),
        (optim.Adam, {"eps": -1e-8}, "eps"),
        (optim.Adam, {"betas": (0.9, 1.0)}, r"betas\[1\] is 1.0"),
        (optim.Adam, {"betas": (-0.1, 0.9)}, r"betas\[0\]"),
        (optim.Adam, {"betas": 0.9}, "betas"),
        (optim.Adam, {"betas": (0.9,)}, "betas"),
        (optim.AdamW, {"weight_decay": -1e-2}, "weight_decay"),
        (optim.RMSprop, {"alpha": 1.0}, "alpha"),
        (optim.RMSprop, {"eps": "small"}, "eps"),
        (optim.RMSprop, {"momentum": -1}, "momentum"),
        (optim.Adagrad, {"lr_decay": -1}, "lr_decay"),
        (optim.Adagrad, {"initial_accumulator_value": -0.1}, "initial_accumulator_value"),
    ],
)
def test_a_hyperparameter_out_of_range_is_refused(backend, optimizer_class, options, message):
    weight = ones(backend)
    with pytest.raises(ConfigurationError, match=message):
        optimizer_class([weight], **options)
    with pytest.raises(ConfigurationError, match=message):
        optimizer_class([{"params": [weight], **options}])


def test_a_rate_out_of_range_is_refused_later_too(backend):
    weight = ones(backend)
    optimizer = optim.SGD([weight], lr=lambda step: 1.0 - step)
    gradient = tensors(backend, [np.ones(2)])
    optimizer.apply(gradient)
    optimizer.apply(gradient)
    with pytest.raises(ConfigurationError, match=r"returned -1\.0 at step 2"):
        optimizer.apply(gradient)
    with pytest.raises(ConfigurationError, match="lr is -2"):
        optimizer.lr = -2
    assert optimizer.step_count == 2
    assert np.array_equal(numpy(backend, [weight])[0], np.zeros(2))


# ------------------------------------------------------------------------------------------------ the three pieces


def test_the_pieces_together_are_apply(backend):
    starts, gradients = draw(updates=5)
    whole, pieces = parameters(backend, starts), parameters(backend, starts)
    one, other = (
        optim.Adam(whole, lr=lambda step: 0.1 / (step + 1)),
        optim.Adam(pieces, lr=lambda step: 0.1 / (step + 1)),
    )
    for update in gradients:
        one.apply(tensors(backend, update))
        other.update(tensors(backend, update), other.rates())
        other.advance()
    assert one.step_count == other.step_count == 5
    assert largest_difference(numpy(backend, pieces), numpy(backend, whole)) == 0.0


def test_a_third_party_rule_needs_its_slots_and_one_call(backend):
    class Momentum(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def fills(self, group):
            return {"momentum_buffer": 0.0}

        def rule(self, parameters, gradients, slots, lr, group):
            self.backend.optimizers.sgd(parameters, gradients, slots, lr, 0.9, 0.0, False, 0.0)

    starts, gradients = draw(updates=5)
    held = parameters(backend, starts)
    optimizer = Momentum(held)
    for update in gradients:
        optimizer.apply(tensors(backend, update))
    expected = [oracle.sgd(s, [u[i] for u in gradients], 0.1, momentum=0.9) for i, s in enumerate(starts)]
    assert largest_difference(numpy(backend, held), expected) < 1e-12
    with pytest.raises(NotImplementedError, match="rule"):
        optim.Optimizer([ones(backend)], {"lr": 0.1}).apply(tensors(backend, [np.ones(2)]))


@pytest.mark.parametrize(
    "make_rate", [float, lambda rate: torch.tensor(rate, dtype=torch.float64)], ids=["number", "tensor"]
)
def test_torch_compile_takes_the_update_whole(make_rate):
    starts, gradients = draw(updates=6)
    backend = tbptt.backends.load("torch")
    held = parameters(backend, starts)
    optimizer = optim.Adam(held, lr=0.1, weight_decay=0.1)

    @torch.compile(backend="aot_eager", dynamic=False, fullgraph=True)
    def update(gradients, rate):
        optimizer.update(gradients, [rate])

    for arrays in gradients:
        update(tensors(backend, arrays), make_rate(0.1))
        optimizer.advance()
    expected = [oracle.adam(s, [u[i] for u in gradients], 0.1, weight_decay=0.1) for i, s in enumerate(starts)]
    assert largest_difference(numpy(backend, held), expected) < 1e-12


# ------------------------------------------------------------------------------------------------ state


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
@pytest.mark.parametrize("road", [("torch", "tensorflow"), ("tensorflow", "torch")], ids="-to-".join)
def test_a_state_continues_on_the_other_engine(rule, road):
    optimizer_class, make_expected, options = rule
    starts, gradients = draw(updates=14)
    gradients[3][1] = gradients[0][2] = None  # the parameters' own counts differ
    source, target = map(tbptt.backends.load, road)
    held = parameters(source, starts)
    optimizer = optimizer_class(held, **options)
    for update in gradients[:7]:
        optimizer.apply(tensors(source, update))
    state = optimizer.state_dict()
    optimizer.apply(tensors(source, gradients[0]))  # a state is a copy, not a view
    moved = parameters(target, numpy(source, held))
    for parameter, start, i in zip(moved, starts, range(len(starts)), strict=True):
        target.tensors.assign(parameter, make_expected(start, [u[i] for u in gradients[:7]], **options))
    other = optimizer_class(moved, **{**options, "lr": 0.9})
    other.load_state_dict(state)
    for update in gradients[7:]:
        other.apply(tensors(target, update))
    expected = [make_expected(s, [u[i] for u in gradients], **options) for i, s in enumerate(starts)]
    assert largest_difference(numpy(target, moved), expected) < 1e-12
    assert other.step_count == 14
    assert other.lr == options["lr"]


def test_a_state_is_arrays_and_numbers_that_json_can_hold(backend):
    optimizer = optim.Adam([ones(backend), ones(backend, ())], betas=(0.8, 0.99))
    optimizer.apply(tensors(backend, [np.ones(2), np.ones(())]))
    state = optimizer.state_dict()
    assert all(isinstance(x, np.ndarray) for xs in state["groups"][0]["slots"].values() for x in xs)
    numbers = json.loads(json.dumps([group["hyperparameters"] for group in state["groups"]]))
    for group, read in zip(state["groups"], numbers, strict=True):
        group["hyperparameters"] = read
    other = optim.Adam([ones(backend), ones(backend, ())])
    other.load_state_dict(state)
    assert other.param_groups[0]["betas"] == (0.8, 0.99)


def test_a_rate_that_is_a_function_stays_and_goes_on_counting(backend):
    optimizer = optim.SGD([ones(backend)], lr=lambda step: 1.0 / (1 + step))
    optimizer.apply(tensors(backend, [np.ones(2)]))
    state = optimizer.state_dict()
    assert "lr" not in state["groups"][0]["hyperparameters"]
    other = optim.SGD([ones(backend)], lr=lambda step: 2.0 / (1 + step))
    other.load_state_dict(state)
    assert other.rates() == [1.0]


def test_a_wrong_state_is_refused_before_anything_changes(backend):
    def trained(*shapes, optimizer_class=optim.Adam, **options):
        weights = [ones(backend, shape) for shape in shapes]
        optimizer = optimizer_class(weights, **options)
        optimizer.apply(tensors(backend, [np.ones(shape) for shape in shapes]))
        return optimizer

    optimizer = trained((2,), (3,))
    before = optimizer.state_dict()
    good = trained((2,), (3,), lr=0.5).state_dict()
    two = {**good, "groups": good["groups"] * 2}
    beta = {**good, "groups": [{**good["groups"][0]}]}
    beta["groups"][0]["hyperparameters"] = {**good["groups"][0]["hyperparameters"], "betas": [0.9, 2.0]}
    missing = {**good, "groups": [{**good["groups"][0]}]}
    missing["groups"][0]["hyperparameters"] = {"lr": 0.1}
    table = [
        ({}, StructureError, "keys"),
        ("state", StructureError, "str"),
        (trained((2,), (3,), optimizer_class=optim.AdamW).state_dict(), StructureError, "AdamW"),
        (trained((2,), (3,), amsgrad=True).state_dict(), StructureError, "max_exp_avg_sq"),
        (trained((2,)).state_dict(), StructureError, "expected 2, received 1"),
        (trained((2,), (4,)).state_dict(), ShapeError, r"\(4,\)"),
        (two, StructureError, "groups"),
        (missing, StructureError, "hyperparameters"),
        (beta, ConfigurationError, "betas"),
    ]
    for state, error, message in table:
        with pytest.raises(error, match=message):
            optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["step_count"] == before["step_count"] == 1
    assert after["groups"][0]["hyperparameters"] == before["groups"][0]["hyperparameters"]
    for name, arrays in before["groups"][0]["slots"].items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, after["groups"][0]["slots"][name], strict=True))
