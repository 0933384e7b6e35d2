"""Models that inherit nothing of ours: found, asked for their parameters, and trained by the same loop as ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import backends, nn, optim, ownership
from tbptt.errors import ModuleProtocolError
from tbptt.nn import native
from tbptt.protocols import Backend

X = np.random.default_rng(1).normal(size=(4, 12, 3))


def layer(engine: str, built: bool = True) -> Any:
    """A dense layer of the engine, 3 to 2."""
    if engine == "torch":
        import torch

        return torch.nn.Linear(3, 2) if built else torch.nn.LazyLinear(2)
    import keras

    dense = keras.layers.Dense(2)
    if built:
        dense.build((None, 3))
    return dense


def model(engine: str) -> Any:
    """A recurrent model in the engine's own way, float64: ``(outputs, state) = model(inputs, state)``."""
    if engine == "torch":
        import torch

        class TorchNet(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.rnn = torch.nn.GRU(3, 5, batch_first=True)
                self.dropout = torch.nn.Dropout(0.5)
                self.head = torch.nn.Linear(5, 1)

            def forward(self, inputs: Any, state: Any = None) -> Any:
                features, state = self.rnn(inputs, state)
                return self.head(features), state

        torch.manual_seed(3)
        return TorchNet().double()
    import keras

    class KerasNet(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(dtype="float64")
            self.rnn = keras.layers.GRU(5, return_sequences=True, return_state=True, dtype="float64")
            self.head = keras.layers.Dense(1, dtype="float64")

        def call(self, inputs: Any, state: Any = None) -> Any:
            features, state = self.rnn(inputs, initial_state=state)
            return self.head(features), state

    keras.utils.set_random_seed(3)
    net = KerasNet()
    net(X[:, :2])
    return net


def adam(engine: str, parameters: Any) -> Any:
    if engine == "torch":
        import torch

        return torch.optim.Adam(parameters, lr=0.01)
    import keras

    return keras.optimizers.Adam(0.01)


def own_loop(engine: str, net: Any, windows: int) -> None:
    """Truncated backpropagation as people write it on that engine."""
    state = None
    if engine == "torch":
        optimizer = adam(engine, net.parameters())
        for window in np.split(X, windows, axis=1):
            import torch

            optimizer.zero_grad()
            outputs, state = net(torch.tensor(window), state)
            (outputs**2).mean().backward()
            optimizer.step()
            state = state.detach()
        return
    import tensorflow as tf

    optimizer = adam(engine, None)
    for window in np.split(X, windows, axis=1):
        with tf.GradientTape() as tape:
            outputs, state = net(tf.constant(window), state)
            loss = tf.reduce_mean(outputs**2)
        optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
        state = tf.stop_gradient(state)


@pytest.mark.parametrize("compile", ["auto", False])
def test_one_loop_trains_the_engines_own_models_as_the_engines_loop_does(backend: Backend, compile: bool | str) -> None:
    ours, theirs = model(backend.name), model(backend.name)
    engine = native.backend_of_model(ours)
    parameters = native.parameters_of(ours)
    before = [np.array(engine.tensors.to_numpy(p)) for p in parameters]
    optimizer = engine.interop.native_optimizer(adam(engine.name, parameters), parameters)
    assert optimizer is not None

    def step(window: Any, state: Any, rates: Any) -> Any:
        with tbptt.GradientTape(backend=engine) as tape:
            outputs, state = ours(window, state)
            loss = tbptt.ops.mean(outputs * outputs)
        optimizer.update(tape.gradient(loss, optimizer.parameters), [rates[0]])
        return tbptt.detach(state)

    compiled = engine.compilation.compile(step, compile, "step")
    state = None
    for window in np.split(X, 4, axis=1):
        rates: Any = optimizer.rates()
        if compiled.bakes_numbers:
            rates = engine.tensors.asarray(np.array(rates))
        state = compiled(engine.tensors.asarray(window), state, rates)
        optimizer.advance()
    own_loop(backend.name, theirs, 4)
    for found, expected, start in zip(parameters, native.parameters_of(theirs), before, strict=True):
        a, b = (np.asarray(engine.tensors.to_numpy(x)) for x in (found, expected))
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        assert np.abs(a - start).max() > 1e-3


def test_every_kind_of_model_is_asked_for_its_parameters(backend: Backend) -> None:
    class Ours(nn.Module):
        def __init__(self) -> None:
            self.child = held

    class Attributes:
        def __init__(self) -> None:
            self.name, self.width, self.table = "a name", 5, np.ones(3)
            self.parts = {"first": held}
            self.again = held
            self.scale = scale

    class Method:
        def parameters(self) -> Any:
            yield from (*of(held), scale, scale)

    class Named:
        def named_parameters(self) -> Any:
            return {"the.scale": scale}.items()

    held, scale = layer(backend.name), backend.tensors.parameter(np.ones(2))
    of = native.parameters_of
    first, second = backend.interop.named_parameters(held)

    assert [name for name, _ in native.named_parameters_of(held)] == [first[0], second[0]]
    expected: dict[Any, list[str]] = {
        Ours(): [f"child.{first[0]}", f"child.{second[0]}"],
        Attributes(): ["scale", f"parts.first.{first[0]}", f"parts.first.{second[0]}"],
        Method(): ["0", "1", "2"],
        Named(): ["the.scale"],
    }
    for one, names in expected.items():
        assert [name for name, _ in native.named_parameters_of(one)] == names
        assert native.backend_of_model(one).name == backend.name
    assert [id(p) for p in of(Ours())] == [id(first[1]), id(second[1])]
    assert [id(p) for p in of(Method())] == [id(first[1]), id(second[1]), id(scale)]
    assert [id(p) for p in of(Attributes())] == [id(scale), id(first[1]), id(second[1])]


def test_what_is_not_trained_is_no_parameter(backend: Backend) -> None:
    fixed = backend.tensors.parameter(np.ones(2), trainable=False)

    class Attributes:
        def __init__(self) -> None:
            self.fixed = fixed

    class Method:
        def parameters(self) -> Any:
            return [fixed]

    assert native.parameters_of(Attributes()) == native.parameters_of(Method()) == []
    assert [name for name, _ in native.named_tensors_of(Attributes())] == ["fixed"]
    assert [name for name, _ in native.named_tensors_of(Method())] == ["0"]
    assert native.backend_of_model(Attributes()).name == backend.name


def test_buffers_belong_into_a_weight_file(backend: Backend) -> None:
    if backend.name == "torch":
        import torch

        norm = torch.nn.BatchNorm1d(2)
        expected = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    else:
        import keras

        norm = keras.layers.BatchNormalization()
        norm.build((None, 2))
        expected = {"gamma", "beta", "moving_mean", "moving_variance"}

    class Attributes:
        def __init__(self) -> None:
            self.norm = norm

    assert len(native.parameters_of(norm)) == 2
    assert {name for name, _ in native.named_tensors_of(norm)} == expected
    assert {name for name, _ in native.named_tensors_of(Attributes())} == {f"norm.{name}" for name in expected}


def test_keras_variables_are_found_without_their_shells() -> None:
    import keras
    import tensorflow as tf

    class Attributes:
        def __init__(self) -> None:
            self.scale = keras.Variable(np.ones(2, "float32"))

        def forward(self) -> None: ...

    class Method(Attributes):
        def parameters(self) -> Any:
            return [self.scale]

    with tbptt.use_backend("tensorflow"):
        for one in (Attributes(), Method()):
            (found,) = native.parameters_of(one)
            assert found is one.scale.value
            assert isinstance(found, tf.Variable)


def test_a_tf_module_is_asked_too() -> None:
    import tensorflow as tf

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.Variable(tf.ones(1), name="weight")
            self.fixed = tf.Variable(tf.ones(1), name="fixed", trainable=False)

    net = Net()
    with tbptt.use_backend("tensorflow"):
        assert [name for name, _ in native.named_parameters_of(net)] == ["weight"]
        assert native.parameters_of(net)[0] is net.weight


def test_modules_switch_between_training_and_evaluation() -> None:
    import torch

    class Attributes:
        def __init__(self) -> None:
            self.parts = [torch.nn.Dropout(0.5), nn.Dropout(0.5)]

    with tbptt.use_backend("torch"):
        plain, net, ours = Attributes(), torch.nn.Sequential(torch.nn.Dropout(0.5)), nn.Dropout(0.5)
        for training in (False, True):
            for one in (plain, net, ours):
                native.set_mode(one, training)
            assert {part.training for part in (*plain.parts, net, net[0], ours)} == {training}


def test_keras_models_have_no_mode_to_switch() -> None:
    with tbptt.use_backend("tensorflow"):
        for built in (True, False):
            native.set_mode(layer("tensorflow", built), training=False)


def test_a_model_that_has_made_no_parameters_yet_says_so(backend: Backend) -> None:
    unbuilt = layer(backend.name, built=False)

    class Attributes:
        def __init__(self) -> None:
            self.layer = unbuilt

    for one in (unbuilt, Attributes()):
        with pytest.raises(ModuleProtocolError, match="has not made its parameters"):
            native.parameters_of(one)
    assert native.backend_of_model(unbuilt).name == backend.name


def test_a_keras_model_whose_layers_are_built_is_built() -> None:
    import keras

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.rest = keras.layers.LSTM(4), [keras.layers.Dense(2)]

    net = Net()
    with tbptt.use_backend("tensorflow"):
        net.first.build((None, None, 3))
        with pytest.raises(ModuleProtocolError, match="Net has not made its parameters"):
            native.parameters_of(net)
        net.rest[0].build((None, 4))
        assert not net.built
        assert len(native.parameters_of(net)) == 3 + 2


def test_classes_of_the_engine_are_told_from_those_that_inherit(backend: Backend) -> None:
    import keras
    import torch

    class Mine(keras.Model if backend.name == "tensorflow" else torch.nn.Module):  # type: ignore[misc]
        pass

    own, other = (keras.Model, torch.nn.Module) if backend.name == "tensorflow" else (torch.nn.Module, keras.Model)
    is_native = backend.interop.is_native_class
    assert is_native(own)
    assert is_native(type(layer(backend.name)))
    assert not any(is_native(cls) for cls in (other, Mine, nn.Module, object))
    if backend.name == "tensorflow":
        # what it is for: whose test_step is it?
        assert is_native(next(cls for cls in Mine.__mro__ if "test_step" in vars(cls)))


@pytest.mark.parametrize("other", ["torch", "tensorflow"])
def test_a_model_of_the_engine_that_is_not_the_current_one_is_recognised(
    monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    dense = layer(other)
    parameters = list(dense.parameters() if other == "torch" else dense.trainable_variables)
    current = {"torch": "tensorflow", "tensorflow": "torch"}[other]
    monkeypatch.setenv("TBPTT_BACKEND", current)
    questions: list[Any] = [
        lambda: native.backend_of_model(dense),
        lambda: optim.Adam(parameters).backend,
        lambda: nn.Sequential(dense).backend,
    ]
    for question in questions:
        # as in a process in which nothing of the other engine has been loaded yet
        monkeypatch.setattr(backends, "_loaded", {})
        monkeypatch.setattr(ownership, "_asked", set())
        backends.owners.clear()
        assert backends.current_backend().name == current
        assert question().name == other


def test_our_optimizers_train_native_models(backend: Backend) -> None:
    held = layer(backend.name)
    optimizer = optim.SGD(native.parameters_of(held), lr=0.5)
    before = [np.array(backend.tensors.to_numpy(p)) for p in optimizer.parameters]
    with tbptt.GradientTape() as tape:
        loss = tbptt.ops.sum(optimizer.parameters[0]) + 2.0 * tbptt.ops.sum(optimizer.parameters[1])
    optimizer.apply(tape.gradient(loss, optimizer.parameters))
    after = [np.array(backend.tensors.to_numpy(p)) for p in native.parameters_of(held)]
    for a, b, slope in zip(after, before, (1.0, 2.0), strict=True):
        np.testing.assert_allclose(a, b - 0.5 * slope, rtol=1e-6, atol=1e-6)
