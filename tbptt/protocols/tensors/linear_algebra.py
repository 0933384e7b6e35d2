"""Products of vectors and matrices."""

from __future__ import annotations

from typing import Any, Protocol

from tbptt.types import Tensor


class LinearAlgebra(Protocol):
    """Products. Operands promote as elsewhere; integer products wrap around."""

    def matmul(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(..., M, K) · (..., K, N) → (..., M, N); leading axes broadcast, and either may be a vector (K,)."""
        ...

    def matrix_transpose(self, x: Tensor) -> Tensor:
        """(..., M, N) → (..., N, M)"""
        ...

    def tensordot(self, x1: Tensor, x2: Tensor, *, axes: Any = 2) -> Tensor:
        """Sums over the last `axes` axes of x1 with the first of x2, or over a pair of lists of axes."""
        ...

    def vecdot(self, x1: Tensor, x2: Tensor, *, axis: int = -1) -> Tensor:
        """Σ x1 · x2 along one axis, a negative one; the others broadcast. Integers keep their dtype."""
        ...

    def einsum(self, subscripts: str, *operands: Tensor) -> Tensor:
        """Einstein's summation, as NumPy's, with an explicit ``->`` (not in the standard).

        >>> from tbptt import ops
        >>> x = ops.ones((2, 3))
        >>> ops.shape(ops.einsum("ij,kj->ik", x, x))
        (2, 2)
        """
        ...
