"""The few functions of neural networks that the array API lacks."""

from __future__ import annotations

import math
from typing import Any, Literal

import tensorflow as tf

from tbptt_tensorflow.tensors._promotion import real, tensor


def sigmoid(x: Any) -> Any:
    return tf.sigmoid(real(x))


def relu(x: Any) -> Any:
    return tf.nn.relu(tensor(x))


def elu(x: Any) -> Any:
    return tf.nn.elu(real(x))


def gelu(x: Any, approximate: Literal["none", "tanh"] = "none") -> Any:
    # not tf.nn.gelu, whose constants pass through float32
    x = real(x)
    if approximate == "tanh":
        return 0.5 * x * (1 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + tf.math.erf(x * math.sqrt(0.5)))


def silu(x: Any) -> Any:
    return tf.nn.silu(real(x))


def softplus(x: Any) -> Any:
    return tf.math.softplus(real(x))


def softmax(x: Any, axis: int = -1) -> Any:
    return tf.nn.softmax(real(x), axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    return tf.nn.log_softmax(real(x), axis=axis)
