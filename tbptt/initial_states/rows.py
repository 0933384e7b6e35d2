"""Where the rows of a state are, and more of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tbptt import backends, tree
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.types import Tensor, Tree


class Rows:
    """A state without its values: where the rows of its leaves are."""

    def __init__(self, state: Tree, batch_axis: int | Tree) -> None:
        leaves, self._structure = tree.flatten(state)
        self._names = tree.paths(state, "state")
        self._shapes = [_shape(leaf) for leaf in leaves]
        self._named = None if batch_axis is None else self._read(state, batch_axis)

    def _read(self, state: Tree, batch_axis: int | Tree) -> list[int | None]:
        axes = [batch_axis] * len(self._shapes)
        if tree.is_node(batch_axis):
            axes = tree.broadcast(batch_axis, state, ("batch_axis", "the state"))
        for index, axis in enumerate(axes):
            if axis is None:
                continue
            if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
                raise ConfigurationError(
                    f"batch_axis= holds axes counted from the first, 0, 1, ..., or None; received {axis!r}."
                )
            if axis >= len(self._shapes[index]):
                if tree.is_node(batch_axis):
                    raise ShapeError(
                        f"{self._names[index]} should have its rows on axis {axis}, but its shape is {self._shapes[index]}."
                    )
                axes[index] = None
        return axes

    def axes(self, rows: Any) -> list[int | None]:
        """Of each leaf, the axis of its one row or its `rows` rows; None for one that has none."""

        def fits(length: Any) -> bool:
            return length == 1 or (isinstance(rows, int) and length == rows)

        found = self._named or [
            None if not shape else 1 if len(shape) > 2 and fits(shape[1]) else 0 for shape in self._shapes
        ]
        for name, shape, axis in zip(self._names, self._shapes, found, strict=True):
            if axis is not None and not fits(shape[axis]):
                raise ShapeError(
                    f"{name} of shape {shape} should hold the initial state of one row, or of the {rows} rows of the batch, on "
                    f"axis {axis}. Give it an axis of length 1 there, or say with batch_axis= where its rows are: an axis, or a "
                    f"tree like the state with None for a leaf without rows."
                )
            if self._named is None and axis == 1 and shape[0] != 1 and fits(shape[0]):
                raise _ambiguous(name, shape, rows)
        return found

    def matching(self, rows: int) -> list[int | None]:
        """Of each leaf, the axis of its `rows` rows, None for one that has none; nothing but None if the state has other rows."""
        if any(None in shape for shape in self._shapes):
            raise ShapeError(
                "The rows of the batch before are not known while a program for any number of rows is traced. Make batches equal "
                "(drop_last=True), so that there is one program."
            )
        if self._named is not None:
            pairs = zip(self._shapes, self._named, strict=True)
            if any(axis is not None and shape[axis] != rows for shape, axis in pairs):
                return [None] * len(self._named)
            return self._named
        found: list[int | None] = []
        for name, shape in zip(self._names, self._shapes, strict=True):
            first, second = shape[:1] == (rows,), len(shape) > 2 and shape[1] == rows
            if first and second and rows > 1:
                raise _ambiguous(name, shape, rows)
            # (1, 32, units) before a batch of one row is the state of 32 rows in one layer, not of one row
            found.append(1 if second else 0 if first and (len(shape) < 3 or rows > 1) else None)
        return found

    def rebuilt(self, leaves: Iterable[Any]) -> Tree:
        """The state around these leaves."""
        return tree.unflatten(self._structure, leaves)

    def __str__(self) -> str:
        return ", ".join(f"{name} {shape}" for name, shape in zip(self._names, self._shapes, strict=True))


def repeated(x: Tensor, axis: int | None, rows: Any) -> Tensor:
    """With that many rows, in memory of its own: models may write into their state, and kernels want it dense."""
    tensors = backends.backend_of(x).tensors
    if axis is not None:
        shape = tuple(x.shape)
        x = tensors.broadcast_to(x, (*shape[:axis], rows, *shape[axis + 1 :]))
    return tensors.asarray(x, copy=True)


def _ambiguous(name: str, shape: tuple[int, ...], rows: int) -> ShapeError:
    return ShapeError(
        f"{name} of shape {shape} could have its rows on axis 0 or on axis 1 in a batch of {rows} rows. Say which with "
        f"batch_axis=: 1 for (layers, batch, units), 0 for (batch, ...), or a tree like the state."
    )


def _shape(leaf: Any) -> tuple[Any, ...]:
    return tuple(getattr(leaf, "shape", ()))
