"""Element by element: the functions of a pocket calculator."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tbptt_tensorflow.tensors._promotion import promote, real


def sqrt(x: Any) -> Any:
    return tf.math.sqrt(real(x))


def rsqrt(x: Any) -> Any:
    return tf.math.rsqrt(real(x))


def exp(x: Any) -> Any:
    return tf.math.exp(real(x))


def expm1(x: Any) -> Any:
    return tf.math.expm1(real(x))


def log(x: Any) -> Any:
    return tf.math.log(real(x))


def log1p(x: Any) -> Any:
    return tf.math.log1p(real(x))


def log2(x: Any) -> Any:
    return tf.math.log(real(x)) / math.log(2.0)


def log10(x: Any) -> Any:
    return tf.math.log(real(x)) / math.log(10.0)


def sin(x: Any) -> Any:
    return tf.math.sin(real(x))


def cos(x: Any) -> Any:
    return tf.math.cos(real(x))


def tan(x: Any) -> Any:
    return tf.math.tan(real(x))


def asin(x: Any) -> Any:
    return tf.math.asin(real(x))


def acos(x: Any) -> Any:
    return tf.math.acos(real(x))


def atan(x: Any) -> Any:
    return tf.math.atan(real(x))


def sinh(x: Any) -> Any:
    return tf.math.sinh(real(x))


def cosh(x: Any) -> Any:
    return tf.math.cosh(real(x))


def tanh(x: Any) -> Any:
    return tf.math.tanh(real(x))


def asinh(x: Any) -> Any:
    return tf.math.asinh(real(x))


def acosh(x: Any) -> Any:
    return tf.math.acosh(real(x))


def atanh(x: Any) -> Any:
    return tf.math.atanh(real(x))


def erf(x: Any) -> Any:
    return tf.math.erf(real(x))


def atan2(x1: Any, x2: Any) -> Any:
    return tf.math.atan2(*_reals(x1, x2))


def hypot(x1: Any, x2: Any) -> Any:
    x1, x2 = _reals(x1, x2)
    size1, size2 = tf.abs(x1), tf.abs(x2)
    larger, smaller = tf.maximum(size1, size2), tf.minimum(size1, size2)
    plain = tf.logical_or(tf.equal(larger, 0), tf.math.is_inf(larger))  # where the ratio would not be a number
    ratio = smaller / tf.where(plain, tf.ones_like(larger), larger)
    return tf.where(plain, larger, larger * tf.sqrt(1 + tf.square(ratio)))


def logaddexp(x1: Any, x2: Any) -> Any:
    x1, x2 = _reals(x1, x2)
    # equals apart, infinite ones too: their difference is no number, and each gets half the gradient
    equal = tf.equal(x1, x2)
    distance = tf.abs(tf.where(equal, tf.zeros_like(x1 + x2), x1 - x2))
    return tf.where(equal, 0.5 * x1 + 0.5 * x2 + math.log(2.0), tf.maximum(x1, x2) + tf.math.softplus(-distance))


def _reals(x1: Any, x2: Any) -> tuple[Any, Any]:
    x1, x2 = promote(x1, x2)
    return real(x1), real(x2)
