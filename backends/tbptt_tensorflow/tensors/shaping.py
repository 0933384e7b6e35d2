"""The same elements in another arrangement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import tensorflow as tf

from tbptt.errors import ShapeError
from tbptt_tensorflow.tensors._promotion import promote_all, tensor


def shape(x: Any) -> tuple[Any, ...]:
    x = tensor(x)
    lengths = tuple(x.shape)
    if None not in lengths:
        return lengths
    now = tf.shape(x)
    return tuple(now[axis] if length is None else length for axis, length in enumerate(lengths))


def size(x: Any) -> Any:
    x = tensor(x)
    return math.prod(x.shape) if x.shape.is_fully_defined() else tf.size(x, out_type=tf.int64)


def reshape(x: Any, shape: Any, *, copy: bool | None = None) -> Any:
    return tf.reshape(tensor(x), (shape,) if isinstance(shape, int) else shape)  # tensors are never written to


def permute_dims(x: Any, axes: Sequence[int]) -> Any:
    x = tensor(x)
    return tf.transpose(x, [axis % x.shape.rank for axis in axes])


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    x = tensor(x)
    sources = [axis % x.shape.rank for axis in ((source,) if isinstance(source, int) else source)]
    destinations = [axis % x.shape.rank for axis in ((destination,) if isinstance(destination, int) else destination)]
    axes = [axis for axis in range(x.shape.rank) if axis not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        axes.insert(place, axis)
    return tf.transpose(x, axes)


def expand_dims(x: Any, *, axis: int = 0) -> Any:
    return tf.expand_dims(tensor(x), axis)


def squeeze(x: Any, axis: int | tuple[int, ...]) -> Any:
    x = tensor(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for one in axes:
        if x.shape[one] not in (1, None):
            raise ShapeError(
                f"squeeze takes axes of length 1 away: axis {one} of the shape {tuple(x.shape)} is {x.shape[one]} long."
            )
    return tf.squeeze(x, axes)


def broadcast_to(x: Any, shape: Any) -> Any:
    return tf.broadcast_to(tensor(x), (shape,) if isinstance(shape, int) else shape)


def flip(x: Any, *, axis: int | tuple[int, ...] | None = None) -> Any:
    x = tensor(x)
    axes = range(x.shape.rank) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tf.reverse(x, [one % x.shape.rank for one in axes])


def roll(x: Any, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Any:
    x = tensor(x)
    shifts, axes = _pairs(shift, axis)
    if axes:
        return tf.roll(x, shifts, axes)
    return tf.reshape(tf.roll(tf.reshape(x, (-1,)), shifts, (0,)), tf.shape(x))


def tile(x: Any, repetitions: Sequence[int]) -> Any:
    x = tensor(x)
    missing = len(repetitions) - x.shape.rank
    if missing > 0:
        x = tf.reshape(x, (1,) * missing + shape(x))
    return tf.tile(x, (1,) * -missing + tuple(repetitions))


def repeat(x: Any, repeats: Any, *, axis: int | None = None) -> Any:
    return tf.repeat(tensor(x), repeats, axis=axis)


def concat(arrays: Sequence[Any], *, axis: int | None = 0) -> Any:
    tensors = promote_all(arrays)
    return tf.concat([tf.reshape(x, (-1,)) for x in tensors] if axis is None else tensors, axis=axis or 0)


def stack(arrays: Sequence[Any], *, axis: int = 0) -> Any:
    return tf.stack(promote_all(arrays), axis=axis)


def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    return tuple(tf.unstack(tensor(x), axis=axis))


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Any, ...]:
    x = tensor(x)
    length = x.shape[axis]
    if not isinstance(indices_or_sections, int):
        places = [0, *(place if length is None else min(place, length) for place in indices_or_sections)]
        sizes = [stop - start for start, stop in pairwise(places)]
        return tuple(tf.split(x, [*sizes, -1 if length is None else length - places[-1]], axis=axis))
    if length is not None and length % indices_or_sections:
        raise ShapeError(
            f"split makes equal pieces, and axis {axis} of the shape {tuple(x.shape)} does not divide by "
            f"{indices_or_sections}. Name the places to cut at instead."
        )
    return tuple(tf.split(x, indices_or_sections, axis=axis))


def _pairs(shift: Any, axis: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) if isinstance(shift, int) else tuple(shift)
    return shifts * len(axes) if len(axes) > len(shifts) == 1 else shifts, axes
