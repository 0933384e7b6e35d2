"""What happens to a recurrent state between windows: it is carried, cut from its past, and reset row by row.

A state is any tree. Tensors are the engine's own and stay so, dtype and shape included; NumPy arrays stay NumPy's;
numbers, strings and None pass untouched.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.dtypes import FLOATS
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.types import Array, Tensor, Tree


def detach(state: Tree, copy: bool = False) -> Tree:
    """The same state with no past: gradients of what is computed from it end here.

    >>> import tbptt
    >>> from tbptt import ops
    >>> state = tbptt.detach({"h": ops.ones((2, 3)), "steps": 7, "memory": None})
    >>> state["steps"], state["memory"]
    (7, None)

    Args:
        state: any tree; every tensor in it is cut, integer ones and parameters included.
        copy: give tensors and NumPy arrays memory of their own. False, the default, shares it where the engine can,
            which is right for models that make a new state at every step. Ask for a copy where a model writes into its
            state (a cache) and the state of this moment is needed again.
    """

    def cut(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return leaf.copy() if copy else leaf
        owner = owner_of(leaf)
        if owner is None:
            return leaf
        alone = owner.autodiff.stop_gradient(leaf)
        return owner.tensors.asarray(alone, copy=True) if copy else alone

    return tree.map(cut, state)


def reset_rows(state: Tree, mask: Any, initial: Tree = None, batch_axis: int | Tree = None) -> Tree:
    """The state with some rows set to their initial value: ``where(mask, initial, state)``, leaf by leaf.

    Nothing is multiplied: a NaN or infinity in a row that is reset is gone, and the gradient across it is exactly zero.

    >>> import numpy as np, tbptt
    >>> tbptt.reset_rows((np.ones((2, 3)), "kept"), [True, False])
    (array([[0., 0., 0.],
           [1., 1., 1.]]), 'kept')

    Args:
        state: any tree.
        mask: (batch,) of booleans, True where the row begins anew: a list, a NumPy array or a tensor.
        initial: None: zeros (False for booleans); a number, or an array or tensor that broadcasts to the leaves; or a
            tree like the state with such entries.
        batch_axis: where the rows are: an axis for every leaf that has it, or a tree like the state with an axis for
            each leaf, None for leaves without rows, which pass. By default it is found from the shapes: axis 1 of a
            leaf of three axes or more, (layers, batch, units), if it has the mask's length; else axis 0 if that has
            it; else the leaf passes.

    Raises:
        ShapeError: if a leaf could have its rows on axis 0 as well as 1, no leaf has as many rows as the mask, the axis
            named has another length, or an initial value does not fit.
        StructureError: if `initial` or `batch_axis` is a tree that does not fit the state.
        ConfigurationError: if the mask is not of booleans, or a number cannot be held by an integer leaf.
    """
    mask_of = _Mask(mask)
    check_batch(state, mask_of.rows, batch_axis)
    leaves, structure = tree.flatten(state)
    names = tree.paths(state, "state")
    axes = _axes(state, leaves, mask_of.rows, batch_axis)
    values = tree.broadcast(initial, state, ("initial", "the state"))
    return tree.unflatten(
        structure,
        [
            leaf if axis is None else _reset_leaf(name, leaf, mask_of, axis, value)
            for name, leaf, axis, value in zip(names, leaves, axes, values, strict=True)
        ],
    )


def check_batch(state: Tree, batch_size: int | None, batch_axis: int | Tree = None) -> None:
    """Nothing if the state can belong to a batch of that many rows.

    Without `batch_axis` it can if any leaf of two axes or more does, or there is no such leaf: memories that have no
    rows may be among them.

    Raises:
        ShapeError: naming the leaves and their shapes.
    """
    leaves = tree.leaves(state)
    if batch_axis is None:
        wide = [_shape(leaf) for leaf in leaves if len(_shape(leaf)) > 1]
        wrong = bool(wide) and not any(
            shape[0] == batch_size or (len(shape) > 2 and shape[1] == batch_size) for shape in wide
        )
    else:
        axes = _axes(state, leaves, batch_size, batch_axis)
        wrong = any(
            axis is not None and _shape(leaf)[axis] != batch_size for leaf, axis in zip(leaves, axes, strict=True)
        )
    if wrong:
        names = tree.paths(state, "state")
        listing = ", ".join(f"{name} {_shape(leaf)}" for name, leaf in zip(names, leaves, strict=True) if _shape(leaf))
        raise ShapeError(
            f"The state does not belong to a batch of {batch_size} rows: {listing}. A state flows on only between "
            f"batches of one size: make them equal (drop_last=True), or start with a state of None. If its rows are "
            f"on another axis, say so with batch_axis=."
        )


class _Mask:
    """The mask, once as NumPy's and once in each engine's tensors that ask for it."""

    def __init__(self, mask: Any) -> None:
        owner = owner_of(mask)
        self._given = np.asarray(mask) if owner is None else mask
        self._owner = owner
        shape = _shape(self._given)
        dtype = self._given.dtype.name if owner is None else owner.tensors.dtype(mask)
        if len(shape) != 1:
            raise ShapeError(f"A mask has one boolean for each row, shape (batch,); received the shape {shape}.")
        if dtype != "bool":
            raise ConfigurationError(f"A mask is made of booleans, True where a row is reset; received {dtype}.")
        self.rows: int | None = shape[0]
        """None in a program for any number of rows."""

    def as_array(self) -> Array:
        return self._given if self._owner is None else self._owner.tensors.to_numpy(self._given)

    def as_tensor(self, owner: Any) -> Tensor:
        at_home = self._owner is not None and self._owner.name == owner.name
        return self._given if at_home else owner.tensors.asarray(self._given)


def _reset_leaf(name: str, leaf: Any, mask: _Mask, axis: int, initial: Any) -> Any:
    shape = _shape(leaf)
    column = [1] * len(shape)
    column[axis] = -1
    owner = owner_of(leaf)
    dtype = leaf.dtype.name if owner is None else owner.tensors.dtype(leaf)
    if isinstance(initial, int | float | np.number) and not _holds(dtype, initial):
        raise ConfigurationError(
            f"The initial value {initial!r} cannot be held by {name}, which is {dtype}. "
            f"Give initial= as a tree like the state, with a value for each leaf."
        )
    value_shape = _shape(initial)
    pairs = zip(reversed(value_shape), reversed(shape), strict=False)
    if len(value_shape) > len(shape) or not all(size in (1, whole) for size, whole in pairs):
        raise ShapeError(f"The initial value of shape {value_shape} does not fit {name} of shape {shape}.")
    if owner is None:
        start = np.asarray(0 if initial is None else initial).astype(leaf.dtype)
        return np.where(mask.as_array().reshape(column), start, leaf)
    ops = owner.tensors
    start = ops.zeros_like(leaf) if initial is None else ops.asarray(initial, dtype=dtype)
    return ops.where(ops.reshape(mask.as_tensor(owner), tuple(column)), start, leaf)


def _holds(dtype: str, number: Any) -> bool:
    if dtype in FLOATS:
        return True
    least, most = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(least <= number <= most) and number == int(number)


def _axes(state: Tree, leaves: Sequence[Any], rows: int | None, batch_axis: int | Tree) -> list[int | None]:
    names = tree.paths(state, "state")
    if batch_axis is None:
        return [_found_axis(name, _shape(leaf), rows) for name, leaf in zip(names, leaves, strict=True)]
    if not tree.is_node(batch_axis):
        axis = _checked_axis(batch_axis)
        return [axis if len(_shape(leaf)) > axis else None for leaf in leaves]
    axes = tree.broadcast(batch_axis, state, ("batch_axis", "the state"))
    for name, leaf, axis in zip(names, leaves, axes, strict=True):
        if axis is not None and _checked_axis(axis) >= len(_shape(leaf)):
            raise ShapeError(f"{name} should have its rows on axis {axis}, but its shape is {_shape(leaf)}.")
    return axes


def _checked_axis(axis: Any) -> int:
    if isinstance(axis, bool) or not isinstance(axis, numbers.Integral) or axis < 0:
        raise ConfigurationError(
            f"batch_axis= holds axes counted from the first, 0, 1, ..., or None; received {axis!r}."
        )
    return int(axis)


def _found_axis(name: str, shape: tuple[int | None, ...], rows: int | None) -> int | None:
    first = len(shape) > 0 and shape[0] == rows
    second = len(shape) > 2 and shape[1] == rows
    if first and second and (rows is None or rows > 1):  # a single row is the whole leaf, whichever axis it is on
        raise ShapeError(
            f"{name} of shape {shape} could have its {rows} rows on axis 0 or on axis 1. Say which with batch_axis=: "
            f"1 for (layers, batch, units), 0 for (batch, ...), or a tree like the state."
        )
    return 1 if second else 0 if first else None


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(getattr(leaf, "shape", ()))
