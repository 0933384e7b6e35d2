"""Element by element: the functions of a pocket calculator.

All answer in floats: integers become the default float dtype first.
"""

from __future__ import annotations

from typing import Protocol

from tbptt.types import Tensor


class Transcendental(Protocol):
    """Roots, exponentials, logarithms, circular and hyperbolic functions. Outside their domain they are NaN."""

    def sqrt(self, x: Tensor) -> Tensor:
        """√x"""
        ...

    def rsqrt(self, x: Tensor) -> Tensor:
        """1 / √x (not in the standard)"""
        ...

    def exp(self, x: Tensor) -> Tensor:
        """e^x"""
        ...

    def expm1(self, x: Tensor) -> Tensor:
        """e^x − 1, exact for small x"""
        ...

    def log(self, x: Tensor) -> Tensor:
        """The natural logarithm."""
        ...

    def log1p(self, x: Tensor) -> Tensor:
        """log(1 + x), exact for small x"""
        ...

    def log2(self, x: Tensor) -> Tensor:
        """The logarithm to base 2."""
        ...

    def log10(self, x: Tensor) -> Tensor:
        """The logarithm to base 10."""
        ...

    def sin(self, x: Tensor) -> Tensor:
        """Sine, x in radians."""
        ...

    def cos(self, x: Tensor) -> Tensor:
        """Cosine, x in radians."""
        ...

    def tan(self, x: Tensor) -> Tensor:
        """Tangent, x in radians."""
        ...

    def asin(self, x: Tensor) -> Tensor:
        """The angle in [−π/2, π/2] whose sine is x."""
        ...

    def acos(self, x: Tensor) -> Tensor:
        """The angle in [0, π] whose cosine is x."""
        ...

    def atan(self, x: Tensor) -> Tensor:
        """The angle in (−π/2, π/2) whose tangent is x."""
        ...

    def sinh(self, x: Tensor) -> Tensor:
        """Hyperbolic sine."""
        ...

    def cosh(self, x: Tensor) -> Tensor:
        """Hyperbolic cosine."""
        ...

    def tanh(self, x: Tensor) -> Tensor:
        """Hyperbolic tangent."""
        ...

    def asinh(self, x: Tensor) -> Tensor:
        """Inverse hyperbolic sine."""
        ...

    def acosh(self, x: Tensor) -> Tensor:
        """Inverse hyperbolic cosine."""
        ...

    def atanh(self, x: Tensor) -> Tensor:
        """Inverse hyperbolic tangent."""
        ...

    def erf(self, x: Tensor) -> Tensor:
        """The error function (not in the standard)."""
        ...

    def atan2(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The angle of the point (x2, x1) in (−π, π]."""
        ...

    def hypot(self, x1: Tensor, x2: Tensor) -> Tensor:
        """√(x1² + x2²) without overflow."""
        ...

    def logaddexp(self, x1: Tensor, x2: Tensor) -> Tensor:
        """log(e^x1 + e^x2) without overflow."""
        ...
