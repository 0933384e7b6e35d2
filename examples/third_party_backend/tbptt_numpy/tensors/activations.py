"""The few functions of neural networks that the array API lacks."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensors._operands import real, tensor
from tbptt_numpy.tensors.transcendental import erf, of_real, tanh

sigmoid = of_real(lambda x: 1 / (1 + np.exp(-x)), lambda g, y, x: g * y * (1 - y))
elu = of_real(lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), lambda g, y, x: g * np.exp(np.minimum(x, 0)))
softplus = of_real(lambda x: np.logaddexp(x, 0), lambda g, y, x: g / (1 + np.exp(-x)))


def relu(x: Any) -> Any:
    return _relu(tensor(x))


def gelu(x: Any, approximate: Literal["none", "tanh"] = "none") -> Any:
    x = real(x)
    if approximate == "tanh":
        return 0.5 * x * (1.0 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def silu(x: Any) -> Any:
    x = real(x)
    return x * sigmoid(x)


def softmax(x: Any, axis: int = -1) -> Any:
    return _softmax(real(x), axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    return _log_softmax(real(x), axis=axis)


def _normalised(x: Any, axis: int) -> Any:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return e / np.sum(e, axis=axis, keepdims=True)


def _log_normalised(x: Any, axis: int) -> Any:
    shifted = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


_relu = primitive(lambda x: np.maximum(x, 0), lambda g, y, x: g * (x > 0))
_softmax = primitive(_normalised, lambda g, y, x, axis: y * (g - np.sum(g * y, axis=axis, keepdims=True)))
_log_softmax = primitive(_log_normalised, lambda g, y, x, axis: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True))
