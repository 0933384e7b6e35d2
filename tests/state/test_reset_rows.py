"""Resetting rows: where, never a product; the axis of the rows found or named; every misuse a clear error."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import ops, tree
from tbptt.errors import ConfigurationError, ShapeError, StructureError
from tbptt.protocols import Backend
from tbptt.state import check_batch

MASK = np.array([True, False, True, False])
B = len(MASK)


@dataclasses.dataclass
class Cache:
    slots: Any
    filled: Any


def numpy_of(state: Any) -> Any:
    return tree.map(lambda x: ops.to_numpy(x) if ops.is_tensor(x) else x, state)


def engine_of(state: Any) -> Any:
    return tree.map(lambda x: ops.asarray(x) if isinstance(x, np.ndarray) else x, state)


def expected(array: np.ndarray, axis: int | None, value: Any = 0) -> np.ndarray:
    """By a loop over rows, without `where`."""
    out = array.copy()
    for row in range(B):
        if axis is not None and MASK[row]:
            out[(slice(None),) * axis + (row,)] = value
    return out


def rng(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape)


# state, and the axis of the rows in each leaf, in the order of leaves
STATES: dict[str, tuple[Any, list[int | None]]] = {
    "rows first": (rng(B, 3), [0]),
    "rows second": (rng(2, B, 3), [1]),
    "h and c": ((rng(2, B, 3), rng(2, B, 3)), [1, 1]),
    "stack with different widths": ([(rng(B, 3), rng(B, 3)), (rng(B, 7), rng(B, 7))], [0, 0, 0, 0]),
    "integers and booleans": (
        {"h": rng(B, 2), "k": np.arange(B), "seen": np.ones(B, bool), "count": 7, "name": "x"},
        [None, 0, 0, None, 0],
    ),
    "dataclass": (Cache(rng(B, 5, 3), np.arange(B, dtype="int32")), [0, 0]),
    "leaves without rows": ({"h": rng(1, B, 3), "scale": rng(6), "step": np.array(3)}, [1, None, None]),
    "none": ((None, rng(B, 2)), [0]),
    "list that grew": ([rng(B, 2), rng(B, 2), rng(B, 2)], [0, 0, 0]),
    "float32": (rng(2, B, 3).astype("float32"), [1]),
}


@pytest.mark.parametrize("name", list(STATES))
@pytest.mark.parametrize("mask_as", ["list", "array", "tensor"])
def test_masked_rows_start_anew_and_the_others_are_kept_to_the_bit(backend: Backend, name: str, mask_as: str) -> None:
    state, axes = STATES[name]
    mask = {"list": MASK.tolist(), "array": MASK, "tensor": ops.asarray(MASK)}[mask_as]
    tensors = engine_of(state)
    after = tbptt.reset_rows(tensors, mask)
    assert tree.structure(after) == tree.structure(state)
    for given, leaf, found, axis in zip(
        tree.leaves(tensors), tree.leaves(state), tree.leaves(after), axes, strict=True
    ):
        if not isinstance(leaf, np.ndarray):
            assert found is leaf
            continue
        assert ops.is_tensor(found)
        assert ops.dtype(found) == ops.dtype(given) == leaf.dtype.name
        np.testing.assert_array_equal(ops.to_numpy(found), expected(leaf, axis))


@pytest.mark.parametrize("name", list(STATES))
def test_numpy_states_stay_numpy(backend: Backend, name: str) -> None:
    state, axes = STATES[name]
    for leaf, found, axis in zip(
        tree.leaves(state), tree.leaves(tbptt.reset_rows(state, ops.asarray(MASK))), axes, strict=True
    ):
        if isinstance(leaf, np.ndarray):
            assert isinstance(found, np.ndarray)
            assert found.dtype == leaf.dtype
            np.testing.assert_array_equal(found, expected(leaf, axis))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e30])
def test_a_row_of_nan_or_infinity_is_reset_cleanly_and_initial_values_may_be_huge(backend: Backend, bad: float) -> None:
    state = rng(2, B, 3).astype("float32")
    state[:, MASK] = bad
    found = ops.to_numpy(tbptt.reset_rows(ops.asarray(state), MASK, initial=-1e30))
    np.testing.assert_array_equal(found, expected(state, 1, np.float32(-1e30)))
    assert np.isfinite(found).all()


def test_the_gradient_across_a_reset_row_is_exactly_zero_and_untouched_elsewhere(backend: Backend) -> None:
    weight = ops.parameter(rng(B, 3))
    cotangent = rng(B, 3) * 1e8
    with tbptt.GradientTape() as tape:
        state = tbptt.reset_rows(weight * 3.0, MASK, initial=-1e30)
        loss = ops.sum(state * ops.asarray(cotangent))
    np.testing.assert_array_equal(ops.to_numpy(tape.gradient(loss, weight)), expected(cotangent * 3.0, 0))


def test_a_reset_row_that_overflowed_sends_no_nan_back(backend: Backend) -> None:
    start = np.full((B, 2), 1.0)
    start[MASK] = 1000.0
    weight = ops.parameter(start)
    with tbptt.GradientTape() as tape:
        loss = ops.sum(tbptt.reset_rows(weight * weight, MASK))
    gradient = ops.to_numpy(tape.gradient(loss, weight))
    np.testing.assert_array_equal(gradient, expected(2 * start, 0))


def test_a_learned_initial_state_gets_the_gradient_of_the_rows_it_starts(backend: Backend) -> None:
    initial = ops.parameter(np.zeros((1, 1, 3)))
    with tbptt.GradientTape() as tape:
        state = tbptt.reset_rows(ops.asarray(rng(2, B, 3)), MASK, initial=initial)
        loss = ops.sum(state)
    layers_times_rows = 2 * MASK.sum()
    np.testing.assert_array_equal(ops.to_numpy(tape.gradient(loss, initial)), np.full((1, 1, 3), layers_times_rows))


def test_initial_values_come_as_a_tree_with_none_for_zeros(backend: Backend) -> None:
    state = engine_of((rng(B, 3), {"best": rng(B, 2), "k": np.arange(B)}))
    initial = (None, {"best": -1e30, "k": 9})
    after = numpy_of(tbptt.reset_rows(state, MASK, initial))
    np.testing.assert_array_equal(after[0], expected(rng(B, 3), 0))
    np.testing.assert_array_equal(after[1]["best"], expected(rng(B, 2), 0, -1e30))
    np.testing.assert_array_equal(after[1]["k"], expected(np.arange(B), 0, 9))


def test_the_axis_of_the_rows_can_be_named_for_all_or_leaf_by_leaf(backend: Backend) -> None:
    square = rng(B, B, 3)
    for axis in (0, 1):
        found = tbptt.reset_rows(ops.asarray(square), MASK, batch_axis=axis)
        np.testing.assert_array_equal(ops.to_numpy(found), expected(square, axis))
    state = {"h": rng(B, B, 3), "table": rng(B, 3), "c": rng(3, 2, B)}
    after = numpy_of(tbptt.reset_rows(engine_of(state), MASK, batch_axis={"h": 1, "table": None, "c": 2}))
    np.testing.assert_array_equal(after["h"], expected(state["h"], 1))
    np.testing.assert_array_equal(after["table"], state["table"])
    np.testing.assert_array_equal(after["c"], expected(state["c"], 2))


def test_a_square_cell_state_has_its_rows_first_and_a_single_row_is_never_ambiguous(backend: Backend) -> None:
    square = rng(B, B)
    np.testing.assert_array_equal(ops.to_numpy(tbptt.reset_rows(ops.asarray(square), MASK)), expected(square, 0))
    np.testing.assert_array_equal(ops.to_numpy(tbptt.reset_rows(ops.ones((1, 1, 3)), [True])), np.zeros((1, 1, 3)))


MISUSE: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "rows on axis 0 or 1": (rng(B, B, 3), {"mask": MASK}, ShapeError, r"state of shape \(4, 4, 3\).*batch_axis="),
    "no leaf with these rows": (
        {"h": rng(2, 5, 3)},
        {"mask": MASK},
        ShapeError,
        r"does not belong to a batch of 4 rows: state\['h'\] \(2, 5, 3\)",
    ),
    "named axis of another length": (rng(2, 5, 3), {"mask": MASK, "batch_axis": 1}, ShapeError, "batch of 4 rows"),
    "mask of two axes": (rng(B, 3), {"mask": np.ones((B, 2), bool)}, ShapeError, r"\(batch,\); received.*\(4, 2\)"),
    "mask of integers": (rng(B, 3), {"mask": [1, 0, 1, 0]}, ConfigurationError, "made of booleans.*int64"),
    "initial of another structure": (
        (rng(B, 3), rng(B, 3)),
        {"mask": MASK, "initial": (1, 2, 3)},
        StructureError,
        "initial has a tuple of 3 and the state has a tuple of 2",
    ),
    "initial of another shape": (rng(B, 3), {"mask": MASK, "initial": np.ones(4)}, ShapeError, r"\(4,\) does not fit"),
    "initial that would widen": (
        rng(B, 3),
        {"mask": MASK, "initial": np.ones((2, B, 3))},
        ShapeError,
        r"\(2, 4, 3\) does not fit",
    ),
    "float for an integer": (
        {"k": np.arange(B)},
        {"mask": MASK, "initial": -1e30},
        ConfigurationError,
        r"-1e\+30 cannot be held by state\['k'\], which is int64",
    ),
    "negative axis": (rng(B, 3), {"mask": MASK, "batch_axis": -1}, ConfigurationError, "counted from the first"),
    "axis beyond the leaf": (
        (rng(B, 3),),
        {"mask": MASK, "batch_axis": (2,)},
        ShapeError,
        r"state\[0\] should have its rows on axis 2",
    ),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_misuse_is_an_error_that_says_what_to_do(backend: Backend, name: str) -> None:
    state, arguments, kind, message = MISUSE[name]
    with pytest.raises(kind, match=message):
        tbptt.reset_rows(engine_of(state), **arguments)


def test_a_state_of_another_batch_size_is_noticed_and_one_with_memories_passes(backend: Backend) -> None:
    state = engine_of({"h": rng(2, B, 3), "memory": rng(9, 3), "step": np.array(1)})
    check_batch(state, B)
    check_batch(None, B)
    check_batch({"step": 3}, B)
    with pytest.raises(ShapeError, match=r"batch of 5 rows: state\['h'\] \(2, 4, 3\), state\['memory'\] \(9, 3\)"):
        check_batch(state, 5)
    with pytest.raises(ShapeError, match="batch of 5 rows"):
        check_batch(state, 5, batch_axis={"h": 1, "memory": None, "step": None})
