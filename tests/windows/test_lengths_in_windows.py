"""Lengths in windows: each window has what is left of every row, time ends with the longest, and wrong ones are refused."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt
from tbptt import ops
from tbptt.data import Padded
from tbptt.errors import ConfigurationError, DataError, ShapeError
from tbptt.protocols import Backend
from tbptt.schedules import Window
from tbptt.windowing import WindowedBatch

B, T, F = 3, 11, 2
X = np.random.default_rng(0).normal(size=(B, T, F))
Y = np.random.default_rng(1).integers(0, 9, size=(B, T))
LENGTHS = np.array([9, 4, 0])
LEFT = [[4, 4, 0], [4, 0, 0], [1, 0, 0]]
"""What `LENGTHS` leave of windows of 4."""
Series = collections.namedtuple("Series", ["x", "lengths"])


@dataclasses.dataclass
class Batch:
    x: Any
    lengths: Any


def found(windows: Any, pick: Any) -> list[list[int]]:
    return [ops.to_numpy(pick(window)).tolist() for window in windows]


@pytest.mark.parametrize(
    ("batch", "pick"),
    [
        ({"x": X, "lengths": LENGTHS}, lambda window: window["lengths"]),
        ({"inner": {"x": X, "lengths": LENGTHS}}, lambda window: window["inner"]["lengths"]),
        ((X, {"y": Y, "about": {"lengths": LENGTHS}}), lambda window: window[1]["about"]["lengths"]),
        (Series(X, LENGTHS), lambda window: window.lengths),
        (Batch(X, LENGTHS), lambda window: window.lengths),
        (Padded(X, LENGTHS), lambda window: window.lengths),
    ],
    ids=["dict", "inner dict", "beside nothing", "namedtuple", "dataclass", "Padded"],
)
@pytest.mark.parametrize("make", [np.asarray, torch.tensor, tf.constant], ids=["numpy", "torch", "tensorflow"])
def test_lengths_are_known_by_their_name_and_counted_from_the_window(
    backend: Backend, batch: Any, pick: Any, make: Any
) -> None:
    windows = list(tbptt.windows(tbptt.tree.map(make, batch), 4))
    assert found(windows, pick)[:3] == LEFT
    assert all(type(window) is type(batch) for window in windows)
    for window in windows:
        assert backend.tensors.is_tensor(pick(window))
        assert ops.dtype(pick(window)) == "int64"


def test_lengths_of_a_plain_tuple_are_known_by_the_word_in_time_axis(backend: Backend) -> None:
    windows = list(tbptt.windows((X, Y, LENGTHS.astype("uint8")), 4, time_axis=(1, 1, "lengths")))
    assert found(windows, lambda window: window[2]) == LEFT
    assert [tuple(window[1].shape) for window in windows] == [(B, 4), (B, 4), (B, 1)]
    time_major = tbptt.windows((np.moveaxis(X, 1, 0), LENGTHS), 4, time_axis=(0, "lengths"))
    assert found(time_major, lambda window: window[1]) == LEFT


def test_an_axis_for_all_below_leaves_lengths_what_they_are_and_none_passes_them_whole(backend: Backend) -> None:
    for axis in ((1, None), (Padded(1, "lengths"), None)):
        windows = list(tbptt.windows((Padded(X, LENGTHS), np.ones(B)), 4, time_axis=axis))
        assert found(windows, lambda window: window[0].lengths) == LEFT
    whole = list(tbptt.windows(Padded(X, LENGTHS), 4, time_axis=Padded(1, None)))
    assert found(whole, lambda window: window.lengths) == [LENGTHS.tolist()] * 3
    assert whole[0].lengths is whole[1].lengths


def test_time_ends_with_the_longest_row_where_all_that_has_time_is_governed(backend: Backend) -> None:
    def length(batch: Any, **options: Any) -> int:
        return WindowedBatch(batch, 4, **options).length

    assert length({"x": X, "y": Y, "lengths": LENGTHS}) == 9
    assert length((Padded(X, LENGTHS), Padded(Y, LENGTHS - [2, 0, 0]))) == 9
    assert length((X, Y, LENGTHS), time_axis=(1, 1, "lengths")) == 9
    assert length((Padded(X, LENGTHS), Y)) == T  # nobody says that Y ends
    assert length({"x": X, "lengths": LENGTHS + 2}) == T
    windowed = WindowedBatch(Padded(X, LENGTHS), 4)
    assert [window.stop for window, _ in windowed] == [4, 8, 9]
    assert (len(windowed), tuple(windowed.cut(Window(8, 9)).values.shape)) == (3, (B, 1, F))


def test_a_mask_is_cut_like_all_that_has_time(backend: Backend) -> None:
    mask = np.arange(T) < LENGTHS[:, None]
    parts = [ops.to_numpy(window["lengths"]) for window in tbptt.windows({"x": X, "lengths": mask}, 4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), mask)


def test_without_a_schedule_lengths_pass_whole(backend: Backend) -> None:
    longer = Padded(np.zeros((B, 20)), np.array([20, 1, 0]))
    ((window, leaves),) = list(WindowedBatch((Padded(X, LENGTHS), longer), None))
    assert window == Window(0, T)
    assert tuple(leaves[0].values.shape) == (B, T, F)
    assert [ops.to_numpy(leaf.lengths).tolist() for leaf in leaves] == [LENGTHS.tolist(), [20, 1, 0]]
    assert all(ops.dtype(leaf.lengths) == "int64" for leaf in leaves)


def test_slices_hold_lengths_as_numpy_and_the_callers_are_left_alone(backend: Backend) -> None:
    lengths = LENGTHS.copy()
    windowed = WindowedBatch({"x": torch.tensor(X), "lengths": lengths}, 4)
    views = windowed.slice(Window(4, 8))
    assert isinstance(views["lengths"], np.ndarray)
    assert views["lengths"].tolist() == LEFT[1]
    assert isinstance(views["x"], torch.Tensor)
    assert ops.to_numpy(windowed.place(views)["lengths"]).tolist() == LEFT[1]
    assert lengths.tolist() == LENGTHS.tolist()


def test_what_only_shares_the_name_is_nothing_special(backend: Backend) -> None:
    (window, *_) = tbptt.windows({"x": X, "lengths": X}, 4)
    assert tuple(window["lengths"].shape) == (B, 4, F)
    (window, *_) = tbptt.windows({"x": X, "length": LENGTHS}, 4)
    assert ops.to_numpy(window["length"]).tolist() == LENGTHS.tolist()


MISUSE: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "negative": ({"x": X, "lengths": LENGTHS - 1}, {}, DataError, r"batch\['lengths'\] holds -1 for row 2.*0 to 11"),
    "too long": (Padded(X, LENGTHS + 3), {}, DataError, r"batch\.lengths holds 12 for row 0.*from 0 to 11"),
    "too long, in one window": (Padded(X, LENGTHS + 3), {"schedule": None}, DataError, "12 for row 0"),
    "other rows": (
        {"x": X, "lengths": LENGTHS[:2]},
        {},
        ShapeError,
        r"batch\['lengths'\].*shape \(3,\); received the shape \(2,\)",
    ),
    "floats": ({"x": X, "lengths": LENGTHS * 1.0}, {}, DataError, r"batch\['lengths'\].*whole numbers.*float64"),
    "booleans": (Padded(X, LENGTHS > 0), {}, DataError, "received bool"),
    "two axes": ((X, Y), {"time_axis": (1, "lengths")}, ShapeError, r"batch\[1\].*received the shape \(3, 11\)"),
    "a list": ({"x": X, "lengths": [9, 4, 0]}, {}, DataError, r"batch\['lengths'\] is a list.*numpy.array"),
    "all of them 0": (Padded(X, LENGTHS * 0), {}, DataError, "every row of the batch has the length 0"),
    "another word": ((X, LENGTHS), {"time_axis": (1, "length")}, ConfigurationError, "received 'length'"),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_wrong_lengths_are_an_error_that_names_the_leaf(backend: Backend, name: str) -> None:
    batch, options, kind, message = MISUSE[name]
    with pytest.raises(kind, match=message):
        WindowedBatch(batch, **{"schedule": 4, **options})
