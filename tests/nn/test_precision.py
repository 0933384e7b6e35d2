"""Half precision: layers compute in it, weights and gradients stay in float32, losses are taken in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops, optim, tree
from tbptt.errors import ConfigurationError
from tbptt.nn import functional
from tbptt.precision import compute_dtype, computing_in
from tbptt.protocols import Backend

EPSILON = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Largest relative error of rounding to each."""

X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype("float32")

LAYERS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "linear": (lambda: nn.Linear(5, 6), X),
    "linear, no bias": (lambda: nn.Linear(5, 6, bias=False), X),
    "embedding": (lambda: nn.Embedding(7, 6), np.array([[1, 2, 1], [6, 0, 1]])),
    "rnn": (lambda: nn.RNN(5, 6, num_layers=2), X),
    "relu rnn, time first": (lambda: nn.RNN(5, 6, nonlinearity="relu", batch_first=False), X),
    "lstm": (lambda: nn.LSTM(5, 6, num_layers=2), X),
    "lstm, no bias": (lambda: nn.LSTM(5, 6, bias=False), X),
    "gru": (lambda: nn.GRU(5, 6, num_layers=2), X),
    "rnn cell": (lambda: nn.RNNCell(5, 6), X[0]),
    "lstm cell": (lambda: nn.LSTMCell(5, 6), X[0]),
    "gru cell": (lambda: nn.GRUCell(5, 6), X[0]),
}


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.to_numpy(tbptt.stop_gradient(x)), dtype="float64")


def step(layer: nn.Module, x: Any, dtype: str | None) -> tuple[Any, list[Any]]:
    """What the layer answers, and the gradients of the sum of its squares."""
    with tbptt.GradientTape() as tape:
        with computing_in(dtype):
            answer = layer(x)
        outputs = ops.astype(tree.leaves(answer)[0], "float32")
        loss = ops.sum(ops.square(outputs))
    return answer, tape.gradient(loss, layer.parameters())


def close(actual: Any, expected: Any, epsilon: float) -> None:
    """Within a few dozen roundings of the largest entry."""
    np.testing.assert_allclose(
        array(actual), array(expected), rtol=0, atol=16 * epsilon * np.abs(array(expected)).max()
    )


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_in_half_and_keep_weights_and_gradients_in_full(backend: Backend, name: str, dtype: str) -> None:
    make, inputs = LAYERS[name]
    tbptt.seed_everything(1)
    layer, x = make(), ops.asarray(inputs)
    expected, expected_gradients = step(layer, x, None)
    check(layer, step(layer, x, dtype), expected, expected_gradients, dtype)


class Everything(nn.Module):
    def __init__(self) -> None:
        self.embedding, self.lstm, self.gru, self.rnn = nn.Embedding(7, 5), nn.LSTM(5, 6), nn.GRU(6, 6), nn.RNN(6, 6)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, tokens: Any) -> Any:
        outputs, states = self.embedding(tokens), []
        for layer in (self.lstm, self.gru, self.rnn):
            outputs, state = layer(outputs)
            states.append(state)
        return self.head(self.norm(outputs)), states


@pytest.mark.parametrize("dtype", EPSILON)
def test_a_compiled_model_of_all_of_them_does_so_too(backend: Backend, dtype: str) -> None:
    tbptt.seed_everything(1)
    model, tokens = Everything(), ops.asarray(np.array([[1, 2, 1], [6, 0, 1]]))
    expected, expected_gradients = step(model, tokens, None)
    run = backend.compilation.compile(lambda x: step(model, x, dtype), "auto", "everything")
    check(model, run(tokens), expected, expected_gradients, dtype)


def check(layer: nn.Module, found: Any, expected: Any, expected_gradients: list[Any], dtype: str) -> None:
    answer, gradients = found
    assert {ops.dtype(leaf) for leaf in tree.leaves(answer)} == {dtype}
    assert {ops.dtype(leaf) for leaf in (*layer.parameters(), *gradients)} == {"float32"}
    for actual, wanted in zip(tree.leaves(answer), tree.leaves(expected), strict=True):
        close(actual, wanted, EPSILON[dtype])
        assert not np.array_equal(array(actual), array(wanted))
    for actual, wanted in zip(gradients, expected_gradients, strict=True):
        close(actual, wanted, 4 * EPSILON[dtype])


@pytest.mark.parametrize("dtype", EPSILON)
def test_the_state_goes_from_window_to_window_whatever_its_dtype(backend: Backend, dtype: str) -> None:
    tbptt.seed_everything(1)
    lstm, x = nn.LSTM(5, 6), ops.asarray(X)
    start = (ops.ones((1, 3, 6)), ops.ones((1, 3, 6)))
    expected = lstm(x, start)
    with computing_in(dtype):
        _, state = lstm(x[:, :2], start)
        outputs, state = lstm(x[:, 2:], tbptt.detach(state))
    assert {ops.dtype(leaf) for leaf in (outputs, *state)} == {dtype}
    close(outputs, expected[0][:, 2:], EPSILON[dtype])
    close(state[1], expected[1][1], EPSILON[dtype])


@pytest.mark.parametrize("dtype", EPSILON)
def test_rows_with_lengths_and_dropout_work_in_half(backend: Backend, dtype: str) -> None:
    tbptt.seed_everything(1)
    lstm = nn.LSTM(5, 6, num_layers=2, dropout=0.5)
    with computing_in(dtype):
        outputs, (h, _) = lstm(ops.asarray(X), lengths=np.array([4, 2, 0]))
    assert ops.dtype(outputs) == ops.dtype(h) == dtype
    assert np.isfinite(array(outputs)).all() and not array(outputs)[1, 2:].any()
    np.testing.assert_array_equal(array(outputs)[1, 1], array(h)[1, 1])


@pytest.mark.parametrize("dtype", EPSILON)
def test_layer_norm_is_taken_in_float32_and_rounded_once(backend: Backend, dtype: str) -> None:
    layer = nn.LayerNorm(5)
    x = ops.astype(ops.asarray(X + 100), dtype)  # the mean alone needs more than eight bits
    with computing_in(dtype):
        answer = layer(x)
    assert ops.dtype(answer) == dtype
    exact = layer(ops.astype(x, "float32"))
    np.testing.assert_array_equal(array(answer), array(ops.astype(exact, dtype)))
    assert ops.dtype(layer(ops.asarray(X))) == "float32"


@pytest.mark.parametrize("dtype", EPSILON)
def test_losses_and_metrics_of_half_are_taken_in_float32(backend: Backend, dtype: str) -> None:
    logits = ops.astype(ops.asarray(X), dtype)
    full = ops.astype(logits, "float32")
    classes = np.random.default_rng(1).integers(0, 5, (3, 4))
    others = ops.astype(ops.asarray(X[::-1].copy()), dtype)
    losses: list[Callable[[Any], Any]] = [
        lambda x: functional.cross_entropy(x, classes, label_smoothing=0.1),
        lambda x: functional.accuracy(x, classes),
        lambda x: functional.perplexity(x, classes),
        lambda x: functional.mse_loss(x, others if x is logits else ops.astype(others, "float32")),
        lambda x: functional.l1_loss(x, others if x is logits else ops.astype(others, "float32")),
        lambda x: functional.huber_loss(x, ops.asarray(X[::-1].copy())),
        lambda x: functional.binary_cross_entropy_with_logits(x, ops.full((3, 4, 5), 0.25)),
    ]
    for loss in losses:
        with computing_in(dtype):
            inside = loss(logits)
        for value in (inside, loss(logits)):
            assert ops.dtype(value) == "float32"
            assert array(value) == array(loss(full))


def test_a_count_that_half_precision_does_not_hold_is_exact(backend: Backend) -> None:
    logits = ops.zeros((1, 3001, 2), dtype="bfloat16")
    targets = np.zeros((1, 3001), int)
    targets[0, 0] = 1
    assert array(functional.accuracy(logits, targets)) == np.float32(3000) / np.float32(3001)


def test_training_in_half_follows_training_in_full(backend: Backend) -> None:
    """A step of SGD on the parameters, which stay in float32 and take steps that bfloat16 would swallow."""

    def train(dtype: str | None) -> tuple[list[np.ndarray], list[float]]:
        tbptt.seed_everything(1)
        lstm, head = nn.LSTM(5, 8), nn.Linear(8, 5)
        model = nn.Sequential(lstm, head)
        optimizer, losses = optim.SGD(model.parameters(), lr=1e-3), []
        for _ in range(5):
            with tbptt.GradientTape() as tape, computing_in(dtype):
                loss = functional.mse_loss(head(lstm(ops.asarray(X))[0]), ops.asarray(X))
            optimizer.apply(tape.gradient(loss, model.parameters()))
            losses.append(float(array(loss)))
        return [array(value).copy() for value in model.parameters()], losses

    (full, full_losses), (half, half_losses) = train(None), train("bfloat16")
    np.testing.assert_allclose(half_losses, full_losses, rtol=0.02)
    assert half_losses[-1] < half_losses[0]
    for actual, wanted in zip(half, full, strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-4)
        assert not np.array_equal(actual, wanted)


def test_nothing_changes_outside_and_scopes_nest(backend: Backend) -> None:
    layer, x = nn.Linear(5, 6), ops.asarray(X)
    before = array(layer(x))
    assert compute_dtype() is None
    with computing_in(torch.bfloat16):
        assert compute_dtype() == "bfloat16"
        with computing_in(None):
            np.testing.assert_array_equal(array(layer(x)), before)
        with computing_in("float16"):
            assert ops.dtype(layer(x)) == "float16"
        assert ops.dtype(layer(x)) == "bfloat16"
    assert compute_dtype() is None
    np.testing.assert_array_equal(array(layer(x)), before)
    with pytest.raises(KeyError), computing_in("float16"):
        raise KeyError
    assert compute_dtype() is None


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_another_dtype_is_refused(backend: Backend, dtype: str) -> None:
    with pytest.raises(ConfigurationError, match="bfloat16 or float16"), computing_in(dtype):
        pass


@pytest.mark.parametrize("dtype", EPSILON)
def test_native_modules_of_torch_follow_by_autocast(dtype: str) -> None:
    with tbptt.use_backend("torch"):
        native, x = torch.nn.Linear(5, 6), torch.from_numpy(X)
        with computing_in(dtype):
            first = native(x)
            with computing_in(None):
                assert native(x).dtype == torch.float32
            with torch.no_grad():
                native.weight.zero_()
            second = native(x)  # no weight from before the update
        assert str(first.dtype) == str(second.dtype) == f"torch.{dtype}"
        assert torch.equal(second, native.bias.to(second.dtype).expand_as(second))
        assert native(x).dtype == torch.float32


def test_keras_layers_keep_their_own_policy() -> None:
    with tbptt.use_backend("tensorflow"), computing_in("bfloat16"):
        assert ops.dtype(keras.layers.Dense(3)(ops.asarray(X))) == "float32"
        assert ops.dtype(keras.layers.Dense(3, dtype="mixed_bfloat16")(ops.asarray(X))) == "bfloat16"


def test_computing_in_compiles_under_torch() -> None:
    with tbptt.use_backend("torch") as backend:
        layer, x = nn.Linear(5, 6), ops.asarray(X)

        def run(x: Any) -> Any:
            with computing_in("bfloat16"):
                return layer(x)

        assert torch.equal(torch.compile(run, backend="eager", fullgraph=True)(x), run(x))
        assert backend.name == "torch"
