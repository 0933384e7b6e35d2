"""Optimizers' state from and to torch and Keras: training that moves over goes on as it would have where it began."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interop.worlds import float64, values

# isort: split
import keras
import tensorflow as tf

import tbptt
from tbptt import interop, nn, ops, optim
from tbptt.errors import ConfigurationError, StructureError, WeightsError
from tbptt.protocols import Backend

DRAW = np.random.default_rng(8)
X, Y = DRAW.normal(size=(6, 3, 4, 2)), DRAW.normal(size=(6, 3, 4, 1))

TORCH: list[tuple[str, dict[str, Any]]] = [  # the options have the same names in torch
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "betas": (0.8, 0.99), "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.001}),
    ("RMSprop", {"lr": 0.001, "centered": True, "momentum": 0.5}),
    ("Adagrad", {"lr": 0.01, "lr_decay": 0.1}),
]
# Keras on TensorFlow takes momentum and betas through float32: these are the same number there. Its Adagrad has its epsilon inside
# the root, ours outside.
B1, B2 = 0.875, 1 - 2.0**-9
HAT = {"betas": (B1, B2), "eps": 1e-7, "epsilon_hat": True}
KERAS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("SGD", {}, {}),
    ("SGD", {"momentum": B1}, {"momentum": B1}),
    ("SGD", {"momentum": B1, "nesterov": True}, {"momentum": B1, "nesterov": True}),
    ("Adam", HAT, {"beta_1": B1, "beta_2": B2}),
    ("Adam", {**HAT, "amsgrad": True}, {"beta_1": B1, "beta_2": B2, "amsgrad": True}),
    ("AdamW", {**HAT, "weight_decay": 0.25}, {"beta_1": B1, "beta_2": B2, "weight_decay": 0.25}),
    ("RMSprop", {"alpha": 0.9, "eps": 1e-7, "epsilon_inside": True}, {}),
    (
        "RMSprop",
        {"alpha": 0.9, "eps": 1e-7, "epsilon_inside": True, "centered": True, "momentum": 0.5},
        {"centered": True, "momentum": 0.5},
    ),
    ("Adagrad", {"eps": 0.0, "initial_accumulator_value": 0.1}, {"epsilon": 0.0}),
]


class Ours(nn.Module):
    def __init__(self) -> None:
        self.lstm, self.head = nn.LSTM(2, 3), nn.Linear(3, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0])


class Theirs(torch.nn.Module):
    """With one of the LSTM's biases frozen at zero, so that torch too trains one."""

    def __init__(self, one_bias: bool = True) -> None:
        super().__init__()
        self.lstm, self.head = torch.nn.LSTM(2, 3, batch_first=True), torch.nn.Linear(3, 1)
        self.double()
        if one_bias:
            torch.nn.init.zeros_(self.lstm.bias_hh_l0.requires_grad_(False))

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0])

    def trained(self) -> dict[str, Any]:
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def keras_model() -> Any:
    lstm = keras.layers.LSTM(3, return_sequences=True)
    return keras.Sequential([keras.Input((None, 2)), lstm, keras.layers.Dense(1)])


def train_ours(model: Any, optimizer: optim.Optimizer, windows: range) -> None:
    for i in windows:
        with tbptt.GradientTape() as tape:
            loss = nn.functional.mse_loss(model(ops.asarray(X[i])), ops.asarray(Y[i]))
        optimizer.apply(tape.gradient(loss, model.parameters()))


def train_torch(model: Any, optimizer: Any, windows: range) -> None:
    for i in windows:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(torch.tensor(X[i])), torch.tensor(Y[i])).backward()
        optimizer.step()


def train_keras(model: Any, optimizer: Any, windows: range) -> None:
    for i in windows:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(X[i]) - Y[i]) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)


def slots_of(optimizer: optim.Optimizer) -> dict[str, Any]:
    slots = optimizer.state_dict()["groups"][0]["slots"]
    return {name: [array.tolist() for array in arrays] for name, arrays in slots.items()}


def assert_arrays(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-12, err_msg=name)


def keras_arrays(model: Any) -> dict[str, Any]:
    return {str(i): array for i, array in enumerate(model.get_weights())}


def ours_as_keras(model: Any) -> dict[str, Any]:
    given = interop.keras_weights(model)
    return {str(i): array for i, array in enumerate([*given["lstm"], *given["head"]])}


@pytest.mark.parametrize(("name", "options"), TORCH)
def test_a_training_begun_in_torch_goes_on_here_and_back_again(backend: Backend, name: str, options: Any) -> None:
    theirs = Theirs()
    peer = getattr(torch.optim, name)(theirs.trained().values(), **options)
    train_torch(theirs, peer, range(2))
    with float64():
        ours = Ours()
        interop.load_torch_state_dict(ours, theirs.state_dict())
        own = getattr(optim, name)(ours.parameters(), **{**options, "lr": 0.5})
        names = list(theirs.trained())
        interop.load_torch_optimizer_state(own, ours, peer.state_dict(), parameter_names=names, step_count=2)
        assert (own.step_count, own.lr) == (2, options["lr"])
        train_ours(ours, own, range(2, 4))
        train_torch(theirs, peer, range(2, 4))
        wanted = {name: value.numpy() for name, value in theirs.state_dict().items()}
        assert_arrays(interop.torch_state_dict(ours), wanted)
        fresh = Theirs()
        fresh.load_state_dict(interop.torch_state_dict(ours, convert=torch.from_numpy))
        again = getattr(torch.optim, name)(fresh.trained().values(), lr=0.5)
        state = interop.torch_optimizer_state(own, ours, parameter_names=names, convert=torch.from_numpy)
        again.load_state_dict(state)
        train_torch(fresh, again, range(4, 6))
        train_torch(theirs, peer, range(4, 6))
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(fresh.state_dict()[key], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "options", "given"), KERAS)
def test_a_training_begun_in_keras_goes_on_here_and_back_again(
    backend: Backend, name: str, options: Any, given: Any
) -> None:
    with float64():
        model, peer = keras_model(), getattr(keras.optimizers, name)(0.01, **given)
        train_keras(model, peer, range(2))
        ours = Ours()
        interop.load_keras_weights(ours, {layer.name: layer.get_weights() for layer in model.layers})
        own = getattr(optim, name)(ours.parameters(), **{**options, "lr": 0.5})
        interop.load_keras_optimizer_state(own, ours, peer.variables)
        assert (own.step_count, own.lr) == (2, 0.01)
        train_ours(ours, own, range(2, 4))
        train_keras(model, peer, range(2, 4))
        assert_arrays(ours_as_keras(ours), keras_arrays(model))
        fresh, again = keras_model(), getattr(keras.optimizers, name)(0.5, **given)
        fresh.set_weights(list(ours_as_keras(ours).values()))
        again.build(fresh.trainable_variables)
        state = interop.keras_optimizer_state(own, ours)
        for variable, value in zip(again.variables, state, strict=True):
            variable.assign(value)
        train_keras(fresh, again, range(4, 6))
        train_keras(model, peer, range(4, 6))
        assert_arrays(keras_arrays(fresh), keras_arrays(model))


def test_two_trained_biases_of_torch_have_one_state_and_get_one(backend: Backend) -> None:
    for kind in ("LSTM", "GRU"):
        theirs = getattr(torch.nn, kind)(2, 3).double()
        peer = torch.optim.Adam(theirs.named_parameters())
        theirs(torch.tensor(X[0]))[0].square().sum().backward()
        peer.step()
        with float64():
            ours = getattr(nn, kind)(2, 3)
            own = optim.Adam(ours.parameters())
            interop.load_torch_optimizer_state(own, ours, peer.state_dict())
            given = interop.torch_optimizer_state(own, ours)
        for number, state in peer.state_dict()["state"].items():
            for slot, value in state.items():
                np.testing.assert_allclose(given["state"][number][slot], value, rtol=1e-12, err_msg=f"{number} {slot}")


def test_both_rows_of_a_keras_grus_bias_have_one_state_and_get_one(backend: Backend) -> None:
    with float64():
        layer, peer = keras.layers.GRU(3), keras.optimizers.Adam()
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(X[0]) ** 2)
        peer.apply(tape.gradient(loss, layer.trainable_variables), layer.trainable_variables)
        ours = nn.GRU(2, 3)
        own = optim.Adam(ours.parameters())
        interop.load_keras_optimizer_state(own, ours, peer.variables)
        for found, variable in zip(interop.keras_optimizer_state(own, ours), peer.variables, strict=True):
            np.testing.assert_allclose(found, variable.numpy(), rtol=1e-12)
        broken = [variable.numpy() for variable in peer.variables]
        broken[-1][0, 0] += 1
        with pytest.raises(WeightsError, match="twins: exp_avg_sq"):
            interop.load_keras_optimizer_state(own, ours, broken)


def test_biases_that_weight_decay_pulled_apart_have_no_exact_answer(backend: Backend) -> None:
    theirs = torch.nn.LSTM(2, 3).double()
    peer = torch.optim.Adam(theirs.parameters(), weight_decay=0.1)
    theirs(torch.tensor(X[0]))[0].square().sum().backward()
    peer.step()
    ours = nn.LSTM(2, 3)
    own = optim.Adam(ours.parameters())
    with pytest.raises(WeightsError, match=r"twins: exp_avg of the two biases.*weight decay"):
        interop.load_torch_optimizer_state(own, ours, peer.state_dict())


def test_parameters_are_found_by_the_names_the_state_has_or_that_are_given(backend: Backend) -> None:
    class Turned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.inner = torch.nn.Linear(3, 1), torch.nn.Linear(3, 3)

    class Chain(nn.Module):
        def __init__(self) -> None:
            self.inner, self.head = nn.Linear(3, 3), nn.Linear(3, 1)

    theirs = Turned()
    theirs.out(theirs.inner(torch.ones(1, 3))).sum().backward()
    named = torch.optim.SGD(theirs.named_parameters(), lr=0.1, momentum=0.9)
    plain = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    named.step()
    plain.step()
    names = [name for name, _ in theirs.named_parameters()]
    for peer, given in ((named, None), (plain, names)):
        ours = Chain()
        own = optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
        interop.load_torch_optimizer_state(own, ours, peer.state_dict(), {"head": "out"}, given)
        buffers = own.state_dict()["groups"][0]["slots"]["momentum_buffer"]
        np.testing.assert_allclose(buffers[2], theirs.out.weight.grad, rtol=1e-6)
        back = interop.torch_optimizer_state(own, ours, {"head": "out"}, names)
        np.testing.assert_allclose(back["state"][0]["momentum_buffer"], theirs.out.weight.grad, rtol=1e-6)
    with pytest.raises(WeightsError, match=r"missing: head\.weight[^!]*unexpected: out\.weight"):
        interop.load_torch_optimizer_state(own, ours, named.state_dict())


def test_keras_layers_in_another_order_are_named(backend: Backend) -> None:
    ours = Ours()
    own = optim.Adam(ours.parameters())
    given = interop.keras_optimizer_state(own, ours, order=["head", "lstm"])
    assert [array.shape for array in given[2::2]] == [(3, 1), (1,), (2, 12), (3, 12), (12,)]
    given[2] = given[2] + 7
    interop.load_keras_optimizer_state(
        own, ours, {str(i): array for i, array in enumerate(given)}, order=["head", "lstm"]
    )
    assert own.state_dict()["groups"][0]["slots"]["exp_avg"][3].tolist() == [[7.0] * 3]
    with pytest.raises(ConfigurationError, match="lstm, head once"):
        interop.keras_optimizer_state(own, ours, order=["head"])


def test_groups_frozen_parts_and_rates_that_are_functions(backend: Backend) -> None:
    theirs, ours = Theirs(), Ours()
    ours.lstm.freeze()
    peer = torch.optim.Adam([{"params": [theirs.head.weight]}, {"params": [theirs.head.bias], "lr": 0.7}], lr=0.3)
    groups = [{"params": [ours.head.weight], "lr": lambda step: 0.5}, {"params": [ours.head.bias]}]
    own = optim.Adam(groups)
    train_torch(theirs, peer, range(3))
    interop.load_torch_optimizer_state(own, ours, peer.state_dict())
    assert own.step_count == 3
    assert own.rates() == [0.5, 0.7]
    peer.load_state_dict(interop.torch_optimizer_state(own, ours, convert=torch.from_numpy))
    assert [group["lr"] for group in peer.param_groups] == [0.5, 0.7]
    with pytest.raises(ConfigurationError, match="different learning rates"):
        interop.keras_optimizer_state(own, ours)
    with pytest.raises(ConfigurationError, match="2 of the 2 parameters of Adam are not in this"):
        interop.torch_optimizer_state(own, Ours())


def test_what_was_never_updated_begins_here_as_there(backend: Backend) -> None:
    for name in ("SGD", "Adam", "Adagrad"):
        theirs, ours = Theirs(), Ours()
        options = {"momentum": 0.9} if name == "SGD" else {}
        peer = getattr(torch.optim, name)(theirs.trained().values(), lr=0.1, **options)
        own = getattr(optim, name)(ours.parameters(), lr=0.1, **options)
        names = list(theirs.trained())
        before = slots_of(own)
        interop.load_torch_optimizer_state(own, ours, peer.state_dict(), parameter_names=names)
        assert slots_of(own) == before
        state = interop.torch_optimizer_state(own, ours, parameter_names=names, convert=torch.from_numpy)
        peer.load_state_dict(state)
        train_torch(theirs, peer, range(1))
    uneven = Ours()
    own_adam = optim.Adam(uneven.parameters())
    own_adam.apply([None] * 4 + [ops.ones_like(uneven.head.bias)])
    with pytest.raises(WeightsError, match="updated 0, 1 times in 1 updates"):
        interop.keras_optimizer_state(own_adam, uneven)


def spoil(change: Callable[[Any], Any]) -> Any:
    theirs = Theirs()
    peer = torch.optim.Adam(theirs.trained().values())
    train_torch(theirs, peer, range(1))
    state = peer.state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: s["state"][0].pop("exp_avg"), r"missing: lstm\.weight_ih_l0\.exp_avg \(12, 2\)"),
        (lambda s: s["state"][0].update(sum=torch.zeros(1)), r"unexpected: lstm\.weight_ih_l0\.sum"),
        (lambda s: s["state"][4].update(exp_avg=torch.zeros(9)), r"shape: head\.bias\.exp_avg is \(9,\)"),
        (lambda s: s["param_groups"][0].update(maximize=True), "maximize"),
        (
            lambda s: s["param_groups"][0].update(weight_decay=0.1, decoupled_weight_decay=True),
            "weight_decay: is decoupled",
        ),
        (lambda s: s["param_groups"][0].update(amsgrad=True), "options: ours keeps"),
        (lambda s: s["param_groups"][0]["params"].pop(), "count: there are 5 names"),
    ],
)
def test_a_torch_state_that_does_not_fit_is_refused_whole(backend: Backend, change: Any, fault: str) -> None:
    state, ours = spoil(change), Ours()
    own = optim.Adam(ours.parameters())
    before = repr(own.state_dict())
    names = list(Theirs().trained())
    with pytest.raises(WeightsError, match=fault):
        interop.load_torch_optimizer_state(own, ours, state, parameter_names=names)
    assert repr(own.state_dict()) == before


def test_a_keras_state_that_does_not_fit_is_refused_whole(backend: Backend) -> None:
    ours = Ours()
    own = optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    given, before = interop.keras_optimizer_state(own, ours), repr(own.state_dict())
    cases = {
        "missing: head.bias.momentum_buffer": given[:-1],
        "unexpected: number 7": [*given, np.zeros(3), np.zeros(2)],
        "shape: lstm.kernel.momentum_buffer is": [*given[:2], given[2].T, *given[3:]],
        "learning rate: is 0": [given[0], np.array(0.0), *given[2:]],
        "missing: the count of updates": [],
    }
    for fault, variables in cases.items():
        with pytest.raises(WeightsError) as raised:
            interop.load_keras_optimizer_state(own, ours, variables)
        assert fault in str(raised.value)
        assert repr(own.state_dict()) == before


def test_what_torch_does_not_have_is_not_written(backend: Backend) -> None:
    ours = Ours()
    with pytest.raises(WeightsError, match="epsilon_hat: torch has no such option"):
        interop.torch_optimizer_state(optim.Adam(ours.parameters(), epsilon_hat=True), ours)


def test_the_float32_rate_of_keras_is_the_number_it_was_written_as(backend: Backend) -> None:
    ours = Ours()
    own = optim.SGD(ours.parameters(), lr=0.5)
    interop.load_keras_optimizer_state(own, ours, [np.array(4), np.array(0.001, "float32")])
    assert (own.lr, own.step_count) == (0.001, 4)
    own.lr = lambda step: 0.1 / (step + 1)
    interop.load_keras_optimizer_state(own, ours, [np.array(9)])  # Keras' schedule is no variable
    assert (own.lr, own.step_count) == (0.01, 9)


@pytest.mark.parametrize(("writer", "reader"), [("torch", "tensorflow"), ("tensorflow", "torch")])
def test_a_state_file_goes_on_on_the_other_engine(tmp_path: Path, writer: str, reader: str) -> None:
    path = tmp_path / "adam.safetensors"
    with float64():
        with tbptt.use_backend(writer):
            first = Ours()
            own = optim.Adam(first.parameters(), lr=0.02, amsgrad=True)
            train_ours(first, own, range(3))
            own.save_state(path)
            first.save_weights(tmp_path / "m.safetensors")
        with tbptt.use_backend(reader):
            second = Ours()
            second.load_weights(tmp_path / "m.safetensors")
            other = optim.Adam(second.parameters(), amsgrad=True)
            other.load_state(path)
            assert slots_of(other) == slots_of(own)
            assert (other.lr, other.step_count) == (0.02, 3)
            train_ours(second, other, range(3, 6))
        with tbptt.use_backend(writer):
            train_ours(first, own, range(3, 6))
    for name, value in values(first).items():
        np.testing.assert_allclose(values(second)[name], value, rtol=0, atol=1e-12)


def test_a_state_file_that_does_not_fit_is_refused(backend: Backend, tmp_path: Path) -> None:
    ours = Ours()
    optim.Adam(ours.parameters()).save_state(tmp_path / "adam.safetensors")
    ours.save_weights(tmp_path / "weights.safetensors")
    with pytest.raises(StructureError, match="state of Adam; expected the state of SGD"):
        optim.SGD(ours.parameters()).load_state(tmp_path / "adam.safetensors")
    with pytest.raises(WeightsError, match="no optimizer's state"):
        optim.SGD(ours.parameters()).load_state(tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="no weight file"):
        optim.SGD(ours.parameters()).load_state(tmp_path / "absent")


def test_a_state_of_another_kind_is_refused_although_it_is_empty(backend: Backend) -> None:
    ours, theirs = Ours(), Theirs()
    own = optim.Adam(ours.parameters())
    state = torch.optim.SGD(theirs.trained().values(), lr=0.1).state_dict()
    with pytest.raises(WeightsError, match="torch's is no Adam"):
        interop.load_torch_optimizer_state(own, ours, state, parameter_names=list(theirs.trained()))
    assert own.lr == 1e-3


def test_what_is_no_state_is_refused_with_the_way_to_one(backend: Backend) -> None:
    ours, peer = Ours(), torch.optim.Adam(Theirs().trained().values())
    own = optim.Adam(ours.parameters())
    given: Any
    for given in (peer, "adam.pt", {"optimizer": peer.state_dict()}):
        with pytest.raises(WeightsError, match=r"Hand over optimizer\.state_dict\(\)"):
            interop.load_torch_optimizer_state(own, ours, given)
    with pytest.raises(WeightsError, match=r"Hand over optimizer\.variables"):
        interop.load_keras_optimizer_state(own, ours, keras.optimizers.Adam())


def test_frozen_parameters_may_be_with_torchs_optimizer(backend: Backend) -> None:
    theirs, names = Theirs(), [name for name, _ in Theirs().named_parameters()]
    theirs.head.requires_grad_(False)
    peer = torch.optim.Adam(theirs.parameters(), lr=0.01)
    train_torch(theirs, peer, range(2))
    with float64():
        ours = Ours()
        interop.load_torch_state_dict(ours, theirs.state_dict())
        ours.head.freeze()
        own = optim.Adam(ours.parameters())
        interop.load_torch_optimizer_state(own, ours, peer.state_dict(), parameter_names=names)
        train_ours(ours, own, range(2, 4))
        fresh = Theirs()
        fresh.head.requires_grad_(False)
        fresh.load_state_dict(interop.torch_state_dict(ours, convert=torch.from_numpy))
        again = torch.optim.Adam(fresh.parameters())
        state = interop.torch_optimizer_state(own, ours, parameter_names=names, convert=torch.from_numpy)
        again.load_state_dict(state)
    train_torch(fresh, again, range(4, 6))
    train_torch(theirs, peer, range(2, 6))
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(fresh.state_dict()[key], value, rtol=0, atol=1e-12)
    theirs.head.requires_grad_(True)  # what has a state was trained, and is to be here
    train_torch(theirs, peer, range(1))
    with pytest.raises(WeightsError, match=r"unexpected: head\.weight"):
        interop.load_torch_optimizer_state(own, ours, peer.state_dict(), parameter_names=names)
