"""A state that is the same every time."""

from __future__ import annotations

from typing import Any

from tbptt import backends, dtypes, ops, tree
from tbptt.autodiff import stop_gradient
from tbptt.errors import ConfigurationError
from tbptt.initial_states.rows import Rows, repeated
from tbptt.types import DType, Tree


class FixedState:
    """What `Given` and `Noise` have in common: a state that does not change."""

    def __init__(self, state: Tree, batch_axis: int | Tree, dtype: Any) -> None:
        self._rows = Rows(state, batch_axis)
        leaves = tree.leaves(state)
        self._dtypes = [dtype_of(leaf, dtype) for leaf in leaves]
        # tensors from the start, because torch.compile cannot follow NumPy
        self._leaves = [
            leaf if kind is None else stop_gradient(ops.asarray(leaf, dtype=kind, copy=True))
            for leaf, kind in zip(leaves, self._dtypes, strict=True)
        ]

    def _given(self, index: int, axis: int | None, rows: int) -> Any:
        leaf = self._leaves[index]
        if self._dtypes[index] is None:
            return leaf
        return repeated(ops.asarray(leaf, device=backends.current_device()), axis, rows)


class Given(FixedState):
    """The same state every time.

    >>> import numpy as np
    >>> from tbptt import ops
    >>> from tbptt.initial_states import Given
    >>> ops.to_numpy(Given(np.array([[1.0, 2.0]]))(batch_size=3))
    array([[1., 2.],
           [1., 2.],
           [1., 2.]], dtype=float32)

    Args:
        state: a tree of arrays, tensors and numbers with one row, for all, or as many as each batch.
        batch_axis: where the rows are: an axis for every leaf that has it, or a tree like the state with an axis for each leaf,
            None for leaves without rows. By default it is axis 1 of a leaf of three axes or more if that fits, else axis 0.
        dtype: of its floats. By default arrays take the default float dtype, and tensors keep theirs.

    Raises:
        ConfigurationError, StructureError: for a wrong `batch_axis` or `dtype`.
    """

    def __init__(self, state: Tree, batch_axis: int | Tree = None, dtype: Any = None) -> None:
        super().__init__(state, batch_axis, dtype)

    def __call__(self, batch_size: int) -> Tree:
        """The state in `batch_size` rows, as tensors of the current engine with memory of their own.

        Raises:
            ShapeError: if a leaf has neither one row nor that many, or its rows may be on either of two axes.
        """
        axes = self._rows.axes(batch_size)
        return self._rows.rebuilt([self._given(index, axis, batch_size) for index, axis in enumerate(axes)])

    def __repr__(self) -> str:
        return f"Given({self._rows})"


def dtype_of(leaf: Any, dtype: Any = None) -> DType | None:
    """Of the tensor that a leaf becomes, None if it passes as it is. `dtype` is for floats; without it arrays take the default."""
    owner = backends.owner_of(leaf)
    if owner is None and getattr(getattr(leaf, "dtype", None), "kind", None) not in ("b", "i", "u", "f"):
        return None
    own = dtypes.name_of(leaf.dtype) if owner is None else owner.tensors.dtype(leaf)
    if own not in dtypes.FLOATS:
        return own
    if dtype is None:
        return dtypes.default_dtype() if owner is None else own
    name = dtypes.name_of(dtype)
    if name not in dtypes.FLOATS:
        raise ConfigurationError(f"dtype= is a floating dtype, one of {', '.join(dtypes.FLOATS)}; received {dtype!r}.")
    return name
