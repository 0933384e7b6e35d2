"""Element by element: sums, products, signs, rounding. In the tables: g the gradient, y the answer, x the operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensors._operands import promote, promote_real, real, tensor


def of_one(function: Callable[..., Any], *vjps: Callable[..., Any]) -> Callable[[Any], Any]:
    """A function of one number, in its dtype, element by element."""
    operation = primitive(function, *vjps)

    def apply(x: Any) -> Any:
        return operation(tensor(x))

    return apply


def of_two(function: Callable[..., Any], *vjps: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """A function of two numbers, in the dtype they promote to, element by element."""
    operation = primitive(function, *vjps)

    def apply(x1: Any, x2: Any) -> Any:
        return operation(*promote(x1, x2))

    return apply


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """Rounding, which leaves integers alone."""
    return lambda x: function(x) if x.dtype.kind == "f" else x


def _share(g: Any, chosen: Any, other: Any) -> Any:
    """The gradient where the larger was chosen, half of it where both are equal."""
    return g * np.where(chosen == other, 0.5, chosen > other)


def _slope_of_exponent(g: Any, y: Any, x1: Any, x2: Any) -> Any:
    return g * np.where((x1 == 0) & (x2 >= 0), 0.0, y * np.log(x1))


add = of_two(np.add, lambda g, y, x1, x2: g, lambda g, y, x1, x2: g)
subtract = of_two(np.subtract, lambda g, y, x1, x2: g, lambda g, y, x1, x2: -g)
multiply = of_two(np.multiply, lambda g, y, x1, x2: g * x2, lambda g, y, x1, x2: g * x1)
floor_divide = of_two(np.floor_divide)
remainder = of_two(np.remainder, lambda g, y, x1, x2: g, lambda g, y, x1, x2: -g * np.floor_divide(x1, x2))
pow = of_two(np.power, lambda g, y, x1, x2: g * np.where(x2 == 0, 0.0, x2 * x1 ** (x2 - 1)), _slope_of_exponent)
maximum = of_two(np.maximum, lambda g, y, x1, x2: _share(g, x1, x2), lambda g, y, x1, x2: _share(g, x2, x1))
minimum = of_two(np.minimum, lambda g, y, x1, x2: _share(g, -x1, -x2), lambda g, y, x1, x2: _share(g, -x2, -x1))

negative = of_one(np.negative, lambda g, y, x: -g)
abs = of_one(np.abs, lambda g, y, x: g * np.sign(x))
sign = of_one(np.sign)
square = of_one(np.square, lambda g, y, x: 2 * g * x)
round = of_one(_whole(np.round))
floor = of_one(_whole(np.floor))
ceil = of_one(_whole(np.ceil))
trunc = of_one(_whole(np.trunc))

_divide = primitive(np.divide, lambda g, y, x1, x2: g / x2, lambda g, y, x1, x2: -g * y / x2)
_at_least = primitive(np.maximum, lambda g, y, x, low: g * (x >= low), lambda g, y, x, low: g * (x < low))
_at_most = primitive(np.minimum, lambda g, y, x, high: g * (x <= high), lambda g, y, x, high: g * (x > high))


def divide(x1: Any, x2: Any) -> Any:
    return _divide(*promote_real(x1, x2))


def positive(x: Any) -> Any:
    return tensor(x)


def reciprocal(x: Any) -> Any:
    return divide(1.0, real(x))


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    held = tensor(x)
    for bound, operation in ((min, _at_least), (max, _at_most)):
        if bound is not None:
            held = operation(*promote(held, bound))
    return held
