"""Many elements into one, along axes: a number, a tuple of numbers, or None for all of them."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from tbptt.types import Tensor

Axis: TypeAlias = int | tuple[int, ...] | None


class Reduction(Protocol):
    """Reductions, and running sums."""

    def sum(self, x: Tensor, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
        """Sums; integers and bools are summed in int64 unless `dtype` is given. Of nothing: 0."""
        ...

    def prod(self, x: Tensor, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
        """Products; integers and bools in int64 unless `dtype` is given. Of nothing: 1."""
        ...

    def mean(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Means, in floats. Of nothing: NaN."""
        ...

    def var(self, x: Tensor, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
        """Σ (x − mean)² / (N − correction), in floats."""
        ...

    def std(self, x: Tensor, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
        """The square root of `var`. Its gradient is not finite where all elements are equal."""
        ...

    def max(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest element; elements that share it share the gradient. Of nothing: undefined."""
        ...

    def min(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest element; elements that share it share the gradient. Of nothing: undefined."""
        ...

    def any(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Whether any element is not zero, bool. Of nothing: False."""
        ...

    def all(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """Whether every element is not zero, bool. Of nothing: True."""
        ...

    def count_nonzero(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """How many elements are not zero, int64."""
        ...

    def argmax(self, x: Tensor, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The place of the largest element, int64, the first of equals; None: in the flattened tensor."""
        ...

    def argmin(self, x: Tensor, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
        """The place of the smallest element, int64, the first of equals; None: in the flattened tensor."""
        ...

    def logsumexp(self, x: Tensor, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """`log Σ e^x` without overflow, in floats; −∞ if every element is −∞."""
        ...

    def cumulative_sum(
        self, x: Tensor, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Tensor:
        """Running sums along an axis (None only for one axis); integers and bools in int64 unless `dtype` is given.

        `include_initial` puts a 0 in front, so that the axis is longer by one.
        """
        ...

    def cumulative_prod(
        self, x: Tensor, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
    ) -> Tensor:
        """Running products along an axis, as `cumulative_sum`, with a 1 in front.

        Its gradient at an element of 0 is not to be relied on: TensorFlow divides by the element.
        """
        ...
