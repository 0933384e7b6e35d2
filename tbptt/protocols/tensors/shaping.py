"""The same elements in another arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tbptt.types import Tensor


class Shaping(Protocol):
    """Shapes, joining and cutting. Results may share memory with `x`."""

    def shape(self, x: Tensor) -> tuple[Any, ...]:
        """The lengths of all axes: ints, or a scalar integer tensor for an axis unknown while a graph is traced."""
        ...

    def size(self, x: Tensor) -> Any:
        """The number of elements, an int, or a scalar int64 tensor where the shape is not known."""
        ...

    def reshape(self, x: Tensor, shape: Any, *, copy: bool | None = None) -> Tensor:
        """The elements in C order in another shape; one length may be −1. `copy` True asks for memory of its own."""
        ...

    def permute_dims(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Axis i of the result is axis axes[i] of x."""
        ...

    def moveaxis(self, x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """Some axes moved to new places, the others in their order."""
        ...

    def expand_dims(self, x: Tensor, *, axis: int = 0) -> Tensor:
        """A new axis of length 1 at that place of the result."""
        ...

    def squeeze(self, x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
        """Without these axes.

        Raises:
            ShapeError: if one of them is not of length 1.
        """
        ...

    def broadcast_to(self, x: Tensor, shape: Any) -> Tensor:
        """Repeated along axes of length 1 and new leading axes, up to that shape."""
        ...

    def flip(self, x: Tensor, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
        """Reversed along these axes; None: along all."""
        ...

    def roll(self, x: Tensor, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Tensor:
        """Moved up by `shift` places along an axis, what leaves coming in again; None: in the flattened tensor."""
        ...

    def tile(self, x: Tensor, repetitions: Sequence[int]) -> Tensor:
        """Copies of x side by side, as many along each axis (aligned at the last one)."""
        ...

    def repeat(self, x: Tensor, repeats: Any, *, axis: int | None = None) -> Tensor:
        """Each element `repeats` times in a row, a number or one for each; None: of the flattened tensor."""
        ...

    def concat(self, arrays: Sequence[Tensor], *, axis: int | None = 0) -> Tensor:
        """One after the other along an axis they have; None: flattened. Dtypes promote."""
        ...

    def stack(self, arrays: Sequence[Tensor], *, axis: int = 0) -> Tensor:
        """Side by side along a new axis. Dtypes promote."""
        ...

    def unstack(self, x: Tensor, *, axis: int = 0) -> tuple[Tensor, ...]:
        """The slices along an axis, without it."""
        ...

    def split(self, x: Tensor, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
        """So many equal pieces along an axis, or pieces that end at these places (not in the standard; NumPy's).

        >>> from tbptt import ops
        >>> [ops.shape(piece) for piece in ops.split(ops.zeros((5, 2)), [1, 4])]
        [(1, 2), (3, 2), (1, 2)]

        Raises:
            ShapeError: if the pieces would not be equal.
        """
        ...
