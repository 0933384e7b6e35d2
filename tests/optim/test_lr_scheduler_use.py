"""What schedulers do to training, their state, and what they refuse."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
import torch
from optimizer_table import numpy, parameters, tensors

from tbptt import optim
from tbptt.errors import ConfigurationError, StructureError
from tbptt.optim import lr_scheduler
from tbptt.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def sgd(backend, *rates, optimizer=optim.SGD):
    return optimizer([{"params": parameters(backend, [np.ones(2)]), "lr": rate} for rate in rates or (0.5, 0.25)])


MAKERS = {
    "LambdaLR": lambda o: LambdaLR(o, lambda step: 0.9**step),
    "StepLR": lambda o: StepLR(o, 3),
    "MultiStepLR": lambda o: MultiStepLR(o, [4, 9]),
    "ConstantLR": lambda o: ConstantLR(o, total_iters=7),
    "LinearLR": lambda o: LinearLR(o, total_iters=11),
    "ExponentialLR": lambda o: ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 7, 0.01),
    "OneCycleLR": lambda o: OneCycleLR(o, [1.0, 0.1], 100),
    "ReduceLROnPlateau": lambda o: ReduceLROnPlateau(o, patience=1, cooldown=2),
    "SequentialLR": lambda o: SequentialLR(
        o, [LinearLR(o), ChainedScheduler([StepLR(o, 2), ExponentialLR(o, 0.9)])], [6]
    ),
    "ChainedScheduler": lambda o: ChainedScheduler([ConstantLR(o, total_iters=8), CosineAnnealingLR(o, 5)]),
}


def step(scheduler, number):
    metric = [(7, 5, 6, 6, 5, 5, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3)[number % 16]]
    scheduler.step(*(metric if isinstance(scheduler, ReduceLROnPlateau) else []))


# ------------------------------------------------------------------------------------------------ the updates


@pytest.mark.parametrize("mode", ["apply", "compiled", "eager"])
def test_updates_are_those_of_descent_by_hand(backend, mode):
    """p −= lr(t)·g with the rates of the closed forms, in the compiled step too, which is traced once."""
    generator = np.random.default_rng(0)
    starts = [generator.normal(size=(3, 2)), generator.normal(size=(4,))]
    gradients = [[generator.normal(size=start.shape) for start in starts] for _ in range(20)]
    held = parameters(backend, starts)
    optimizer = optim.SGD([{"params": held[:1], "lr": 0.4}, {"params": held[1:], "lr": 0.02}])
    scheduler = SequentialLR(optimizer, [LinearLR(optimizer, 0.25, total_iters=4), StepLR(optimizer, 5, 0.5)], [6])

    def update(values, rates):
        optimizer.update(values, [rates[0], rates[1]])
        return values[0]

    compiled = backend.compilation.compile(update, "auto" if mode == "compiled" else False, "update")
    for values in gradients:
        if mode == "apply":
            optimizer.apply(tensors(backend, values))
        else:
            rates = optimizer.rates()
            if compiled.bakes_numbers:
                rates = backend.tensors.asarray(np.array(rates))
            compiled(tensors(backend, values), rates)
            optimizer.advance()
        scheduler.step()
    expected = [start.copy() for start in starts]
    for t, values in enumerate(gradients):
        factor = min(0.25 + 0.75 * t / 4, 1.0) if t < 6 else 0.5 ** ((t - 6) // 5)
        for i, rate in enumerate((0.4, 0.02)):
            expected[i] -= rate * factor * values[i]
    assert max(np.abs(a - b).max() for a, b in zip(numpy(backend, held), expected, strict=True)) < 1e-13
    assert compiled.traces <= 1


@pytest.mark.parametrize("name", MAKERS)
def test_every_optimizer_takes_every_scheduler(backend, name):
    for optimizer_class in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad):
        optimizer = sgd(backend, optimizer=optimizer_class)
        before = [{key: value for key, value in group.items() if key != "lr"} for group in optimizer.param_groups]
        scheduler = MAKERS[name](optimizer)
        seen = [optimizer.rates()]
        for number in range(10):
            step(scheduler, number)
            seen.append(optimizer.rates())
            assert scheduler.get_last_lr() == seen[-1]
        assert any(rates != seen[0] for rates in seen)
        assert [{k: v for k, v in group.items() if k != "lr"} for group in optimizer.param_groups] == before


# ------------------------------------------------------------------------------------------------ the state


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("stop", [0, 5, 8])
def test_a_run_goes_on_from_a_state_read_as_json(backend, name, stop):
    through, saved, resumed = sgd(backend), sgd(backend), sgd(backend)
    reference, scheduler = MAKERS[name](through), MAKERS[name](saved)
    for number in range(stop):
        step(reference, number)
        step(scheduler, number)
    state = json.loads(json.dumps(scheduler.state_dict(), allow_nan=False))
    other = MAKERS[name](resumed)
    resumed.load_state_dict(saved.state_dict())
    other.load_state_dict(state)
    assert other.state_dict() == scheduler.state_dict()
    assert other.get_last_lr() == scheduler.get_last_lr()
    for number in range(stop, 20):
        step(reference, number)
        step(other, number)
        assert resumed.rates() == through.rates() == other.get_last_lr()
    step(scheduler, stop)  # the one that was saved is no part of the other
    assert scheduler.state_dict() != other.state_dict()


def test_the_optimizers_state_knows_nothing_of_schedulers(backend):
    """What was saved with one loads without one, and the other way round."""
    with_one, without = sgd(backend), sgd(backend)
    StepLR(with_one, 3)
    without.load_state_dict(with_one.state_dict())
    with_one.load_state_dict(without.state_dict())


def test_a_state_shares_no_list_with_its_scheduler(backend):
    scheduler, other = MultiStepLR(sgd(backend), [4, 9]), MultiStepLR(sgd(backend), [5])
    state = scheduler.state_dict()
    other.load_state_dict(state)
    state["milestones"].append(11)
    scheduler.get_last_lr().append(0.0)
    assert scheduler.milestones == other.milestones == [4, 9]
    assert len(scheduler.get_last_lr()) == 2


def test_settings_come_from_the_state_and_functions_do_not(backend):
    saved = StepLR(sgd(backend), 2, gamma=0.5).state_dict()
    optimizer = sgd(backend)
    other = StepLR(optimizer, 3)
    other.load_state_dict(saved)
    assert (other.step_size, other.gamma) == (2, 0.5)
    state = LambdaLR(sgd(backend), lambda step: 1.0).state_dict()
    assert not any(callable(value) for value in state.values())
    assert "lr_lambdas" not in state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o, s: StepLR(o, 3).state_dict(), "state of a SequentialLR.*'StepLR'"),
        (lambda o, s: "state", "'str'"),
        (lambda o, s: {**s, "extra": 1}, "extra"),
        (lambda o, s: {k: v for k, v in s.items() if k != "last_epoch"}, "last_epoch"),
        (lambda o, s: {**s, "base_lrs": [0.1]}, "for 1 parameter groups; the optimizer has 2"),
        (lambda o, s: {**s, "_schedulers": s["_schedulers"][:1]}, "has 1 schedulers; expected 2"),
        (lambda o, s: {**s, "_schedulers": s["_schedulers"][::-1]}, "state of a LinearLR.*'ChainedScheduler'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(backend, change, message):
    optimizer = sgd(backend)
    scheduler = MAKERS["SequentialLR"](optimizer)
    advanced = MAKERS["SequentialLR"](sgd(backend))
    advanced.step()
    before = scheduler.state_dict()
    with pytest.raises(StructureError, match=message):
        scheduler.load_state_dict(change(sgd(backend), advanced.state_dict()))
    assert scheduler.state_dict() == before


# ------------------------------------------------------------------------------------------------ what is told apart


def test_only_the_plateau_asks_for_a_metric(backend):
    """The trainer tells by the signature of `step`."""
    for name, make in MAKERS.items():
        found = list(inspect.signature(make(sgd(backend)).step).parameters.values())
        if name == "ReduceLROnPlateau":
            assert [(p.name, p.default) for p in found] == [("metrics", inspect.Parameter.empty)]
        else:
            assert found == []


@pytest.mark.parametrize("name", MAKERS)
def test_arguments_have_torchs_names_order_and_defaults(name):
    """But for two: `OneCycleLR` does not cycle momentum, and what comes after that is by name only."""
    mine = inspect.signature(getattr(lr_scheduler, name)).parameters
    peer = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    missing = {"base_momentum", "max_momentum"} if name == "OneCycleLR" else set()
    assert list(mine) == [argument for argument in peer if argument not in missing]
    differing = {argument for argument in mine if mine[argument].default != peer[argument].default}
    assert differing == ({"cycle_momentum"} if name == "OneCycleLR" else set())


def test_a_scheduler_of_ones_own_says_only_what_the_rates_are(backend):
    class Warmed(lr_scheduler.LRScheduler):
        def __init__(self, optimizer, steps):
            self.steps = steps
            super().__init__(optimizer)

        def get_lr(self):
            return [rate * min(1.0, (1 + self.last_epoch) / self.steps) for rate in self.base_lrs]

    optimizer = sgd(backend)
    scheduler = Warmed(optimizer, 4)
    assert optimizer.rates() == [0.125, 0.0625]
    scheduler.step()
    assert scheduler.state_dict()["steps"] == 4
    assert "Warmed" in repr(scheduler) and "[0.25, 0.125] at step 1" in repr(scheduler)


# ------------------------------------------------------------------------------------------------ what is refused

REFUSED = [
    (lambda o: StepLR(o, 0), "step_size is 0; expected a whole number of at least 1"),
    (lambda o: StepLR(o, 2.5), "step_size is 2.5"),
    (lambda o: StepLR(o, True), "step_size is True"),
    (lambda o: StepLR(o, 3, -0.1), "gamma is -0.1"),
    (lambda o: StepLR(o, 3, float("nan")), "gamma is nan"),
    (lambda o: StepLR(o, 3, last_epoch=-2), "last_epoch is -2"),
    (lambda o: StepLR(o, 3, last_epoch=4), "had no scheduler before"),
    (lambda o: MultiStepLR(o, 30), "milestones is 30"),
    (lambda o: MultiStepLR(o, [-1]), "milestone is -1"),
    (lambda o: MultiStepLR(o, [1.5]), "milestone is 1.5"),
    (lambda o: ExponentialLR(o, "0.9"), "gamma is '0.9'"),
    (lambda o: ConstantLR(o, 0.0), "factor is 0.0; expected a number above 0 and at most 1"),
    (lambda o: ConstantLR(o, 1.5), "factor is 1.5"),
    (lambda o: ConstantLR(o, total_iters=0), "total_iters is 0"),
    (lambda o: LinearLR(o, 0.0), "start_factor is 0.0"),
    (lambda o: LinearLR(o, end_factor=1.1), "end_factor is 1.1"),
    (lambda o: LinearLR(o, total_iters=0), "total_iters is 0"),
    (lambda o: CosineAnnealingLR(o, 0), "T_max is 0"),
    (lambda o: CosineAnnealingLR(o, 5, -1.0), "eta_min is -1.0"),
    (lambda o: LambdaLR(o, 0.9), "lr_lambda is 0.9; expected a function"),
    (lambda o: LambdaLR(o, [abs]), "lr_lambda has 1 entries, the optimizer 2"),
    (lambda o: LambdaLR(o, lambda step: None), "returned None at step 0"),
    (lambda o: LambdaLR(o, lambda step: -1.0), "parameter group 0 the learning rate -0.5 at step 0"),
    (lambda o: LambdaLR(o, lambda step: float("nan")), "learning rate nan"),
    (lambda o: OneCycleLR(o, 0.1), "total_steps, or both"),
    (lambda o: OneCycleLR(o, 0.1, epochs=3), "steps_per_epoch=None"),
    (lambda o: OneCycleLR(o, 0.1, epochs=3, steps_per_epoch=0), "steps_per_epoch is 0"),
    (lambda o: OneCycleLR(o, 0.1, 0), "total_steps is 0"),
    (lambda o: OneCycleLR(o, 0.1, 10, cycle_momentum=True), "cannot cycle the momentum.*Leave out"),
    (lambda o: OneCycleLR(o, 0.1, 10, pct_start=30), "pct_start is 30"),
    (lambda o: OneCycleLR(o, 0.1, 10, anneal_strategy="sin"), "anneal_strategy is 'sin'; expected 'cos' or 'linear'"),
    (lambda o: OneCycleLR(o, [0.1], 10), "max_lr has 1 entries"),
    (lambda o: OneCycleLR(o, 0.0, 10), "max_lr is 0.0"),
    (lambda o: OneCycleLR(o, 0.1, 10, div_factor=0), "div_factor is 0"),
    (lambda o: OneCycleLR(o, 0.1, 10, final_div_factor=-1), "final_div_factor is -1"),
    (lambda o: ReduceLROnPlateau(o, "less"), "mode is 'less'; expected 'min' or 'max'"),
    (lambda o: ReduceLROnPlateau(o, factor=1.0), "factor is 1.0"),
    (lambda o: ReduceLROnPlateau(o, patience=-1), "patience is -1"),
    (lambda o: ReduceLROnPlateau(o, threshold=-1), "threshold is -1"),
    (lambda o: ReduceLROnPlateau(o, threshold_mode="relative"), "threshold_mode is 'relative'"),
    (lambda o: ReduceLROnPlateau(o, cooldown=0.5), "cooldown is 0.5"),
    (lambda o: ReduceLROnPlateau(o, min_lr=[0.1]), "min_lr has 1 entries"),
    (lambda o: ReduceLROnPlateau(o, min_lr=-1), "min_lr is -1"),
    (lambda o: ReduceLROnPlateau(o, eps=-1), "eps is -1"),
    (lambda o: SequentialLR(o, [], []), "no scheduler"),
    (lambda o: SequentialLR(o, [StepLR(o, 3)], [4]), r"milestones is \[4\] for 1 schedulers; expected 0"),
    (lambda o: SequentialLR(o, [StepLR(o, 3)] * 3, [4, 2]), "rising order"),
    (lambda o: SequentialLR(o, [StepLR(o, 3)] * 2, [0.5]), "milestone is 0.5"),
    (lambda o: SequentialLR(o, [StepLR(o, 3)] * 2, [4], 3), "last_epoch is 3"),
    (lambda o: SequentialLR(o, [StepLR(o, 3), ReduceLROnPlateau(o)], [4]), "without a metric"),
    (lambda o: ChainedScheduler([]), "no scheduler"),
    (lambda o: ChainedScheduler([StepLR(o, 3), abs]), "number 1 is a builtins"),
    (lambda o: ChainedScheduler([ReduceLROnPlateau(o)]), "without a metric"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_wrong_arguments_are_refused_and_leave_the_rates(backend, make, message):
    optimizer = sgd(backend)
    with pytest.raises(ConfigurationError, match=message):
        make(optimizer)
    assert optimizer.rates() == [0.5, 0.25]


def test_schedulers_of_two_optimizers_do_not_go_into_one(backend):
    one, other = sgd(backend), sgd(backend)
    for make in (
        lambda: SequentialLR(one, [StepLR(one, 3), StepLR(other, 3)], [4]),
        lambda: ChainedScheduler([StepLR(one, 3), StepLR(other, 3)]),
        lambda: ChainedScheduler([StepLR(one, 3)], other),
    ):
        with pytest.raises(ConfigurationError, match="belongs to another optimizer"):
            make()


@pytest.mark.parametrize("name", MAKERS)
def test_a_rate_that_is_a_function_is_one_schedule_already(backend, name):
    with pytest.raises(ConfigurationError, match=r"group 1 is a function.*Choose one"):
        MAKERS[name](sgd(backend, 0.1, lambda step: 0.1))
    if name in ("LambdaLR", "OneCycleLR"):  # they overwrite what they find
        return
    optimizer = sgd(backend)
    scheduler = MAKERS[name](optimizer)
    optimizer.lr = lambda step: 0.1
    with pytest.raises(ConfigurationError, match="Choose one"):
        step(scheduler, 0)


@pytest.mark.parametrize("name", MAKERS)
def test_something_else_is_no_optimizer(name):
    peer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(ConfigurationError, match=r"tbptt\.optim; received a torch"):
        MAKERS[name](peer)


def test_a_step_that_fails_changes_nothing(backend):
    optimizer = sgd(backend)
    scheduler = OneCycleLR(optimizer, 0.1, 5)
    for _ in range(5):
        scheduler.step()
    before, rates = scheduler.state_dict(), optimizer.rates()
    with pytest.raises(ConfigurationError, match="made for 5 steps and is asked for step 6"):
        scheduler.step()
    assert (scheduler.state_dict(), optimizer.rates()) == (before, rates)
    plateau = ReduceLROnPlateau(optimizer)
    before = plateau.state_dict()
    for metric in (None, "low", [1.0, 2.0]):
        with pytest.raises(ConfigurationError, match="a number or a scalar tensor"):
            plateau.step(metric)
    assert plateau.state_dict() == before
