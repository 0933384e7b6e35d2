"""Element by element: the functions of a pocket calculator. In the table: g the gradient, y the answer, x the operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensors._operands import promote_real, real


def of_real(function: Callable[..., Any], vjp: Callable[..., Any]) -> Callable[[Any], Any]:
    """A function of one real number, element by element."""
    operation = primitive(function, vjp)

    def apply(x: Any) -> Any:
        return operation(real(x))

    return apply


def of_reals(function: Callable[..., Any], *vjps: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """A function of two real numbers, element by element."""
    operation = primitive(function, *vjps)

    def apply(x1: Any, x2: Any) -> Any:
        return operation(*promote_real(x1, x2))

    return apply


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)  # NumPy has none


sqrt = of_real(np.sqrt, lambda g, y, x: g / (2 * y))
rsqrt = of_real(lambda x: 1 / np.sqrt(x), lambda g, y, x: -g * y / (2 * x))
exp = of_real(np.exp, lambda g, y, x: g * y)
expm1 = of_real(np.expm1, lambda g, y, x: g * (y + 1))
log = of_real(np.log, lambda g, y, x: g / x)
log1p = of_real(np.log1p, lambda g, y, x: g / (1 + x))
log2 = of_real(np.log2, lambda g, y, x: g / (x * math.log(2)))
log10 = of_real(np.log10, lambda g, y, x: g / (x * math.log(10)))
sin = of_real(np.sin, lambda g, y, x: g * np.cos(x))
cos = of_real(np.cos, lambda g, y, x: -g * np.sin(x))
tan = of_real(np.tan, lambda g, y, x: g * (1 + y * y))
asin = of_real(np.arcsin, lambda g, y, x: g / np.sqrt(1 - x * x))
acos = of_real(np.arccos, lambda g, y, x: -g / np.sqrt(1 - x * x))
atan = of_real(np.arctan, lambda g, y, x: g / (1 + x * x))
sinh = of_real(np.sinh, lambda g, y, x: g * np.cosh(x))
cosh = of_real(np.cosh, lambda g, y, x: g * np.sinh(x))
tanh = of_real(np.tanh, lambda g, y, x: g * (1 - y * y))
asinh = of_real(np.arcsinh, lambda g, y, x: g / np.sqrt(x * x + 1))
acosh = of_real(np.arccosh, lambda g, y, x: g / np.sqrt(x * x - 1))
atanh = of_real(np.arctanh, lambda g, y, x: g / (1 - x * x))
erf = of_real(_erf, lambda g, y, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x))
atan2 = of_reals(
    np.arctan2,
    lambda g, y, x1, x2: g * x2 / (x1 * x1 + x2 * x2),
    lambda g, y, x1, x2: -g * x1 / (x1 * x1 + x2 * x2),
)
hypot = of_reals(np.hypot, lambda g, y, x1, x2: g * x1 / y, lambda g, y, x1, x2: g * x2 / y)
logaddexp = of_reals(
    np.logaddexp, lambda g, y, x1, x2: g / (1 + np.exp(x2 - x1)), lambda g, y, x1, x2: g / (1 + np.exp(x1 - x2))
)
