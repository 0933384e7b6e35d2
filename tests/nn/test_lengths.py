"""Padded rows are the rows alone: outputs, states, losses and gradients, whatever the padding holds, compiled or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import counting, nn, ops, tree
from tbptt.data import Padded
from tbptt.dtypes import dtype_scope
from tbptt.errors import ShapeError
from tbptt.nn import functional
from tbptt.nn.lengths import row_lengths
from tbptt.protocols import Backend

F, H, C, T = 2, 3, 4, 9
LENGTHS = np.array([9, 4, 0, 7, 1])
B = len(LENGTHS)
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(B, T, F))
LABELS = DRAW.integers(0, C, size=(B, T))
STATE = DRAW.normal(size=(2, B, H))
BEYOND = np.arange(T) >= LENGTHS[:, None]
GARBAGE = np.where(BEYOND[:, :, None], np.nan, X)
STRANGE = np.where(BEYOND, 10**6, LABELS)  # no class, and not what is ignored
COTANGENTS = DRAW.normal(size=(2, 2, B, H))

LAYERS: dict[str, Callable[..., Any]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
    "relu": functools.partial(nn.RNN, nonlinearity="relu"),
}


def value(x: Any) -> np.ndarray:
    return np.asarray(ops.to_numpy(x))


def close(ours: Any, theirs: Any) -> None:
    for mine, other in zip(tree.leaves(ours), tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(value(mine), value(other), rtol=1e-10, atol=1e-12)


class Net:
    """A recurrent layer under a head, and one step of training without the update."""

    def __init__(self, kind: str, num_layers: int = 1, **options: Any) -> None:
        tbptt.seed_everything(3)
        with dtype_scope("float64"):
            self.layer = LAYERS[kind](F, H, num_layers=num_layers, **options)
            self.head = nn.Linear(H, C)
        self.parameters = self.layer.parameters() + self.head.parameters()

    def step(self, x: Any, labels: Any, lengths: Any, state: Any) -> tuple[Any, Any, list[Any]]:
        """Loss, state and gradients."""
        with tbptt.GradientTape() as tape:
            outputs, state = self.layer(x, state, lengths)
            logits = self.head(outputs)
            loss = functional.cross_entropy(logits, labels, lengths=lengths)
            loss = ops.add(loss, functional.mse_loss(outputs, ops.full_like(outputs, 0.3), lengths=lengths))
        return loss, tbptt.detach(state), tape.gradient(loss, self.parameters)


def rows_alone(net: Net, window: int) -> tuple[list[Any], list[Any]]:
    """Of each window the loss and gradients that rows trained alone, weighted by steps, add up to; the rows' states."""
    parts: dict[int, list[tuple[int, Any]]] = {}
    states = []
    for row, length in enumerate(LENGTHS):
        state = None
        batch = (X[row : row + 1, :length], LABELS[row : row + 1, :length])
        for index, (x, labels) in enumerate(tbptt.windows(batch, window) if length else ()):
            loss, state, gradients = net.step(x, labels, None, state)
            parts.setdefault(index, []).append((x.shape[1], [value(one) for one in (loss, *gradients)]))
        states.append(state)
    sums = [
        [sum(n * part[i] for n, part in of) / sum(n for n, _ in of) for i in range(1 + len(net.parameters))]
        for of in parts.values()
    ]
    return sums, states


@pytest.mark.parametrize(("window", "num_layers"), [(1, 1), (3, 2), (7, 1), (T, 2)])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_padded_rows_train_as_the_rows_alone(backend: Backend, kind: str, num_layers: int, window: int) -> None:
    net = Net(kind, num_layers)
    expected, alone = rows_alone(net, window)
    state, count = None, 0
    batch = {"x": GARBAGE, "labels": STRANGE, "lengths": LENGTHS}
    for count, part in enumerate(tbptt.windows(batch, window), 1):
        loss, state, gradients = net.step(part["x"], part["labels"], part["lengths"], state)
        close([loss, *gradients], expected[count - 1])
    assert count == len(expected)
    for row, own in enumerate(alone):
        ended = [value(leaf)[:, row] for leaf in tree.leaves(state)]
        close(
            ended,
            [np.zeros_like(part) for part in ended] if own is None else [value(x)[:, 0] for x in tree.leaves(own)],
        )


def through_the_end(net: Net, x: Any, state: Any, lengths: Any, rows: slice) -> tuple[Any, Any, list[Any]]:
    """Outputs, state, and gradients of a function of the state at the end alone, also to the start and the inputs."""
    start = [ops.asarray(part[:, rows]) for part in state]
    inputs = ops.asarray(x)
    with tbptt.GradientTape() as tape:
        tape.watch(start, inputs)
        outputs, end = net.layer(inputs, tuple(start) if len(start) > 1 else start[0], lengths)
        pairs = zip(tree.leaves(end), COTANGENTS, strict=False)
        loss = sum(ops.sum(ops.multiply(leaf, ops.asarray(weight[:, rows]))) for leaf, weight in pairs)
    return outputs, end, tape.gradient(loss, [*start, inputs, *net.layer.parameters()], unconnected_gradients="zero")


@pytest.mark.parametrize("kind", list(LAYERS))
def test_gradients_through_the_state_at_the_end_are_those_of_the_rows_alone(backend: Backend, kind: str) -> None:
    net = Net(kind, num_layers=2)
    state = [STATE, -STATE] if kind == "lstm" else [STATE]
    parts = len(state)
    outputs, end, gradients = through_the_end(net, GARBAGE, state, LENGTHS, slice(None))
    assert not value(outputs)[BEYOND].any()
    assert not value(gradients[parts])[BEYOND].any()
    totals = [np.zeros(parameter.shape) for parameter in net.layer.parameters()]
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        own_outputs, own_end, own = through_the_end(net, X[one, :length], state, None, one)
        np.testing.assert_allclose(value(outputs)[row, :length], value(own_outputs)[0], rtol=1e-10, atol=1e-12)
        close([value(leaf)[:, one] for leaf in tree.leaves(end)], own_end)
        close([value(gradient)[:, one] for gradient in gradients[:parts]], own[:parts])
        close(value(gradients[parts])[one, :length], own[parts])
        totals = [total + value(gradient) for total, gradient in zip(totals, own[parts + 1 :], strict=True)]
    close(gradients[parts + 1 :], totals)


def test_a_row_without_steps_keeps_its_state_to_the_bit(backend: Backend) -> None:
    for kind in LAYERS:
        for dtype in ("float32", "float64"):
            with dtype_scope(dtype):
                layer = LAYERS[kind](F, H, num_layers=2)
            start = ops.asarray(STATE.astype(dtype))
            inputs = ops.asarray(np.full((B, T, F), np.inf, dtype))
            _, end = layer(inputs, (start, start) if kind == "lstm" else start, np.zeros(B, int))
            assert all((value(leaf) == value(start)).all() for leaf in tree.leaves(end)), (kind, dtype)


def test_relu_does_not_grow_over_steps_that_nobody_asked_for(backend: Backend) -> None:
    layer = nn.RNN(1, 1, nonlinearity="relu", bias=False)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        setattr(layer, name, nn.Parameter(np.full((1, 1), 3.0, "float32")))
    with tbptt.GradientTape() as tape:
        outputs, state = layer(ops.ones((1, 100, 1)), None, [2])
        loss = ops.sum(state)
    assert value(state).item() == 12.0  # 3·1 + 3·3; 100 steps of it would overflow
    assert value(outputs).ravel()[:3].tolist() == [3.0, 12.0, 0.0]
    assert [value(g).item() for g in tape.gradient(loss, layer.parameters())] == [4.0, 3.0]


def test_a_mask_says_what_lengths_say_and_time_may_be_the_first_axis(backend: Backend) -> None:
    for kind in ("lstm", "rnn"):
        net, time_major = Net(kind, num_layers=2), Net(kind, num_layers=2, batch_first=False)
        x, turned = ops.asarray(GARBAGE), ops.asarray(np.moveaxis(GARBAGE, 1, 0))
        outputs, end = net.layer(x, None, LENGTHS)
        close(net.layer(x, None, ~BEYOND), (outputs, end))
        for lengths in (LENGTHS, ops.asarray(LENGTHS.astype("int32")), ~BEYOND.T):
            own_outputs, own_end = time_major.layer(turned, None, lengths)
            close((ops.moveaxis(own_outputs, 0, 1), own_end), (outputs, end))


def test_lengths_beyond_the_window_are_those_of_the_window(backend: Backend) -> None:
    net = Net("lstm", num_layers=2)
    x = ops.asarray(X)
    close(net.layer(x, None, LENGTHS + T), net.layer(x))
    assert value(row_lengths(LENGTHS + 5, x)).tolist() == [9, 9, 5, 9, 6]
    empty, end = net.layer(x[:, :0], (ops.asarray(STATE),) * 2, LENGTHS * 0)
    assert tuple(empty.shape) == (B, 0, H)
    close(end, (STATE, STATE))


def test_dropout_between_layers_drops_the_same_units(backend: Backend) -> None:
    net = Net("lstm", num_layers=2, dropout=0.5)
    runs = []
    for lengths in (None, np.full(B, T), LENGTHS):
        tbptt.seed_everything(1)
        runs += [value(net.layer(x, None, lengths)[0]) for x in tbptt.windows(X, T)]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(runs[2], np.where(BEYOND[:, :, None], 0, runs[0]), rtol=1e-12, atol=1e-14)
    net.layer.eval()
    assert not np.allclose(value(net.layer(ops.asarray(X))[0]), runs[0])


@pytest.mark.parametrize(("kind", "num_layers"), [("lstm", 2), ("gru", 1), ("rnn", 1)])
def test_compiled_is_eager_and_one_program_serves_all_lengths(backend: Backend, kind: str, num_layers: int) -> None:
    net = Net(kind, num_layers)
    compiled = backend.compilation.compile(net.step, "auto", "step")
    x, labels = ops.asarray(GARBAGE), ops.asarray(STRANGE)
    state = tbptt.detach(net.layer(ops.asarray(X))[1])
    for lengths in (LENGTHS, LENGTHS * 0, LENGTHS // 2):
        arguments = (x, labels, ops.asarray(lengths), state)
        close(compiled(*arguments), net.step(*arguments))
    assert (compiled.road, compiled.traces) in (("eager", 0), ("tf.function with XLA", 1))


# --- losses -----------------------------------------------------------------------------------------------------------

TARGETS = DRAW.normal(size=(B, T, F))
LOSSES: dict[str, tuple[Callable[..., Any], np.ndarray, np.ndarray, Any]] = {
    "mse": (functional.mse_loss, X, TARGETS, np.nan),
    "l1": (functional.l1_loss, X, TARGETS, np.inf),
    "huber": (functional.huber_loss, X, TARGETS, np.nan),
    "binary": (functional.binary_cross_entropy_with_logits, X, (TARGETS > 0) * 1.0, np.nan),
    "cross entropy": (functional.cross_entropy, DRAW.normal(size=(B, T, C)), LABELS, 10**6),
    "smooth": (
        functools.partial(functional.cross_entropy, label_smoothing=0.2, ignore_index=1),
        DRAW.normal(size=(B, T, C)),
        LABELS,
        -7,
    ),
    "of several": (functional.cross_entropy, DRAW.normal(size=(B, T, F, C)), DRAW.integers(0, C, (B, T, F)), 99),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", list(LOSSES))
def test_a_loss_is_that_of_the_counted_steps(backend: Backend, name: str, reduction: str) -> None:
    function, inputs, targets, strange = LOSSES[name]
    beyond = BEYOND.reshape(B, T, *[1] * (inputs.ndim - 2))
    garbage = ops.asarray(np.where(beyond, np.nan, inputs))
    wrong = ops.asarray(np.where(BEYOND.reshape(B, T, *[1] * (targets.ndim - 2)), strange, targets))
    counted = ops.asarray(inputs[~BEYOND])
    with tbptt.GradientTape() as tape:
        tape.watch(counted)
        expected = function(counted, ops.asarray(targets[~BEYOND]), reduction=reduction)
    expected_gradient = np.zeros(inputs.shape)
    expected_gradient[~BEYOND] = value(tape.gradient(expected, counted))
    for lengths in (LENGTHS, ~BEYOND, ops.asarray(LENGTHS)):
        with tbptt.GradientTape() as tape:
            tape.watch(garbage)
            loss = function(garbage, wrong, reduction=reduction, lengths=lengths)
        close(tape.gradient(loss, garbage), expected_gradient)
        if reduction == "none":
            assert not value(loss)[BEYOND].any()
            close(value(loss)[~BEYOND], expected)
        else:
            close(loss, expected)


def test_a_mean_weighs_as_many_steps_as_counted_and_nothing_where_none_did(backend: Backend) -> None:
    for function, inputs, targets, _ in LOSSES.values():
        x = ops.asarray(inputs)
        for lengths in (LENGTHS, LENGTHS * 0):
            with counting.recording(), tbptt.GradientTape() as tape:
                tape.watch(x)
                loss = function(x, ops.asarray(targets), lengths=lengths)
                count = float(value(counting.count_of(loss)))
            gradient = value(tape.gradient(loss, x))
            assert np.isfinite(value(loss)) and np.isfinite(gradient).all()
            if not lengths.any():
                assert (value(loss), count, gradient.any()) == (0.0, 0.0, False)
    with counting.recording():
        loss = functional.mse_loss(ops.asarray(X), ops.asarray(TARGETS), lengths=LENGTHS)
        assert float(value(counting.count_of(loss))) == LENGTHS.sum()
        loss = functional.cross_entropy(ops.asarray(DRAW.normal(size=(B, T, C))), LABELS, lengths=LENGTHS)
        assert float(value(counting.count_of(loss))) == LENGTHS.sum()


def test_metrics_count_counted_steps_only(backend: Backend) -> None:
    logits = DRAW.normal(size=(B, T, C))
    hits = (logits.argmax(-1) == LABELS)[~BEYOND]
    garbage = ops.asarray(np.where(BEYOND[:, :, None], np.nan, logits))
    with counting.recording():
        share = functional.accuracy(garbage, STRANGE, lengths=LENGTHS)
        assert float(share) == pytest.approx(hits.mean())
        assert float(value(counting.count_of(share))) == LENGTHS.sum()
        assert float(functional.accuracy(garbage, STRANGE, lengths=LENGTHS * 0)) == 0
        loss = functional.cross_entropy(garbage, STRANGE, lengths=LENGTHS)
        ours = functional.perplexity(garbage, STRANGE, lengths=LENGTHS)
        assert float(ours) == pytest.approx(np.exp(float(loss)))
        assert float(value(counting.count_of(ours))) == LENGTHS.sum()


def test_lengths_that_do_not_fit_are_refused(backend: Backend) -> None:
    layer = nn.LSTM(F, H)
    x = ops.zeros((B, T, F))
    for lengths, received in (
        (LENGTHS[:3], r"int64 of shape \(3,\)"),
        (LENGTHS * 1.0, r"float64 of shape \(5,\)"),
        (LENGTHS > 2, r"bool of shape \(5,\)"),
        (BEYOND.T, r"bool of shape \(9, 5\)"),
        (7, r"int64 of shape \(\)"),
    ):
        for call in (lambda le: layer(x, None, le), lambda le: functional.mse_loss(x, x, lengths=le)):
            with pytest.raises(ShapeError, match=rf"shape \(5,\), or a mask.*\(5, 9\); received {received}"):
                call(lengths)
    with pytest.raises(ShapeError, match="needs inputs with rows and steps"):
        functional.mse_loss(ops.zeros(3), ops.zeros(3), lengths=[1, 1, 1])


def test_windows_of_padded_rows_hand_out_what_layers_take(backend: Backend) -> None:
    net = Net("gru")
    states = []
    for window in (3, T):
        state = None
        for values, lengths in tbptt.windows(Padded(GARBAGE, LENGTHS), window):
            _, state = net.layer(values, state, lengths)
        states.append(state)
    close(states[0], states[1])
