"""Integers as rows of bits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt_tensorflow.tensors._promotion import promote, tensor

_UNSIGNED = {tf.int32: tf.uint32, tf.int64: tf.uint64}


def bitwise_and(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.logical_and(x1, x2) if x1.dtype is tf.bool else tf.bitwise.bitwise_and(x1, x2)


def bitwise_or(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.logical_or(x1, x2) if x1.dtype is tf.bool else tf.bitwise.bitwise_or(x1, x2)


def bitwise_xor(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.not_equal(x1, x2) if x1.dtype is tf.bool else tf.bitwise.bitwise_xor(x1, x2)


def bitwise_invert(x: Any) -> Any:
    x = tensor(x)
    return tf.logical_not(x) if x.dtype is tf.bool else tf.bitwise.invert(x)


def bitwise_left_shift(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.bitwise.left_shift(x1, x2)


def bitwise_right_shift(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.bitwise.right_shift(x1, x2)


def logical_right_shift(x1: Any, x2: Any) -> Any:
    # shifts of unsigned integers fill with zeros
    x1, x2 = promote(x1, x2)
    unsigned = _UNSIGNED[x1.dtype]
    return tf.bitcast(tf.bitwise.right_shift(tf.bitcast(x1, unsigned), tf.bitcast(x2, unsigned)), x1.dtype)
