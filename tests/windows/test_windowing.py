"""Windows: the same tree cut along time, lazily, on the current engine, whatever the batch is made of."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt
from tbptt import clock, ops
from tbptt.errors import ConfigurationError, DataError, ScheduleError, ShapeError, StructureError
from tbptt.protocols import Backend
from tbptt.schedules import Fixed, Window
from tbptt.windowing import WindowedBatch

B, T, F = 3, 11, 2
X = np.random.default_rng(0).normal(size=(B, T, F))
Y = np.random.default_rng(1).integers(0, 9, size=(B, T))
Series = collections.namedtuple("Series", ["inputs", "targets"])


@dataclasses.dataclass
class Batch:
    inputs: Any
    targets: Any


class Counting:
    """A lazy array, as of a file format: counts what is read of it."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self._array[index]
        self.reads.append(part.shape)
        return part

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("the whole array was read")


def test_windows_put_together_are_the_batch(backend: Backend) -> None:
    parts = list(tbptt.windows((X, Y), 4))
    assert [tuple(x.shape) for x, _ in parts] == [(B, 4, F), (B, 4, F), (B, 3, F)]
    np.testing.assert_array_equal(np.concatenate([ops.to_numpy(x) for x, _ in parts], axis=1), X)
    np.testing.assert_array_equal(np.concatenate([ops.to_numpy(window[1]) for window in parts], axis=1), Y)


KINDS = {
    "numpy": lambda x: x,
    "torch": lambda x: torch.tensor(x),
    "tensorflow": lambda x: tf.constant(x),
    "not contiguous": lambda x: np.asfortranarray(x),
    "read only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_leaves_of_any_engine_become_tensors_of_the_current_one(backend: Backend, kind: str) -> None:
    for array in (X, X.astype("float32"), Y, Y > 4):
        for index, window in enumerate(tbptt.windows({"x": KINDS[kind](array)}, 4)):
            assert backend.tensors.is_tensor(window["x"])
            assert ops.dtype(window["x"]) == array.dtype.name
            np.testing.assert_array_equal(ops.to_numpy(window["x"]), array[:, 4 * index : 4 * index + 4])


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: (x, y),
        lambda x, y: [x, y],
        lambda x, y: {"x": x, "y": [y, None]},
        lambda x, y: Series(x, y),
        lambda x, y: Batch(x, y),
        lambda x, y: x,
    ],
    ids=["tuple", "list", "dict", "namedtuple", "dataclass", "array"],
)
def test_a_window_has_the_structure_of_the_batch(backend: Backend, make: Any) -> None:
    batch = make(X, Y)
    for window in tbptt.windows(batch, 5):
        assert tbptt.tree.structure(window) == tbptt.tree.structure(batch)
        assert type(window) is type(batch) or backend.tensors.is_tensor(window)


def test_integers_below_32_bits_become_int32_and_floats_keep_theirs(backend: Backend) -> None:
    wanted = {
        "uint8": "int32", "int8": "int32", "uint16": "int32", "int16": "int32", "int32": "int32", "int64": "int64",
        "uint32": "int64", "uint64": "int64", "bool": "bool", "float16": "float16", "float32": "float32",
        "float64": "float64",
    }  # fmt: skip
    batch = {name: np.ones((2, 3), name) for name in wanted}
    (window,) = tbptt.windows(batch, 3)
    assert {name: ops.dtype(leaf) for name, leaf in window.items()} == wanted
    (again,) = tbptt.windows(window, 3)
    assert {name: ops.dtype(leaf) for name, leaf in again.items()} == wanted
    (torch_bytes,) = tbptt.windows(torch.ones((2, 3), dtype=torch.uint8), 3)
    assert ops.dtype(torch_bytes) == "int32"


@pytest.mark.parametrize("make", [KINDS["numpy"], KINDS["torch"], KINDS["tensorflow"]], ids=["np", "torch", "tf"])
def test_float_dtype_converts_floating_leaves_only(backend: Backend, make: Any) -> None:
    for window in tbptt.windows((make(X), make(Y), make(X[:, 0, 0])), 4, float_dtype="float32"):
        assert [ops.dtype(leaf) for leaf in window] == ["float32", "int64", "float32"]
    with pytest.raises(ConfigurationError, match=r"floating dtype.*'int32'"):
        tbptt.windows(X, 4, float_dtype="int32")


def test_only_the_window_is_read(backend: Backend) -> None:
    lazy = Counting(X)
    reading = iter(tbptt.windows((lazy, Y), 4))
    assert lazy.reads == []
    next(reading)
    assert lazy.reads == [(B, 4, F)]
    assert [tuple(x.shape) for x, _ in reading] == [(B, 4, F), (B, 3, F)]
    assert lazy.reads == [(B, 4, F), (B, 4, F), (B, 3, F)]


def test_a_memory_mapped_file_is_cut_without_a_warning_and_never_written_to(backend: Backend, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for window in tbptt.windows(mapped, 11):
        values = ops.to_numpy(window)
        assert not np.shares_memory(values, mapped)
        np.testing.assert_array_equal(values, X)


def test_writing_into_a_window_leaves_the_callers_array_alone() -> None:
    with tbptt.use_backend("torch"):
        array = np.zeros((1, 4))
        (window,) = tbptt.windows(array, 4)
        window.add_(1.0)
        assert (array == 0).all()


def test_leaves_without_time_are_passed_whole_and_converted_once(backend: Backend) -> None:
    batch = {"x": X, "label": np.array([11, 9, 4]), "name": "run", "k": 3}
    parts = list(tbptt.windows(batch, 4))
    assert all(part["label"] is parts[0]["label"] for part in parts)
    assert all((part["name"], part["k"]) == ("run", 3) for part in parts)
    np.testing.assert_array_equal(ops.to_numpy(parts[0]["label"]), [11, 9, 4])


def test_time_axes_can_be_a_tree_with_none_for_whole_leaves(backend: Backend) -> None:
    batch = (np.moveaxis(X, 1, 0), {"label": np.ones((B, 5)), "y": Y})
    for window in tbptt.windows(batch, 4, time_axis=(0, {"label": None, "y": 1})):
        assert window[0].shape[0] == window[1]["y"].shape[1]
        assert tuple(window[1]["label"].shape) == (B, 5)
    (first, *_) = tbptt.windows(((X, X), Y), 4, time_axis=(1, None))
    assert tuple(first[0][1].shape) == (B, 4, F)
    assert tuple(first[1].shape) == (B, T)


def test_time_may_be_the_first_axis(backend: Backend) -> None:
    windowed = WindowedBatch(np.moveaxis(X, 1, 0), 4, time_axis=0)
    assert (windowed.length, windowed.batch_size) == (T, B)
    assert [tuple(leaf.shape) for _, leaf in windowed] == [(4, B, F), (4, B, F), (3, B, F)]
    assert WindowedBatch(np.zeros(7), 4, time_axis=0).batch_size == 1


def test_a_windowed_batch_knows_its_sizes_and_can_be_walked_through_again(backend: Backend) -> None:
    windowed = WindowedBatch((X, Y), Fixed(4))
    assert (windowed.length, windowed.batch_size, len(windowed)) == (T, B, 3)
    for _ in range(2):
        assert [window for window, _ in windowed] == [Window(0, 4), Window(4, 8), Window(8, 11)]
    np.testing.assert_array_equal(ops.to_numpy(windowed.cut(Window(2, 5))[0]), X[:, 2:5])


def test_a_window_can_be_sliced_first_and_placed_after_whatever_happened_to_it(backend: Backend) -> None:
    label = np.arange(B)
    windowed = WindowedBatch({"x": X, "label": label}, 4, float_dtype="float32")
    views = windowed.slice(Window(4, 8))
    assert np.shares_memory(views["x"], X)
    assert views["label"] is label
    placed = windowed.place(views)
    assert ops.dtype(placed["x"]) == "float32"
    np.testing.assert_array_equal(ops.to_numpy(placed["x"]), X[:, 4:8].astype("float32"))
    assert placed["label"] is windowed.cut(Window(0, 4))["label"]
    other = windowed.place(
        [views["x"] * 2, ("name", np.array([1], "int8")), None]
    )  # another tree, as a hook may return
    np.testing.assert_array_equal(ops.to_numpy(other[0]), (X[:, 4:8] * 2).astype("float32"))
    assert (other[1][0], ops.dtype(other[1][1]), other[2]) == ("name", "int32", None)


def test_without_a_schedule_a_batch_is_one_window_and_nothing_is_cut(backend: Backend) -> None:
    windowed = WindowedBatch((X, np.zeros((B, 5))), None)
    ((window, (x, label)),) = list(windowed)
    assert (window, len(windowed), windowed.batch_size) == (Window(0, T), 1, B)
    assert (tuple(x.shape), tuple(label.shape)) == ((B, T, F), (B, 5))
    assert WindowedBatch(np.zeros(6), None).batch_size == 6


def test_counting_the_windows_of_a_drawn_schedule_does_not_change_what_is_drawn(backend: Backend) -> None:
    class Drawn:
        def __init__(self) -> None:
            self.generator = np.random.default_rng(3)

        def plan(self, length: int) -> Any:
            start = 0
            while start < length:
                stop = min(length, start + int(self.generator.integers(1, 4)))
                yield Window(start, stop)
                start = stop

        def state_dict(self) -> dict[str, Any]:
            return {"generator": self.generator.bit_generator.state}

        def load_state_dict(self, state: Any) -> None:
            self.generator.bit_generator.state = state["generator"]

    counted = WindowedBatch(X, Drawn())
    number = len(counted)
    drawn = [window for window, _ in counted]
    assert number == len(drawn)
    assert drawn == [window for window, _ in WindowedBatch(X, Drawn())]


def test_the_windows_origin_is_known_inside_the_loop_and_forgotten_after_it(backend: Backend) -> None:
    origins = [clock.now() for _ in tbptt.windows(X, 4)]
    assert [origin.time for origin in origins if origin] == [0, 4, 8]
    assert clock.now() is None


MISUSE: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "leaves disagree": (
        (X, np.zeros((B, 9))),
        {"schedule": 4},
        ShapeError,
        r"batch\[0\] \(3, 11, 2\) has 11 on axis 1, batch\[1\] \(3, 9\) has 9 on axis 1.*None",
    ),
    "no leaf has time": ({"y": np.zeros(B)}, {"schedule": 4}, ShapeError, r"No leaf.*batch\['y'\] \(3,\)"),
    "lists of numbers": ([[1, 2], [3, 4]], {"schedule": 4}, ShapeError, "a list is a node, not an array"),
    "no leaves": ((), {"schedule": 4}, ShapeError, "no leaves"),
    "no steps": (np.zeros((2, 0)), {"schedule": 4}, DataError, "0 time steps"),
    "axes of another structure": (
        (X, Y),
        {"schedule": 4, "time_axis": (1, 1, None)},
        StructureError,
        "time_axis has a tuple of 3 and the batch has a tuple of 2",
    ),
    "axis beyond the leaf": (
        (X, Y),
        {"schedule": 4, "time_axis": (1, 2)},
        ShapeError,
        r"batch\[1\] should have its time on axis 2, but its shape is \(3, 11\)",
    ),
    "negative axis": (X, {"schedule": 4, "time_axis": -1}, ConfigurationError, "counted from the first.*-1"),
    "boolean axis": (X, {"schedule": 4, "time_axis": True}, ConfigurationError, "True"),
    "no axis": (X, {"schedule": 4, "time_axis": None}, ConfigurationError, "received None"),
    "window of zero": (X, {"schedule": 0}, ScheduleError, "at least 1; received 0"),
    "window of a float": (X, {"schedule": 2.5}, ScheduleError, "received 2.5"),
    "no schedule": (X, {"schedule": "20"}, ScheduleError, "received '20'"),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_misuse_is_an_error_at_once_that_names_leaves_and_shapes(backend: Backend, name: str) -> None:
    batch, arguments, kind, message = MISUSE[name]
    with pytest.raises(kind, match=message):
        tbptt.windows(batch, **arguments)


def test_tensors_of_the_current_engine_are_cut_without_leaving_it(backend: Backend) -> None:
    x = ops.asarray(X)
    with tbptt.GradientTape() as tape:
        tape.watch(x)
        total = sum((ops.sum(window * window) for window in tbptt.windows(x, 4)), ops.asarray(0.0, dtype="float64"))
    np.testing.assert_allclose(ops.to_numpy(tape.gradient(total, x)), 2 * X, rtol=1e-15)
