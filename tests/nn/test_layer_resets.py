"""A row that begins anew inside a window is its segments, each run alone: values and every gradient, compiled or not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, tree
from tbptt.dtypes import dtype_scope
from tbptt.errors import ShapeError
from tbptt.precision import computing_in
from tbptt.protocols import Backend

F, H, T, B, L = 2, 3, 7, 6, 2
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(B, T, F))
LENGTHS = np.array([7, 4, 0, 7, 2, 5])
BEYOND = np.arange(T) >= LENGTHS[:, None]
RESETS = np.zeros((B, T), bool)
RESETS[1, [0, 2, 3, 6]] = RESETS[2, 1] = RESETS[3, 4] = RESETS[4, 0] = RESETS[5, [3, 5]] = True  # row 0 has none
STATE, INITIAL = DRAW.normal(size=(2, L, B, H)), DRAW.normal(size=(2, L, 1, H))
COTANGENTS, D_OUTPUTS = DRAW.normal(size=(2, L, B, H)), DRAW.normal(size=(B, T, H))

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
        np.testing.assert_allclose(value(mine), value(other), rtol=0, atol=1e-11 * max(1, np.abs(value(other)).max()))


def layer(kind: str, **options: Any) -> Any:
    tbptt.seed_everything(3)
    with dtype_scope("float64"):
        return LAYERS[kind](F, H, num_layers=L, **options)


def state_of(kind: str, parts: np.ndarray, rows: slice = slice(None)) -> Any:
    """Tensors (L, B, H) as the layer's state."""
    tensors = tuple(ops.asarray(part[:, rows]) for part in parts)
    return tensors if kind == "lstm" else tensors[0]


def run(net: Any, x: Any, state: Any, initial: Any, d_outputs: Any, d_state: Any, **rest: Any) -> tuple[Any, ...]:
    """Outputs, state at the end, gradients of inputs, state and initial, and of the weights."""
    x = ops.asarray(x)
    with tbptt.GradientTape() as tape:
        tape.watch(x, state, initial)
        outputs, end = net(x, state, initial=initial, **rest)
        loss = ops.sum(ops.multiply(outputs, ops.asarray(d_outputs)))
        for part, weight in zip(tree.leaves(end), d_state, strict=False):
            loss = ops.add(loss, ops.sum(ops.multiply(part, ops.asarray(weight))))
    sources = (x, state, initial, net.parameters())
    gradients = tape.gradient(loss, tree.leaves(sources), unconnected_gradients="zero")
    return outputs, end, *tree.unflatten(tree.structure(sources), gradients)


def segments(lengths: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Row, first step and step after the last, of what counts."""
    for row, length in enumerate(lengths):
        cuts = [0, *(t for t in range(1, length) if RESETS[row, t])]
        yield from ((row, *pair) for pair in zip(cuts, [*cuts[1:], length], strict=True))


def by_segments(kind: str, net: Any, lengths: np.ndarray) -> list[Any]:
    """What `run` gives, from runs of the same layer without resets, a segment at a time."""
    outputs, d_inputs = np.zeros((B, T, H)), np.zeros((B, T, F))
    parts = 2 if kind == "lstm" else 1
    end, d_state, d_initial = STATE[:parts].copy(), np.zeros((parts, L, B, H)), np.zeros((parts, L, 1, H))
    d_weights = [np.zeros(tuple(each.shape)) for each in net.parameters()]
    for row, first, last in segments(lengths):
        one, at = slice(row, row + 1), (slice(row, row + 1), slice(first, last))
        is_begun, is_end = first < last and RESETS[row, first], last == lengths[row]
        start = state_of(kind, INITIAL) if is_begun else state_of(kind, STATE, one)
        found = run(net, X[at], start, None, D_OUTPUTS[at], COTANGENTS[:, :, one] * is_end)
        outputs[at], d_inputs[at] = value(found[0]), value(found[2])
        for part, gradient in enumerate(tree.leaves(found[3])):
            if is_begun:
                d_initial[part] += value(gradient)
            else:
                d_state[part, :, one] = value(gradient)
        for part, leaf in enumerate(tree.leaves(found[1])):
            end[part, :, one] = value(leaf) if is_end else end[part, :, one]
        d_weights = [total + value(each) for total, each in zip(d_weights, found[5], strict=True)]
    return [outputs, *end, d_inputs, *d_state, *d_initial, *d_weights]


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("kind", list(LAYERS))
def test_rows_are_their_segments_run_alone(backend: Backend, kind: str, with_lengths: bool) -> None:
    net = layer(kind)
    state, initial = state_of(kind, STATE), state_of(kind, INITIAL)
    lengths = LENGTHS if with_lengths else np.full(B, T)
    x = np.where(BEYOND[:, :, None], np.nan, X) if with_lengths else X
    options = {"lengths": LENGTHS} if with_lengths else {}
    found = run(net, x, state, initial, D_OUTPUTS, COTANGENTS, resets=RESETS, **options)
    close(found, by_segments(kind, net, lengths))


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_before_the_window_means_before_its_first_step(backend: Backend, kind: str) -> None:
    net, first = layer(kind), RESETS[:, 0]
    state, initial = state_of(kind, STATE), state_of(kind, INITIAL)
    inside = run(net, X, state, initial, D_OUTPUTS, COTANGENTS, resets=RESETS & (np.arange(T) == 0))
    for resets in (first, first.tolist(), ops.asarray(first)):
        close(run(net, X, state, initial, D_OUTPUTS, COTANGENTS, resets=resets), inside)
    _, end, *_ = inside
    _, own, *_ = run(net, X[4:5], state_of(kind, INITIAL), None, D_OUTPUTS[4:5], COTANGENTS)
    close([value(leaf)[:, 4:5] for leaf in tree.leaves(end)], own)


def test_nothing_crosses(backend: Backend) -> None:
    for kind in LAYERS:
        net = layer(kind)
        broken = np.where(RESETS[:, :1], np.nan, STATE)  # rows that begin anew at once
        for resets in (RESETS[:, 0], RESETS):
            found = run(net, X, state_of(kind, broken), None, D_OUTPUTS, COTANGENTS, resets=resets)
            assert all(np.isfinite(value(leaf)).all() for leaf in tree.leaves(found)), kind
            assert all(not value(leaf)[:, [1, 4]].any() and value(leaf)[:, 0].all() for leaf in tree.leaves(found[3]))
        last_step = D_OUTPUTS * (np.arange(T) == T - 1)[:, None]
        _, _, d_inputs, d_state, *_ = run(net, X, state_of(kind, STATE), None, last_step, 0 * COTANGENTS, resets=RESETS)
        reached = (value(d_inputs) != 0).any(axis=2)
        assert not reached[1, :6].any() and not reached[3, :4].any() and not reached[5, :5].any(), kind
        assert all(not value(leaf)[:, [1, 2, 3, 4, 5]].any() for leaf in tree.leaves(d_state)), kind


def test_a_state_of_none_begins_from_initial_which_is_learned(backend: Backend) -> None:
    net = layer("lstm")
    with dtype_scope("float64"):
        given = [nn.Parameter(part) for part in INITIAL]
    with tbptt.GradientTape() as tape:
        outputs, end = net(ops.asarray(X), initial=given)
        loss = ops.sum(outputs)
    gradients = tape.gradient(loss, given)
    whole = np.broadcast_to(INITIAL, (2, L, B, H))
    own_outputs, own_end, _, d_state, *_ = run(
        net, X, state_of("lstm", whole), None, np.ones((B, T, H)), 0 * COTANGENTS
    )
    close((outputs, end), (own_outputs, own_end))
    close(gradients, [value(leaf).sum(axis=1, keepdims=True) for leaf in d_state])


def test_initial_may_be_anything_that_broadcasts(backend: Backend) -> None:
    net, x = layer("gru"), ops.asarray(X)
    for leaf in (INITIAL[0], INITIAL[0, 0], INITIAL[0, 0, 0], INITIAL[0, :, :, :1], np.float64(0.5)):
        whole = ops.asarray(np.broadcast_to(leaf, (L, B, H)).copy())
        close(net(x, None, None, RESETS, ops.asarray(leaf)), net(x, whole, None, RESETS, whole))


def test_time_may_be_the_first_axis(backend: Backend) -> None:
    state, initial = state_of("lstm", STATE), state_of("lstm", INITIAL)
    wanted, end = layer("lstm")(ops.asarray(X), state, LENGTHS, RESETS, initial)
    turned = ops.asarray(np.moveaxis(X, 1, 0))
    for resets in (RESETS.T, ops.asarray(RESETS.T)):
        outputs, own_end = layer("lstm", batch_first=False)(turned, state, LENGTHS, resets, initial)
        close((ops.moveaxis(outputs, 0, 1), own_end), (wanted, end))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_dropout_between_layers_drops_the_units_of_the_uncut_window(backend: Backend, lengths: Any) -> None:
    net = layer("gru", dropout=0.5)
    lower, upper = layer("gru"), layer("gru")
    for one, number in ((lower, 0), (upper, 1)):
        one.num_layers = 1
        for role in ("weight_ih", "weight_hh", "bias", "bias_hn"):
            setattr(one, f"{role}_l0", getattr(net, f"{role}_l{number}"))
    upper.input_size = H
    for x in tbptt.windows(X, T):
        found, _ = net(x, None, lengths, RESETS)
        middle, _ = lower(x, None, lengths, RESETS)
        dropped = net.dropouts[0](middle)
        assert 0 < np.count_nonzero(value(dropped)) < 0.8 * np.count_nonzero(value(middle))
        close(found, upper(dropped, None, lengths, RESETS)[0])


def test_without_biases(backend: Backend) -> None:
    for kind in LAYERS:
        net = layer(kind, bias=False)
        state, initial = state_of(kind, STATE), state_of(kind, INITIAL)
        close(
            run(net, X, state, initial, D_OUTPUTS, COTANGENTS, resets=RESETS),
            by_segments(kind, net, np.full(B, T)),
        )


def test_beyond_a_rows_end_a_reset_does_nothing(backend: Backend) -> None:
    net = layer("lstm")
    state = state_of("lstm", STATE)
    _, end = net(ops.asarray(X), state, LENGTHS, LENGTHS == 0)
    close([value(leaf)[:, 2] for leaf in end], list(STATE[:, :, 2]))
    close(net(ops.asarray(X), state, LENGTHS, BEYOND), net(ops.asarray(X), state, LENGTHS))
    empty, end = net(ops.asarray(X[:, :0]), state, None, np.ones(B, bool))
    assert tuple(empty.shape) == (B, 0, H)
    close(end, state)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_compiled_is_eager_and_one_program_serves_all_resets(backend: Backend, kind: str) -> None:
    net = layer(kind)
    with dtype_scope("float64"):
        initial = tree.map(lambda leaf: nn.Parameter(value(leaf)), state_of(kind, INITIAL))
    parameters = [*net.parameters(), *tree.leaves(initial)]

    def step(x: Any, state: Any, lengths: Any, resets: Any) -> Any:
        with tbptt.GradientTape() as tape:
            outputs, end = net(x, state, lengths, resets, initial)
            loss = ops.sum(ops.square(outputs))
        return outputs, end, tape.gradient(loss, parameters)

    compiled = backend.compilation.compile(step, "auto", "step")
    for resets in (RESETS, RESETS & False, ~RESETS):
        arguments = ops.asarray(X), state_of(kind, STATE), ops.asarray(LENGTHS), ops.asarray(resets)
        close(compiled(*arguments), step(*arguments))
    assert (compiled.road, compiled.traces) in (("eager", 0), ("tf.function with XLA", 1))


def test_initial_is_computed_in_half_precision_and_learned_in_full(backend: Backend) -> None:
    net = nn.LSTM(F, H)
    initial = (nn.Parameter(np.ones((1, 1, H), "float32")), nn.Parameter(np.ones((1, 1, H), "float32")))
    with computing_in("bfloat16"), tbptt.GradientTape() as tape:
        outputs, end = net(ops.asarray(X.astype("float32")), None, None, RESETS, initial)
        loss = ops.sum(ops.astype(outputs, "float32"))
    assert {ops.dtype(each) for each in (outputs, *end)} == {"bfloat16"}
    gradients = tape.gradient(loss, list(initial))
    assert all(ops.dtype(each) == "float32" and value(each).all() for each in gradients)


def test_resets_that_do_not_fit_are_refused(backend: Backend) -> None:
    net, x = layer("lstm"), ops.zeros((B, T, F), dtype="float64")
    for resets, received in (
        (RESETS[:3, 0], r"bool of shape \(3,\)"),
        (RESETS.T, r"bool of shape \(7, 6\)"),
        (RESETS * 1, r"int64 of shape \(6, 7\)"),
        (RESETS * 1.0, r"float64 of shape \(6, 7\)"),
        (True, r"bool of shape \(\)"),
        (RESETS[:, :, None], r"bool of shape \(6, 7, 1\)"),
    ):
        with pytest.raises(ShapeError, match=rf"booleans of shape \(6,\).*\(6, 7\).*received {received}"):
            net(x, resets=resets)


def test_an_initial_state_that_does_not_fit_is_refused(backend: Backend) -> None:
    x = ops.zeros((B, T, F), dtype="float64")
    for kind, initial, wanted in (
        ("lstm", ops.zeros((L, 1, H)), "a pair"),
        ("gru", (ops.zeros((L, 1, H)),) * 2, "one tensor"),
        ("gru", ops.zeros((L, 2, H)), r"one tensor.*received.*\(2, 2, 3\)"),
        ("gru", ops.zeros((3, 1, H)), "one tensor"),
        ("gru", ops.zeros((1, L, 1, H)), "one tensor"),
    ):
        with pytest.raises(ShapeError, match=rf"expected initial= as {wanted}.*\(2, 1, 3\)"):
            layer(kind)(x, initial=initial)
