"""Cutting a batch of long sequences into windows, lazily: only the window at hand is read, converted and placed.

A batch is any tree of NumPy arrays, memory-mapped or otherwise sliceable arrays, and tensors of any engine. A window is
the same tree with tensors of the current engine on the current device, cut along time; leaves without time come whole.
Lengths of rows come as what is left of them in the window.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tbptt import clock, tree
from tbptt.backends import current_backend, current_device, owner_of
from tbptt.data.lengths import LENGTHS, Axis, named_lengths, read_lengths
from tbptt.data.padded import with_padded
from tbptt.data.resets import named_resets
from tbptt.dtypes import FLOATS, is_kind, name_of
from tbptt.errors import ConfigurationError, DataError, ShapeError
from tbptt.protocols import Backend
from tbptt.schedules import Schedule, Window, as_schedule, checked_plan
from tbptt.schedules.base import check_length
from tbptt.types import Array, DType, Tree

# Tokens are stored small; neither engine looks up an embedding by these, and both count in the wider ones.
_WIDENED = {
    "uint8": "int32",
    "int8": "int32",
    "uint16": "int32",
    "int16": "int32",
    "uint32": "int64",
    "uint64": "int64",
}


def windows(
    batch: Tree, schedule: int | Schedule, time_axis: int | Tree = 1, *, float_dtype: Any = None
) -> Iterator[Tree]:
    """The windows of a batch, one after the other, each a tree like the batch.

    >>> import numpy as np, tbptt
    >>> x, y = np.zeros((2, 50, 3), "float32"), np.zeros((2, 50), "int64")
    >>> [tuple(window[0].shape) for window in tbptt.windows((x, y), 20)]
    [(2, 20, 3), (2, 20, 3), (2, 10, 3)]

    **Rows of different length** are padded to one, and a leaf of one axis says how many steps of each row count. It is known by
    its name: the entry ``lengths`` of a dict, the field ``lengths`` of a namedtuple (`tbptt.data.Padded`) or dataclass; or
    by the word ``"lengths"`` in its place in `time_axis`. A window has what is left of them, ``clip(lengths − start, 0, steps)``
    in int64, which is what layers and losses take as ``lengths=``. Lengths govern the leaves beside them; where every leaf
    with time is governed, time ends with the longest row. A mask of booleans (batch, time) needs no rule: it is cut like all
    that has time.
    A mask of rows named ``resets`` (`tbptt.data.resets`) is about the first step: later windows have it all False.
    torch's ``PackedSequence`` and TensorFlow's ``RaggedTensor`` become a `Padded`.

    >>> batch = {"x": np.zeros((2, 50, 3), "float32"), "lengths": np.array([25, 10])}
    >>> [tbptt.ops.to_numpy(window["lengths"]).tolist() for window in tbptt.windows(batch, 20)]
    [[20, 10], [5, 0]]

    Args:
        batch: a tree of arrays or tensors, by default (batch, time, ...). Numbers and strings in it are passed on.
        schedule: time steps a window, or a schedule.
        time_axis: the axis of time of every leaf that has that axis, other leaves being passed whole; or a tree like
            the batch with an axis for each leaf, None for leaves without time (``lengths`` then pass whole, too),
            ``"lengths"`` for lengths of rows, ``(1, 1, "lengths")``. An entry counts for everything below it.
        float_dtype: what floating leaves are converted to; None: they keep theirs. Integers below 32 bits become
            int32, uint32 and uint64 become int64, on every engine.

    Raises:
        ShapeError: if leaves disagree about the number of time steps, none has a time axis, or there is not one length a row.
        StructureError: if `time_axis` is a tree that does not fit the batch.
        DataError: if there are no time steps, or lengths are no whole numbers from 0 to the number of steps.
        ScheduleError, ConfigurationError: for a wrong `schedule` or `time_axis`.
    """
    windowed = WindowedBatch(batch, schedule, time_axis, float_dtype=float_dtype)
    return _walk(windowed)


def _walk(windowed: WindowedBatch) -> Iterator[Tree]:
    sequence = clock.next_sequence()
    for span in windowed.spans():
        for start, stop in span.tiles():
            window = Window(start, stop)
            with _enter(window, sequence):
                yield windowed.cut(window)


def _enter(window: Window, sequence: int) -> AbstractContextManager[None]:
    """What holds while a loop of the user's own is at this window: layers are told where in time it begins."""
    return clock.at(clock.Origin(epoch=sequence, row=0, time=window.start))


class WindowedBatch:
    """A batch and a schedule: iterating yields ``(window, tree)`` pairs, the record of integers and the leaves.

    >>> import numpy as np
    >>> from tbptt.windowing import WindowedBatch
    >>> windowed = WindowedBatch({"x": np.zeros((4, 7))}, 5)
    >>> windowed.batch_size, [(window.start, window.stop) for window, _ in windowed]
    (4, [(0, 5), (5, 7)])

    Arguments and errors are those of `windows`. In addition `schedule` may be None (one window: nothing is cut, lengths
    included, and leaves need not agree about time), and `backend` and `device` say where windows go, by default to the
    current ones. Its length is the number of windows. It may be iterated again, which asks the schedule for a new plan.
    """

    length: int
    """Time steps of the batch, up to the end of its longest row."""
    batch_size: int
    """Rows: the length of axis 0 (of axis 1, where time is axis 0); 1 if leaves with time have no other axis."""

    def __init__(
        self,
        batch: Tree,
        schedule: int | Schedule | None,
        time_axis: int | Tree = 1,
        *,
        float_dtype: Any = None,
        backend: Backend | None = None,
        device: str | None = None,
    ) -> None:
        self.schedule = None if schedule is None else as_schedule(schedule)
        self._float_dtype = _checked_float_dtype(float_dtype)
        self._backend = backend or current_backend()
        self._device = device or current_device(self._backend)
        batch = with_padded(batch)
        leaves, self._structure = tree.flatten(batch)
        axes = _time_axes(batch, leaves, self._structure, time_axis)
        timed = [(_shape(leaf), axis) for leaf, axis in zip(leaves, axes, strict=True) if isinstance(axis, int)]
        rows = [shape[0 if axis else 1] for shape, axis in timed if len(shape) > 1] or [
            shape[0] for shape in map(_shape, leaves) if shape and not timed
        ]
        self.batch_size = int(rows[0]) if rows else 1
        if self.schedule is None:
            self.length = int(timed[0][0][timed[0][1]]) if timed else 1
        else:
            self.length = _common_length(batch, leaves, axes, time_axis)
            check_length(self.length)
        if LENGTHS in axes:
            leaves, longest = read_lengths(batch, leaves, axes, self.batch_size)
            if self.schedule is not None and longest is not None:
                self.length = longest
        self._row_axes = [int(axis == 0) if isinstance(axis, int) else None for axis in axes]
        self._shift()
        self._axes: list[Axis] = [None] * len(leaves) if self.schedule is None else axes
        named = named_resets(leaves, self._structure)
        self._about_start = [each and len(_shape(leaf)) == 1 for each, leaf in zip(named, leaves, strict=True)]
        """Of each leaf, whether it is the mask of rows that begin anew before the first step."""
        self._leaves = leaves
        # what has no time is converted once, not for every window, and known again by its identity
        self._whole = {
            id(leaf): self._convert(leaf) for leaf, axis in zip(leaves, self._axes, strict=True) if axis is None
        }
        self._count: int | None = None

    def _shift(self) -> None:
        """Let rows begin where the schedule wants them to, and time end with the row that is furthest ahead."""
        shifts = getattr(self.schedule, "shifts", None)
        self.shifts: list[int] = shifts(self.batch_size) if shifts else []
        ahead = max(self.shifts, default=0)
        if ahead and ahead >= self.length:
            raise DataError(
                f"{self.schedule!r} begins rows up to {ahead} steps later than the first, and they have {self.length}. Use "
                f"offset='random' or 0 for sequences this short."
            )
        self.length -= ahead

    def shifted(self, mask: Array) -> Array:
        """(rows, time), as the windows see it: each row from where it begins."""
        if not any(self.shifts):
            return mask
        return np.stack([row[shift : shift + self.length] for row, shift in zip(mask, self.shifts, strict=True)])

    def __len__(self) -> int:
        if self.schedule is None:
            return 1
        if self._count is None:
            schedule = copy.deepcopy(self.schedule)  # counting draws, and must not change what is drawn next
            self._count = sum(1 for _ in schedule.plan(self.length))
        return self._count

    def __iter__(self) -> Iterator[tuple[Window, Tree]]:
        for window in self.spans():
            yield window, self.cut(window)

    def spans(self) -> Iterator[Window]:
        """The windows as integers, by a plan that is asked for anew."""
        return iter([Window(0, self.length)]) if self.schedule is None else checked_plan(self.schedule, self.length)

    def cut(self, window: Window) -> Tree:
        """One window of the batch, as tensors of the current engine: ``place(slice(window))``."""
        return tree.unflatten(self._structure, [self._place(leaf) for leaf in self._slice(window)])

    def slice(self, window: Window) -> Tree:
        """One window of the batch as it came: views of what the batch is made of, lengths as NumPy's.

        >>> import numpy as np
        >>> from tbptt.windowing import WindowedBatch
        >>> from tbptt.schedules import Window
        >>> windowed = WindowedBatch({"x": np.arange(4.0)[None]}, 2)
        >>> windowed.slice(Window(2, 4))
        {'x': array([[2., 3.]])}
        """
        return tree.unflatten(self._structure, self._slice(window))

    def place(self, leaves: Tree) -> Tree:
        """The leaves of any tree as tensors of the current engine on the device, with the conversions of `windows`."""
        given, structure = tree.flatten(leaves)
        return tree.unflatten(structure, [self._place(leaf) for leaf in given])

    def _slice(self, window: Window) -> list[Any]:
        if any(self.shifts):
            return [self._slice_rows(index, window) for index in range(len(self._leaves))]
        steps = slice(window.start, window.stop)
        return [
            self._untimed(index, window)
            if axis is None
            else np.clip(leaf - window.start, 0, window.steps)
            if isinstance(axis, str)
            else leaf[(slice(None),) * axis + (steps,)]
            for index, (leaf, axis) in enumerate(zip(self._leaves, self._axes, strict=True))
        ]

    def _untimed(self, index: int, window: Window) -> Any:
        """Of a leaf without time. No row begins anew at a window that is not the first."""
        leaf = self._leaves[index]
        return np.zeros(_shape(leaf), bool) if self._about_start[index] and window.start else leaf

    def _slice_rows(self, index: int, window: Window) -> Any:
        """Of a leaf whose rows begin at different steps."""
        leaf, axis, rows = self._leaves[index], self._axes[index], self._row_axes[index]
        if axis is None:
            return self._untimed(index, window)
        if isinstance(axis, str):
            return np.clip(leaf - self.shifts - window.start, 0, window.steps)
        parts = []
        for row, shift in enumerate(self.shifts):
            place: list[Any] = [slice(None)] * len(_shape(leaf))
            place[axis] = slice(window.start + shift, window.stop + shift)
            if rows is not None and len(place) > 1:
                place[rows] = row
            parts.append(leaf[tuple(place)])
        owner = owner_of(leaf)
        return np.stack(parts, rows or 0) if owner is None else owner.tensors.stack(parts, axis=rows or 0)

    def _place(self, leaf: Any) -> Any:
        return self._whole[id(leaf)] if id(leaf) in self._whole else self._convert(leaf)

    def _convert(self, leaf: Any) -> Any:
        owner = None if isinstance(leaf, np.ndarray) else owner_of(leaf)
        if owner is not None:
            dtype = self._target(owner.tensors.dtype(leaf))
            if owner.name == self._backend.name:
                return owner.tensors.astype(owner.devices.place(leaf, self._device), dtype)
            leaf = owner.tensors.to_numpy(leaf)
        elif not hasattr(leaf, "shape"):
            return leaf
        else:
            leaf = np.asarray(leaf)
            if leaf.dtype.kind not in "biuf":
                return leaf  # names, dates and objects are no tensors on any engine
            dtype = self._target(leaf.dtype.name)
        # A copy of its own: a memory-mapped page cannot be written to, and the caller's array should not be.
        # NumPy has no bfloat16; the engine narrows what came as float32.
        held = np.array(leaf, dtype=None if dtype == "bfloat16" else dtype, order="C")
        return self._backend.tensors.asarray(held, dtype=dtype, device=self._device)

    def _target(self, dtype: DType) -> DType:
        if self._float_dtype is not None and dtype in FLOATS:
            return self._float_dtype
        return _WIDENED.get(dtype, dtype)


def _checked_float_dtype(dtype: Any) -> DType | None:
    name = None if dtype is None else name_of(dtype)
    if name is not None and not is_kind(name, "real floating"):
        raise ConfigurationError(f"float_dtype= is a floating dtype, one of {', '.join(FLOATS)}; received {dtype!r}.")
    return name


def _time_axes(batch: Tree, leaves: list[Any], structure: tree.Structure, time_axis: int | Tree) -> list[Axis]:
    names = named_lengths(leaves, structure)
    if isinstance(time_axis, numbers.Integral) and not isinstance(time_axis, bool):
        axis = _checked_axis(time_axis, "time_axis")
        rows_only = [
            named and len(_shape(leaf)) == 1
            for leaf, named in zip(leaves, named_resets(leaves, structure), strict=True)
        ]
        return [
            LENGTHS if named else axis if len(_shape(leaf)) > axis and not without_time else None
            for leaf, named, without_time in zip(leaves, names, rows_only, strict=True)
        ]
    if time_axis is None or not tree.is_node(time_axis):
        raise ConfigurationError(
            f"time_axis= is an axis (0, 1, ...), or a tree like the batch with an axis, {LENGTHS!r} or None for each leaf; "
            f"received {time_axis!r}."
        )
    axes: list[Axis] = tree.broadcast(time_axis, batch, ("time_axis", "the batch"))
    for index, (path, leaf, entry) in enumerate(zip(tree.paths(batch, "batch"), leaves, list(axes), strict=True)):
        if entry is None or entry == LENGTHS:
            continue
        time = _checked_axis(entry, f"time_axis for {path}")
        if names[index]:  # an entry for all below it means the axis of those that have one
            axes[index] = LENGTHS
        elif time >= len(_shape(leaf)):
            raise ShapeError(
                f"{path} should have its time on axis {time}, but its shape is {_shape(leaf)}. "
                f"Give None in time_axis for a leaf without time."
            )
    return axes


def _checked_axis(axis: Any, name: str) -> int:
    if isinstance(axis, bool) or not isinstance(axis, numbers.Integral) or axis < 0:
        raise ConfigurationError(f"{name} is an axis counted from the first, 0, 1, ...; received {axis!r}.")
    return int(axis)


def _common_length(batch: Tree, leaves: list[Any], axes: list[Axis], time_axis: Any) -> int:
    found = [
        (path, _shape(leaf), axis)
        for path, leaf, axis in zip(tree.paths(batch, "batch"), leaves, axes, strict=True)
        if isinstance(axis, int)
    ]
    if not found:
        shapes = ", ".join(
            f"{path} {_shape(x) if hasattr(x, 'shape') else type(x).__name__}"
            for path, x in zip(tree.paths(batch, "batch"), leaves, strict=True)
        )
        raise ShapeError(
            f"No leaf of the batch has a time axis (time_axis={time_axis!r}); received {shapes or 'no leaves'}. "
            f"Batches are (batch, time, ...) arrays unless time_axis= says otherwise; a list is a node, not an array."
        )
    if len({shape[axis] for _, shape, axis in found}) > 1:
        shapes = ", ".join(f"{path} {shape} has {shape[axis]} on axis {axis}" for path, shape, axis in found)
        raise ShapeError(
            f"The leaves of the batch disagree about the number of time steps: {shapes}. "
            f"Give time_axis= as a tree like the batch, with None for leaves without time."
        )
    _, shape, axis = found[0]
    return int(shape[axis])


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(getattr(leaf, "shape", ()))
