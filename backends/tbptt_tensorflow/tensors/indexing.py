"""Elements by their places, and places by their elements."""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from tbptt import dtypes
from tbptt.errors import ShapeError
from tbptt_tensorflow.tensors._promotion import integer, native, promote, tensor


def take(x: Any, indices: Any, *, axis: int | None = None) -> Any:
    source, places = tensor(x), integer(indices)
    axis = _only_axis(source, axis)
    try:
        if axis == 0 and source.dtype.is_floating:
            return _rows(source, places)
        return tf.gather(source, places, axis=axis)
    except tf.errors.InvalidArgumentError as error:  # a graph raises it later, when it runs
        raise _out_of_range("take", source, places, axis, error) from error


def take_along_axis(x: Any, indices: Any, *, axis: int = -1) -> Any:
    source, places = tensor(x), integer(indices)
    rank = source.shape.rank
    axis = axis % rank
    last = [*(one for one in range(rank) if one != axis), axis]  # tf.gather wants the axis behind those that go along
    back = sorted(range(rank), key=last.__getitem__)
    source, places = tf.transpose(source, last), tf.transpose(places, last)
    if source.shape[:-1] != places.shape[:-1]:
        common = tf.broadcast_dynamic_shape(tf.shape(source)[:-1], tf.shape(places)[:-1])
        source = tf.broadcast_to(source, tf.concat([common, tf.shape(source)[-1:]], 0))
        places = tf.broadcast_to(places, tf.concat([common, tf.shape(places)[-1:]], 0))
    try:
        return tf.transpose(tf.gather(source, places, batch_dims=rank - 1, axis=-1), back)
    except tf.errors.InvalidArgumentError as error:
        raise _out_of_range("take_along_axis", source, places, rank - 1, error) from error


def one_hot(x: Any, num_classes: int, *, dtype: Any = None) -> Any:
    kind = native(dtypes.default_dtype() if dtype is None else dtype).as_numpy_dtype
    return tf.one_hot(integer(x), num_classes, kind(1), kind(0))


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    return tf.sort(tensor(x), axis=axis, direction="DESCENDING" if descending else "ASCENDING")


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    direction = "DESCENDING" if descending else "ASCENDING"
    return tf.cast(tf.argsort(tensor(x), axis=axis, direction=direction, stable=stable), tf.int64)


def searchsorted(x1: Any, x2: Any, *, side: Literal["left", "right"] = "left", sorter: Any = None) -> Any:
    x1, x2 = promote(x1, x2)
    if sorter is not None:
        x1 = take(x1, sorter, axis=0)
    # the kernels themselves: tf.searchsorted cannot shape an empty x2 while a graph is traced
    search = tf.raw_ops.LowerBound if side == "left" else tf.raw_ops.UpperBound
    places = search(sorted_inputs=x1[None], values=tf.reshape(x2, (1, -1)), out_type=tf.int64)
    return tf.reshape(places, tf.shape(x2))


def nonzero(x: Any) -> tuple[Any, ...]:
    return tuple(tf.unstack(tf.where(tensor(x)), axis=1))


def unique_values(x: Any) -> Any:
    return tf.sort(tf.unique(tf.reshape(tensor(x), (-1,))).y)


@tf.custom_gradient
def _rows(x: Any, indices: Any) -> Any:
    """`tf.gather`, with a gradient that is dense and summed over repeated rows instead of `tf.IndexedSlices`."""

    def gradient(upstream: Any) -> tuple[Any, None]:
        slices = tf.reshape(upstream, tf.concat([(-1,), tf.shape(x)[1:]], 0))
        return tf.math.unsorted_segment_sum(slices, tf.reshape(indices, (-1,)), tf.shape(x)[0]), None

    return tf.gather(x, indices), gradient


def _only_axis(x: Any, axis: int | None) -> int:
    if axis is None and x.shape.rank != 1:
        raise ShapeError(f"take needs an axis where there are several: the shape is {tuple(x.shape)}. Give axis=.")
    return 0 if axis is None else axis % x.shape.rank


def _out_of_range(function: str, x: Any, indices: Any, axis: int, error: Exception) -> Exception:
    low, high = (int(tf.reduce_min(indices)), int(tf.reduce_max(indices))) if tf.size(indices) else (0, 0)
    if 0 <= low <= high < x.shape[axis]:
        return error  # it was something else
    return IndexError(
        f"{function}: an index is out of range. Axis {axis} of the shape {tuple(x.shape)} takes indices from 0 to "
        f"{x.shape[axis] - 1}, and these go from {low} to {high}."
    )
