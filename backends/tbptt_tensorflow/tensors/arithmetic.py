"""Element by element: sums, products, signs, rounding."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt_tensorflow.tensors._promotion import promote, real, tensor


def add(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.add(x1, x2)


def subtract(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.subtract(x1, x2)


def multiply(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.multiply(x1, x2)


def divide(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    if not x1.dtype.is_floating:
        x1, x2 = real(x1), real(x2)
    return tf.truediv(x1, x2)


def floor_divide(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    if not x1.dtype.is_floating:
        return tf.math.floordiv(x1, x2)
    # by way of the remainder, as NumPy and torch: the floor of the rounded quotient is one too high at times (1 // 0.1)
    whole = tf.round((x1 - tf.math.floormod(x1, x2)) / x2)
    return tf.where(tf.equal(x2, 0), x1 / x2, whole)


def remainder(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.math.floormod(x1, x2)


def pow(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.pow(x1, x2)


def negative(x: Any) -> Any:
    return tf.negative(tensor(x))


def positive(x: Any) -> Any:
    return tensor(x)


def abs(x: Any) -> Any:
    return tf.abs(tensor(x))


def sign(x: Any) -> Any:
    x = tensor(x)
    return tf.where(tf.math.is_nan(x), x, tf.sign(x)) if x.dtype.is_floating else tf.sign(x)


def square(x: Any) -> Any:
    return tf.square(tensor(x))


def reciprocal(x: Any) -> Any:
    return tf.math.reciprocal(real(x))


def maximum(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return _shared(x1, x2, tf.maximum(x1, x2))


def minimum(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return _shared(x1, x2, tf.minimum(x1, x2))


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    x = tensor(x)
    for bound in (min, max):
        if bound is not None:
            x, _ = promote(x, bound)
    # at a tie tf.maximum and tf.minimum give the gradient to the first, which is what torch.clamp does
    if min is not None:
        x = tf.maximum(*promote(x, min))
    if max is not None:
        x = tf.minimum(*promote(x, max))
    return x


def round(x: Any) -> Any:
    return tf.round(tensor(x))


def floor(x: Any) -> Any:
    x = tensor(x)
    return tf.floor(x) if x.dtype.is_floating else x


def ceil(x: Any) -> Any:
    x = tensor(x)
    return tf.math.ceil(x) if x.dtype.is_floating else x


def trunc(x: Any) -> Any:
    x = tensor(x)
    return tf.where(x < 0, tf.math.ceil(x), tf.floor(x)) if x.dtype.is_floating else x


def _shared(x1: Any, x2: Any, chosen: Any) -> Any:
    # TensorFlow gives the gradient of equals to the first alone; the halves give each half, as torch does
    return tf.where(tf.equal(x1, x2), 0.5 * x1 + 0.5 * x2, chosen) if x1.dtype.is_floating else chosen
