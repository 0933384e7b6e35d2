"""Reset masks in batches: found by name, brought to (rows, time) on the host, refused where they cannot be meant."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from tbptt import tree
from tbptt.data.resets import cut_steps, named_resets, reset_steps, rows_at
from tbptt.errors import DataError, ShapeError, StructureError
from tbptt.protocols import Backend

B, T = 3, 5
X = np.zeros((B, T, 2))
ROWS = np.array([True, False, True])
STEPS = np.zeros((B, T), bool)
STEPS[[0, 2, 2], [3, 0, 3]] = True
Series = collections.namedtuple("Series", ["x", "resets"])


@dataclasses.dataclass
class Batch:
    x: Any
    resets: Any


@pytest.mark.parametrize("mask", [ROWS, STEPS], ids=["rows", "rows and steps"])
@pytest.mark.parametrize("make", [np.asarray, torch.tensor, tf.constant], ids=["numpy", "torch", "tensorflow"])
@pytest.mark.parametrize(
    "batch",
    [
        lambda mask: {"x": X, "resets": mask},
        lambda mask: (X, {"about": {"resets": mask}}),
        lambda mask: Series(X, mask),
        lambda mask: [Batch(X, mask)],
    ],
    ids=["dict", "inner dict", "namedtuple", "dataclass"],
)
def test_the_mask_is_found_by_its_name_and_comes_to_the_host(
    backend: Backend, batch: Any, make: Any, mask: Any
) -> None:
    given = batch(make(mask))
    found = reset_steps(given)
    assert isinstance(found, np.ndarray)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, mask)
    assert sum(named_resets(*tree.flatten(given))) == 1


@pytest.mark.parametrize(
    "batch",
    [(X, ROWS), {"x": X, "reset": STEPS}, {"resets": None, "x": X}, {"resets": {"rows": ROWS}}, X, (), "resets"],
    ids=["plain tuple", "another name", "none", "a node of that name", "array", "nothing", "text"],
)
def test_what_has_not_the_name_is_no_mask(batch: Any) -> None:
    assert reset_steps(batch) is None


@pytest.mark.parametrize("time_axis", [0, {"x": 0, "resets": 0}, {"x": 1, "resets": 0}])
def test_a_mask_with_time_first_is_turned(time_axis: Any) -> None:
    np.testing.assert_array_equal(reset_steps({"x": X, "resets": STEPS.T}, time_axis, rows=B), STEPS)


@pytest.mark.parametrize("time_axis", [0, 1, 2, {"x": 1, "resets": None}, {"x": 1, "resets": 1}])
def test_a_mask_of_rows_has_no_time_whatever_the_axis_of_others(time_axis: Any) -> None:
    np.testing.assert_array_equal(reset_steps({"x": X, "resets": ROWS}, time_axis, rows=B), ROWS)


def test_the_steps_with_resets_and_their_rows_are_those_of_a_loop() -> None:
    mask = np.random.default_rng(0).random((4, 20)) < 0.08
    for start, stop in ((0, 20), (3, 11), (11, 12), (19, 20), (5, 5), (15, 40)):
        expected = [t for t in range(start, min(stop, 20)) if any(mask[row, t] for row in range(4))]
        found = cut_steps(mask, start, stop)
        assert found == expected
        assert all(type(step) is int for step in found)
    assert cut_steps(mask, 0, 20)  # the draw has some, and not all
    assert len(cut_steps(mask, 0, 20)) < 20
    for step in range(20):
        assert rows_at(mask, step).tolist() == [bool(mask[row, step]) for row in range(4)]


def test_a_mask_of_rows_is_about_the_first_step() -> None:
    assert cut_steps(ROWS, 0, T) == [0]
    assert cut_steps(ROWS, 1, T) == []
    assert cut_steps(~ROWS & ROWS, 0, T) == []
    assert rows_at(ROWS, 0).tolist() == ROWS.tolist()
    assert rows_at(ROWS, 1).tolist() == [False] * B


MISUSE: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "list": ({"x": X, "resets": [True, False, True]}, {}, DataError, r"batch\['resets'\] is a list.*numpy.array"),
    "list of lists": (Series(X, STEPS.tolist()), {}, DataError, r"batch\.resets is a list"),
    "integers": ({"resets": ROWS.astype(int)}, {}, DataError, r"batch\['resets'\] should be.*booleans.*received int64"),
    "floats of torch": ({"resets": torch.zeros(B, T)}, {}, DataError, r"received float32.*astype\('bool'\)"),
    "a scalar": ({"resets": np.bool_(True)}, {}, ShapeError, r"\(rows,\) or \(rows, time\); received the shape \(\)"),
    "three axes": ({"resets": STEPS[..., None]}, {}, ShapeError, r"received the shape \(3, 5, 1\)"),
    "two masks": (
        ({"resets": ROWS}, {"resets": STEPS}),
        {},
        DataError,
        r"batch\[0\]\['resets'\] and batch\[1\]\['resets'\] are both",
    ),
    "other rows": ({"resets": ROWS}, {"rows": 4}, ShapeError, r"says of 3 rows.*the batch has 4"),
    "turned": ({"resets": STEPS.T}, {"rows": B}, ShapeError, r"says of 5 rows.*has 3; its shape is \(5, 3\)"),
    "time without an axis": (
        {"x": X, "resets": STEPS},
        {"time_axis": {"x": 1, "resets": None}},
        ShapeError,
        "received None in time_axis",
    ),
    "time on axis 2": ({"x": X, "resets": STEPS}, {"time_axis": 2}, ShapeError, r"received 2.*as a tree"),
    "time_axis of another structure": (
        {"x": X, "resets": STEPS},
        {"time_axis": (1, 1)},
        StructureError,
        r"no telling which axis of batch\['resets'\] is time",
    ),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_misuse_is_refused_with_what_is_wrong(name: str) -> None:
    batch, options, error, message = MISUSE[name]
    with pytest.raises(error, match=message):
        reset_steps(batch, **options)
