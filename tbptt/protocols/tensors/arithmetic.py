"""Element by element: sums, products, signs, rounding."""

from __future__ import annotations

from typing import Any, Protocol

from tbptt.types import Tensor


class Arithmetic(Protocol):
    """Arithmetic. Integers stay integers and wrap around where they overflow, except where said otherwise."""

    def add(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 + x2"""
        ...

    def subtract(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 − x2"""
        ...

    def multiply(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 · x2"""
        ...

    def divide(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 / x2; integers are divided in the default float dtype."""
        ...

    def floor_divide(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The largest whole number not above x1 / x2, as ``//`` of NumPy. An integer divisor of zero is undefined."""
        ...

    def remainder(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 modulo x2, with the sign of x2, as ``%`` of NumPy. An integer divisor of zero is undefined."""
        ...

    def pow(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 to the power x2. Negative integer powers of integers are undefined."""
        ...

    def negative(self, x: Tensor) -> Tensor:
        """−x"""
        ...

    def positive(self, x: Tensor) -> Tensor:
        """+x, which is x itself"""
        ...

    def abs(self, x: Tensor) -> Tensor:
        """|x|; its gradient at 0 is 0."""
        ...

    def sign(self, x: Tensor) -> Tensor:
        """−1, 0 or 1 in the dtype of x; NaN stays NaN."""
        ...

    def square(self, x: Tensor) -> Tensor:
        """`x · x`"""
        ...

    def reciprocal(self, x: Tensor) -> Tensor:
        """1 / x, in floats."""
        ...

    def maximum(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The larger of the two; NaN if one of them is. Where they are equal each gets half the gradient."""
        ...

    def minimum(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The smaller of the two; NaN if one of them is. Where they are equal each gets half the gradient."""
        ...

    def clip(self, x: Tensor, min: Any = None, max: Any = None) -> Tensor:
        """min(max(x, min), max), each bound a number, a tensor or None. At a bound the gradient goes to x."""
        ...

    def round(self, x: Tensor) -> Tensor:
        """The nearest whole number, halves to the even one. Integers pass."""
        ...

    def floor(self, x: Tensor) -> Tensor:
        """The largest whole number not above x. Integers pass."""
        ...

    def ceil(self, x: Tensor) -> Tensor:
        """The smallest whole number not below x. Integers pass."""
        ...

    def trunc(self, x: Tensor) -> Tensor:
        """The nearest whole number toward zero. Integers pass."""
        ...
