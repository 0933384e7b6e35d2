"""Many elements into one, along axes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt import dtypes
from tbptt.errors import ShapeError
from tbptt.protocols.tensors import Axis
from tbptt_tensorflow.tensors._promotion import NAMES, NATIVE, boolean, cast, native, real, tensor


def sum(x: Any, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Any:
    x = tensor(x)
    return tf.reduce_sum(cast(x, _accumulator(x, dtype)), axis=axis, keepdims=keepdims)


def prod(x: Any, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Any:
    x = tensor(x)
    return tf.reduce_prod(cast(x, _accumulator(x, dtype)), axis=axis, keepdims=keepdims)


def mean(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return tf.reduce_mean(real(x), axis=axis, keepdims=keepdims)


def var(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    x = real(x)
    squares = tf.square(x - tf.reduce_mean(x, axis=axis, keepdims=True))
    if correction == 0:
        return tf.reduce_mean(squares, axis=axis, keepdims=keepdims)
    total = tf.reduce_sum(squares, axis=axis, keepdims=keepdims)
    count = tf.cast(tf.size(x) / tf.size(total), x.dtype)
    return total / tf.maximum(count - correction, 0)


def std(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    return tf.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def max(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return tf.reduce_max(tensor(x), axis=axis, keepdims=keepdims)


def min(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return tf.reduce_min(tensor(x), axis=axis, keepdims=keepdims)


def any(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return tf.reduce_any(boolean(x), axis=axis, keepdims=keepdims)


def all(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return tf.reduce_all(boolean(x), axis=axis, keepdims=keepdims)


def count_nonzero(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return sum(boolean(x), axis=axis, keepdims=keepdims)


def argmax(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    return _place(tf.argmax, x, axis, keepdims)


def argmin(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    return _place(tf.argmin, x, axis, keepdims)


def logsumexp(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return tf.reduce_logsumexp(real(x), axis=axis, keepdims=keepdims)


def cumulative_sum(x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    x = tensor(x)
    axis = _only_axis(x, axis)
    result = tf.cumsum(cast(x, _accumulator(x, dtype)), axis=axis)
    return tf.concat([tf.zeros(_front(result, axis), result.dtype), result], axis=axis) if include_initial else result


def cumulative_prod(x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    x = tensor(x)
    axis = _only_axis(x, axis)
    result = tf.math.cumprod(cast(x, _accumulator(x, dtype)), axis=axis)
    return tf.concat([tf.ones(_front(result, axis), result.dtype), result], axis=axis) if include_initial else result


def _place(find: Any, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = tensor(x)
    if x.dtype is tf.bool:
        x = tf.cast(x, tf.uint8)
    if axis is None:
        place = find(tf.reshape(x, (-1,)), axis=0, output_type=tf.int64)
        return tf.reshape(place, (1,) * x.shape.rank) if keepdims else place
    place = find(x, axis=axis, output_type=tf.int64)
    return tf.expand_dims(place, axis % x.shape.rank) if keepdims else place


def _only_axis(x: Any, axis: int | None) -> int:
    if axis is None and x.shape.rank != 1:
        raise ShapeError(
            f"A running sum or product needs an axis where there are several (or none): the shape is {tuple(x.shape)}. "
            f"Give axis=, or reshape to one axis first."
        )
    return 0 if axis is None else axis


def _accumulator(x: Any, dtype: Any) -> Any:
    return NATIVE[dtypes.accumulating(NAMES[x.dtype])] if dtype is None else native(dtype)


def _front(x: Any, axis: int) -> Any:
    lengths = tf.unstack(tf.shape(x))
    lengths[axis] = 1
    return lengths
