"""The engine's own optimizers behind the face of `tbptt.optim.Optimizer`: the same steps as in the engine's own loop."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import ops, optim
from tbptt.errors import ConfigurationError, GradientError, StructureError
from tbptt.protocols import Backend, NativeOptimizer

DRAW = np.random.default_rng(4)
X = DRAW.normal(size=(7, 3))
Y = DRAW.normal(size=(7, 2))
KERNEL, BIAS = DRAW.normal(size=(3, 2)), DRAW.normal(size=2)


def wrapped(backend: Backend, native: Any, parameters: Any = ()) -> NativeOptimizer:
    optimizer = backend.interop.native_optimizer(native, list(parameters))
    assert optimizer is not None
    return optimizer


def torch_weights() -> list[Any]:
    import torch

    return [torch.nn.Parameter(torch.tensor(KERNEL)), torch.nn.Parameter(torch.tensor(BIAS))]


def torch_loss(weights: Any) -> Any:
    return ((torch_tensor(X) @ weights[0] + weights[1] - torch_tensor(Y)) ** 2).mean()


def torch_tensor(array: np.ndarray) -> Any:
    import torch

    return torch.tensor(array)


def dense(**options: Any) -> Any:
    import keras

    layer = keras.layers.Dense(2, dtype="float64", **options)
    layer.build((None, 3))
    layer.set_weights([KERNEL, BIAS])
    return layer


def keras_loss(layer: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean((layer(tf.constant(X)) - Y) ** 2)


def numbers(tensors: Any) -> list[np.ndarray]:
    return [np.array(ops.to_numpy(tensor)) for tensor in tensors]


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def run(optimizer: NativeOptimizer, loss: Callable[[], Any], updates: int, compile: bool | str = "auto") -> None:
    """The three pieces of an update, the middle one compiled, as the trainer does it."""
    backend = optimizer.backend

    def step(rates: Any) -> Any:
        with tbptt.GradientTape(backend=backend) as tape:
            value = loss()
        optimizer.update(tape.gradient(value, optimizer.parameters), [rates[i] for i in range(rates.shape[0])])
        return value

    compiled = backend.compilation.compile(step, compile, "step")
    for _ in range(updates):
        rates: Any = np.array(optimizer.rates())
        compiled(backend.tensors.asarray(rates) if compiled.bakes_numbers else rates)
        optimizer.advance()


TORCH = {
    "Adam": lambda torch, p: torch.optim.Adam(p, lr=0.03),
    "AdamW amsgrad": lambda torch, p: torch.optim.AdamW(p, lr=0.03, amsgrad=True),
    "SGD momentum": lambda torch, p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "two groups": lambda torch, p: torch.optim.RMSprop([{"params": p[:1], "lr": 0.02}, {"params": p[1:]}], lr=0.01),
    "rate in a tensor": lambda torch, p: torch.optim.SGD(p, lr=torch.tensor(0.1)),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_optimizers_step_as_in_a_loop_by_hand_to_the_bit(name: str) -> None:
    import torch

    ours, theirs = torch_weights(), torch_weights()
    with tbptt.use_backend("torch") as backend:
        optimizer = wrapped(backend, TORCH[name](torch, ours))
        run(optimizer, lambda: torch_loss(ours), 20)
    native = TORCH[name](torch, theirs)
    for _ in range(20):
        native.zero_grad()
        torch_loss(theirs).backward()
        native.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0].detach(), torch.tensor(KERNEL))
    assert optimizer.step_count == 20
    assert all(parameter.grad is None for parameter in ours)


KERAS = {
    "Adam": lambda keras: keras.optimizers.Adam(0.03),
    "SGD momentum": lambda keras: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "AdamW clipped": lambda keras: keras.optimizers.AdamW(0.03, clipnorm=0.1),
    "schedule": lambda keras: keras.optimizers.SGD(
        keras.optimizers.schedules.PiecewiseConstantDecay([3, 8], [0.1, 0.05, 0.01])
    ),
    "accumulation": lambda keras: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("compile", ["auto", False])
@pytest.mark.parametrize("name", KERAS)
def test_keras_optimizers_step_as_in_a_loop_by_hand(name: str, compile: bool | str) -> None:
    import keras
    import tensorflow as tf

    ours, theirs = dense(), dense()
    with tbptt.use_backend("tensorflow") as backend:
        parameters = [value for _, value in backend.interop.named_parameters(ours)]
        optimizer = wrapped(backend, KERAS[name](keras), parameters)
        run(optimizer, lambda: keras_loss(ours), 20, compile)
        native = KERAS[name](keras)
        for _ in range(20):
            with tf.GradientTape() as tape:
                loss = keras_loss(theirs)
            native.apply(tape.gradient(loss, theirs.trainable_variables), theirs.trainable_variables)
        close(ours.get_weights(), theirs.get_weights())
        assert np.abs(ours.get_weights()[0] - KERNEL).max() > 1e-3
        assert optimizer.step_count == 20
        assert optimizer.rates() == [float(native.learning_rate)]


def test_a_changed_rate_takes_effect_in_the_compiled_step_without_a_new_trace() -> None:
    import keras

    with tbptt.use_backend("tensorflow") as backend:
        layer, other = dense(), dense()
        optimizer = wrapped(backend, keras.optimizers.SGD(0.5), [layer.kernel, layer.bias])
        traced = []

        def loss() -> Any:
            traced.append(1)
            return keras_loss(layer)

        def step(rates: Any) -> Any:
            with tbptt.GradientTape() as tape:
                value = loss()
            optimizer.update(tape.gradient(value, optimizer.parameters), [rates[0]])
            return value

        compiled = backend.compilation.compile(step, "auto", "step")
        for change in (None, "param_groups", "native", "lr"):
            if change == "param_groups":
                optimizer.param_groups[0]["lr"] = 0.25
            elif change == "native":
                optimizer.native.learning_rate = 0.125
            elif change == "lr":
                optimizer.lr = 0.0625
            compiled(backend.tensors.asarray(np.array(optimizer.rates())))
        assert optimizer.param_groups[0]["lr"] == optimizer.lr == 0.0625
        assert len(traced) == compiled.traces == 1
        # the same by our own definition of plain descent
        own = optim.SGD(other.trainable_variables, lr=1.0)
        for rate in (0.5, 0.25, 0.125, 0.0625):
            with tbptt.GradientTape() as tape:
                value = keras_loss(other)
            own.update(tape.gradient(value, own.parameters), [rate])
        close(layer.get_weights(), other.get_weights())


def test_keras_constraints_hold_although_parameters_are_given_without_their_shells() -> None:
    import keras

    with tbptt.use_backend("tensorflow") as backend:
        layer = dense(kernel_constraint="NonNeg")
        parameters = [value for _, value in backend.interop.named_parameters(layer)]
        optimizer = wrapped(backend, keras.optimizers.SGD(0.1), parameters)
        run(optimizer, lambda: keras_loss(layer), 1)
        assert (layer.get_weights()[0] >= 0).all()
        assert (KERNEL < 0).any()


def test_an_optimizer_that_keras_has_built_keeps_its_variables() -> None:
    import keras

    with tbptt.use_backend("tensorflow") as backend:
        layer = dense()
        native = keras.optimizers.SGD(0.1)
        native.build([layer.bias])
        optimizer = wrapped(backend, native, [layer.kernel, layer.bias])
        run(optimizer, lambda: keras_loss(layer), 1)
        kernel, bias = layer.get_weights()
        assert np.array_equal(kernel, KERNEL)
        assert not np.array_equal(bias, BIAS)


def native_sgd(backend: Backend, lr: float = 0.1) -> tuple[NativeOptimizer, list[Any]]:
    """A momentum optimizer of the engine on two parameters, 1 and 2."""
    parameters = [backend.tensors.parameter(np.array([value])) for value in (1.0, 2.0)]
    if backend.name == "torch":
        import torch

        return wrapped(backend, torch.optim.SGD(parameters, lr=lr, momentum=0.9)), parameters
    import keras

    return wrapped(backend, keras.optimizers.SGD(lr, momentum=0.9), parameters), parameters


def test_a_parameter_without_a_gradient_is_left_alone(backend: Backend) -> None:
    optimizer, parameters = native_sgd(backend, lr=0.125)
    one = ops.asarray(np.array([1.0]))
    for _ in range(2):
        optimizer.update([one, None], optimizer.rates())
    # by hand: v = 1, then 0.9 + 1; w = 1 - 0.125 - 0.2375. Keras' momentum goes through float32.
    found = numbers(parameters)
    np.testing.assert_allclose(found, [[0.6375], [2.0]], rtol=1e-8)
    assert found[1] == 2.0


def test_no_gradient_at_all_is_an_error(backend: Backend) -> None:
    optimizer, _ = native_sgd(backend)
    with pytest.raises(GradientError, match="All 2 gradients are None"):
        optimizer.update([None, None], optimizer.rates())


def test_the_face_is_that_of_our_own_optimizers(backend: Backend) -> None:
    optimizer, parameters = native_sgd(backend, lr=0.5)
    own = optim.SGD(parameters, lr=0.5)
    assert optimizer.backend.name == own.backend.name == backend.name
    assert all(a is b for a, b in zip(optimizer.parameters, own.parameters, strict=True))
    assert optimizer.rates() == own.rates() == [0.5]
    assert optimizer.lr == optimizer.param_groups[0]["lr"] == 0.5
    assert {"params", "lr"} <= set(optimizer.param_groups[0])
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], parameters, strict=True))
    optimizer.lr = 0.25
    assert optimizer.rates() == [0.25]
    optimizer.param_groups[0]["lr"] = 0.125
    assert optimizer.lr == 0.125
    optimizer.advance()
    assert optimizer.step_count == 1
    assert not optimizer.uses_closure
    assert repr(optimizer) == f"<SGD of {backend.name}: 2 parameters, 1 updates done>"
    assert type(optimizer.native).__name__ == "SGD"
    for wrong in (-1.0, "much", lambda step: 0.1):
        with pytest.raises(ConfigurationError):
            optimizer.lr = wrong  # type: ignore[assignment]
    assert optimizer.lr == 0.125


def test_update_takes_the_rates_it_is_given(backend: Backend) -> None:
    optimizer, parameters = native_sgd(backend, lr=0.5)
    one = ops.asarray(np.array([1.0]))
    optimizer.update([one, one], [0.25])
    close(numbers(parameters), [np.array([0.75]), np.array([1.75])])


def test_what_is_no_optimizer_of_the_engine_is_none(backend: Backend) -> None:
    import keras
    import torch

    weight = backend.tensors.parameter(np.ones(2))
    foreign = {"torch": keras.optimizers.SGD(0.1), "tensorflow": torch.optim.SGD(torch_weights(), lr=0.1)}
    for other in (optim.SGD([weight], lr=0.1), foreign[backend.name], None, [1]):
        assert backend.interop.native_optimizer(other, [weight]) is None


def test_step_with_asks_once_and_for_nothing_to_be_computed_again(backend: Backend) -> None:
    optimizer, parameters = native_sgd(backend, lr=0.125)
    one = ops.asarray(np.array([1.0]))
    asked = []

    def evaluate(recompute: bool) -> Any:
        asked.append(recompute)
        return ops.asarray(3.0), [one, None]

    optimizer.step_with(evaluate)
    assert asked == [False]
    assert optimizer.step_count == 0
    close(numbers(parameters), [np.array([0.875]), np.array([2.0])])


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_evaluates_afresh_and_finds_the_minimum_of_a_quadratic(search: str | None) -> None:
    import torch

    ours, theirs = torch_weights(), torch_weights()
    asked = []
    with tbptt.use_backend("torch") as backend:
        optimizer = wrapped(backend, torch.optim.LBFGS(ours, max_iter=6, line_search_fn=search))

        def evaluate(recompute: bool) -> Any:
            asked.append(recompute)
            if not recompute:
                return ready
            with tbptt.GradientTape() as tape:
                loss = torch_loss(ours)
            return loss, tape.gradient(loss, ours)

        for _ in range(4):
            ready = evaluate(True)
            asked.clear()
            optimizer.step_with(evaluate)
            assert asked[0] is False
            assert all(asked[1:])
    assert optimizer.uses_closure
    native = torch.optim.LBFGS(theirs, max_iter=6, line_search_fn=search)

    def closure() -> Any:
        native.zero_grad()
        loss = torch_loss(theirs)
        loss.backward()
        return loss

    for _ in range(4):
        native.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    # least squares in closed form
    expected = np.linalg.lstsq(np.c_[X, np.ones(7)], Y, rcond=None)[0]
    np.testing.assert_allclose(np.r_[numbers(ours)[0], numbers(ours)[1][None]], expected, rtol=1e-4, atol=1e-4)


def test_torchs_schedulers_change_the_rates() -> None:
    import torch

    with tbptt.use_backend("torch") as backend:
        weights = torch_weights()
        optimizer = wrapped(backend, torch.optim.SGD(weights, lr=0.8))
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer.native, step_size=2, gamma=0.5)
        seen = []
        for _ in range(5):
            seen.append(optimizer.rates()[0])
            run(optimizer, lambda: torch_loss(weights), 1)
            scheduler.step()  # torch warns, and warnings are errors here, if it missed the optimizer's step before
    assert seen == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert optimizer.native.param_groups[0]["initial_lr"] == 0.8


def test_a_rate_that_is_a_schedule_of_keras_cannot_be_set() -> None:
    import keras

    with tbptt.use_backend("tensorflow") as backend:
        layer = dense()
        schedule: Any = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
        optimizer = wrapped(backend, keras.optimizers.SGD(schedule), [layer.kernel])
        assert optimizer.lr == pytest.approx(0.1)
        with pytest.raises(ConfigurationError, match="own schedule"):
            optimizer.lr = 0.5
        with pytest.raises(ConfigurationError, match="own schedule"):
            optimizer.param_groups[0]["lr"] = 0.5


def test_groups_with_different_rates_have_no_single_one() -> None:
    import torch

    with tbptt.use_backend("torch") as backend:
        optimizer = wrapped(backend, TORCH["two groups"](torch, torch_weights()))
        assert optimizer.rates() == [0.02, 0.01]
        with pytest.raises(ConfigurationError, match="different learning rates"):
            _ = optimizer.lr
        optimizer.lr = 0.5
        assert optimizer.rates() == [0.5, 0.5]


def test_a_loss_scale_that_nobody_would_apply_is_refused() -> None:
    import keras

    with tbptt.use_backend("tensorflow") as backend:
        layer = dense()
        for native in (
            keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
            keras.optimizers.SGD(0.1, loss_scale_factor=8.0),
        ):
            with pytest.raises(ConfigurationError, match="loss scale"):
                backend.interop.native_optimizer(native, [layer.kernel])


@pytest.mark.parametrize("name", [*TORCH, "LBFGS"])
def test_torch_state_goes_on_where_it_was(name: str) -> None:
    import torch

    def make(weights: Any) -> Any:
        return torch.optim.LBFGS(weights, max_iter=2) if name == "LBFGS" else TORCH[name](torch, weights)

    def go(optimizer: NativeOptimizer, weights: Any) -> None:
        def evaluate(recompute: bool) -> Any:
            with tbptt.GradientTape() as tape:
                loss = torch_loss(weights)
            return loss, tape.gradient(loss, weights)

        for _ in range(3):
            optimizer.step_with(evaluate)
            optimizer.advance()

    with tbptt.use_backend("torch") as backend:
        weights = torch_weights()
        first = wrapped(backend, make(weights))
        go(first, weights)
        state = copy.deepcopy(first.state_dict())
        copied = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
        go(first, weights)
        second = wrapped(backend, make(copied))
        second.load_state_dict(state)
        assert second.step_count == 3
        go(second, copied)
    assert all(torch.equal(a, b) for a, b in zip(weights, copied, strict=True))
    assert state["optimizer"] == type(first.native).__name__
    json.dumps([group["hyperparameters"] for group in state["groups"]])
    assert "torch" not in {type(leaf).__module__.partition(".")[0] for leaf in tbptt.tree.leaves(state)}


@pytest.mark.parametrize("name", KERAS)
def test_keras_state_goes_on_where_it_was(name: str) -> None:
    import keras

    with tbptt.use_backend("tensorflow") as backend:
        layer, copied = dense(), dense()
        first = wrapped(backend, KERAS[name](keras), layer.trainable_variables)
        run(first, lambda: keras_loss(layer), 3, compile=False)
        state = copy.deepcopy(first.state_dict())
        copied.set_weights(layer.get_weights())
        run(first, lambda: keras_loss(layer), 3, compile=False)
        second = wrapped(backend, KERAS[name](keras), copied.trainable_variables)
        second.load_state_dict(state)
        assert second.step_count == 3
        run(second, lambda: keras_loss(copied), 3, compile=False)
        close(layer.get_weights(), copied.get_weights())
    json.dumps([group["hyperparameters"] for group in state["groups"]])
    assert {type(leaf) for leaf in tbptt.tree.leaves(state)} <= {np.ndarray, str, int, float}


def test_a_state_of_something_else_is_refused(backend: Backend) -> None:
    optimizer, _ = native_sgd(backend)
    one = ops.asarray(np.array([1.0]))
    optimizer.update([one, one], optimizer.rates())
    state = optimizer.state_dict()
    for wrong in ({**state, "optimizer": "Adam"}, {"state": {}, "param_groups": []}):
        with pytest.raises(StructureError, match="expected the state of SGD"):
            optimizer.load_state_dict(wrong)
    short = copy.deepcopy(state)
    for slot in short["groups"][0]["slots"].values():
        slot.pop()
    with pytest.raises(StructureError, match="does not fit"):
        optimizer.load_state_dict(short)


def test_our_optimizers_take_the_variables_of_a_keras_model() -> None:
    import keras
    import tensorflow as tf

    with tbptt.use_backend("tensorflow"):
        model = dense()
        variables = model.trainable_variables
        assert all(isinstance(variable, keras.Variable) for variable in variables)
        grouped = optim.SGD([{"params": variables[:1]}, {"params": variables[1], "lr": 0.2}], lr=0.1)
        assert [[isinstance(p, tf.Variable) for p in group["params"]] for group in grouped.param_groups] == [[True]] * 2
        plain = [tf.Variable(tf.constant(value)) for value in (KERNEL, BIAS)]
        ours, theirs = optim.Adam(variables, lr=0.03), optim.Adam(plain, lr=0.03)
        for _ in range(3):
            with tbptt.GradientTape() as tape:
                loss = keras_loss(model)
            gradients = tape.gradient(loss, ours.parameters)
            ours.apply(gradients)
            theirs.apply(gradients)
        close(model.get_weights(), numbers(plain))
        assert not np.array_equal(model.get_weights()[0], KERNEL)


def test_an_optimizer_given_one_variable_of_keras_says_that_it_takes_several() -> None:
    with (
        tbptt.use_backend("tensorflow"),
        pytest.raises(ConfigurationError, match="takes an iterable"),
    ):
        optim.SGD(dense().kernel, lr=0.1)
