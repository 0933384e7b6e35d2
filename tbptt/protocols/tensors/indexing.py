"""Elements by their places, and places by their elements."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from tbptt.types import Tensor


class Indexing(Protocol):
    """Selection, sorting, searching. Indices are of any integer dtype; those answered are int64."""

    def take(self, x: Tensor, indices: Tensor, *, axis: int | None = None) -> Tensor:
        """The slices of x at these places of an axis (None only for one axis); `indices` of any shape takes its place.

        An embedding is ``take(weight, tokens, axis=0)``. Its gradient is dense, and rows taken twice are summed.
        Negative indices are not counted from the end.

        >>> from tbptt import ops
        >>> weight = ops.asarray([[1.0, 2.0], [3.0, 4.0]])
        >>> ops.to_numpy(ops.take(weight, ops.asarray([1, 1]), axis=0)).tolist()
        [[3.0, 4.0], [3.0, 4.0]]

        Raises:
            IndexError: for an index out of range, when run as it is on the CPU. Compiled, or on another device, the
                engine fails in its own way, or (XLA) takes the nearest row there is.
        """
        ...

    def take_along_axis(self, x: Tensor, indices: Tensor, *, axis: int = -1) -> Tensor:
        """For every place along the other axes, the elements at these places of `axis`; the shapes agree elsewhere."""
        ...

    def one_hot(self, x: Tensor, num_classes: int, *, dtype: Any = None) -> Tensor:
        """Shape of x + (num_classes,): 1 at the class, else 0; all 0 for a class out of range. Default float dtype."""
        ...

    def sort(self, x: Tensor, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """Ordered along an axis. The place of NaN is undefined."""
        ...

    def argsort(self, x: Tensor, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
        """The places that would put x in order, int64; equals keep their order if `stable`."""
        ...

    def searchsorted(
        self, x1: Tensor, x2: Tensor, *, side: Literal["left", "right"] = "left", sorter: Tensor | None = None
    ) -> Tensor:
        """Where each element of x2 belongs in the ordered vector x1, int64: before equals, or (``"right"``) after."""
        ...

    def nonzero(self, x: Tensor) -> tuple[Tensor, ...]:
        """The places of elements that are not zero, one vector for each axis. The length depends on values."""
        ...

    def unique_values(self, x: Tensor) -> Tensor:
        """The different elements, ordered, a vector. The length depends on values."""
        ...
