"""Element by element: questions answered by bool, and the choice by such an answer."""

from __future__ import annotations

from typing import Protocol

from tbptt.types import Tensor


class Comparison(Protocol):
    """Comparisons and logic; all but `where` answer in bool. Logic takes any dtype and reads it as ``!= 0``."""

    def equal(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 = x2"""
        ...

    def not_equal(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 ≠ x2"""
        ...

    def less(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 < x2"""
        ...

    def less_equal(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 ≤ x2"""
        ...

    def greater(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 > x2"""
        ...

    def greater_equal(self, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 ≥ x2"""
        ...

    def isfinite(self, x: Tensor) -> Tensor:
        """Neither infinite nor NaN; integers always are."""
        ...

    def isnan(self, x: Tensor) -> Tensor:
        """Not a number; integers never are."""
        ...

    def isinf(self, x: Tensor) -> Tensor:
        """Plus or minus infinity; integers never are."""
        ...

    def logical_and(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Both."""
        ...

    def logical_or(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Either, or both."""
        ...

    def logical_xor(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Exactly one."""
        ...

    def logical_not(self, x: Tensor) -> Tensor:
        """Not."""
        ...

    def where(self, condition: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
        """x1 where the condition holds, x2 elsewhere; the three broadcast. What is not chosen gets no gradient.

        >>> from tbptt import ops
        >>> x = ops.asarray([1.0, float("nan")])
        >>> ops.to_numpy(ops.where(ops.isnan(x), 0.0, x)).tolist()
        [1.0, 0.0]
        """
        ...
