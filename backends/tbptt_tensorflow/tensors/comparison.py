"""Element by element: questions answered by bool, and the choice by such an answer."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt_tensorflow.tensors._promotion import boolean, promote, tensor


def equal(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.equal(x1, x2)


def not_equal(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.not_equal(x1, x2)


def less(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.less(x1, x2)


def less_equal(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.less_equal(x1, x2)


def greater(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.greater(x1, x2)


def greater_equal(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.greater_equal(x1, x2)


def isfinite(x: Any) -> Any:
    x = tensor(x)
    return tf.math.is_finite(x) if x.dtype.is_floating else tf.ones_like(x, tf.bool)


def isnan(x: Any) -> Any:
    x = tensor(x)
    return tf.math.is_nan(x) if x.dtype.is_floating else tf.zeros_like(x, tf.bool)


def isinf(x: Any) -> Any:
    x = tensor(x)
    return tf.math.is_inf(x) if x.dtype.is_floating else tf.zeros_like(x, tf.bool)


def logical_and(x1: Any, x2: Any) -> Any:
    return tf.logical_and(boolean(x1), boolean(x2))


def logical_or(x1: Any, x2: Any) -> Any:
    return tf.logical_or(boolean(x1), boolean(x2))


def logical_xor(x1: Any, x2: Any) -> Any:
    return tf.not_equal(boolean(x1), boolean(x2))


def logical_not(x: Any) -> Any:
    return tf.logical_not(boolean(x))


def where(condition: Any, x1: Any, x2: Any) -> Any:
    return tf.where(boolean(condition), *promote(x1, x2))
