"""Which leaf of a batch says where its rows begin anew, and what it says about a step.

Such a leaf, the reset mask, holds booleans and is found by its name: it is the entry ``resets`` of a dict, or the field ``resets``
of a namedtuple or dataclass. True means that another sequence follows: the row begins from the initial state.

    (rows,)         before the first step of the batch
    (rows, time)    before that step; (time, rows) where time is axis 0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.errors import DataError, ShapeError, StructureError
from tbptt.types import Array, Tree

RESETS = "resets"
"""The name."""

_NAMES = (f"[{RESETS!r}]", f".{RESETS}")


def named_resets(leaves: Sequence[Any], structure: tree.Structure) -> list[bool]:
    """Of each leaf, whether it has the name.

    >>> import numpy as np
    >>> from tbptt import tree
    >>> from tbptt.data.resets import named_resets
    >>> named_resets(*tree.flatten({"resets": np.array([True, False]), "x": np.zeros((2, 3))}))
    [True, False]

    Raises:
        DataError: if the mask is a list of booleans. A list is a node, so each boolean would pass for a leaf of its own.
    """
    paths = [[entry.codify() for entry in accessor] for accessor in structure.accessors()]
    for leaf, path in zip(leaves, paths, strict=True):
        for depth, entry in enumerate(path[:-1]):
            if isinstance(leaf, bool) and entry in _NAMES:
                raise DataError(
                    f"batch{''.join(path[: depth + 1])} is a list of booleans, and a list is a node of trees, not an array, so "
                    f"that each boolean would pass for a leaf of its own. Give the mask as an array: numpy.array(resets)."
                )
    return [bool(path) and path[-1] in _NAMES for path in paths]


def reset_steps(batch: Tree, time_axis: int | Tree = 1, rows: int | None = None) -> Array | None:
    """The reset mask of a batch on the host: booleans (rows, time) or (rows,); None if the batch has none.

    >>> import numpy as np
    >>> from tbptt.data.resets import reset_steps
    >>> reset_steps({"x": np.zeros((3, 2, 5)), "resets": np.eye(3, 2, dtype=bool)}, time_axis=0)
    array([[ True, False, False],
           [False,  True, False]])

    Args:
        batch: any tree.
        time_axis: as in `tbptt.windows`. A mask of the shape (rows,) has no time, whatever this says.
        rows: of the batch; None: not to be checked.

    Raises:
        DataError: if there are several masks, or one of something else than booleans.
        ShapeError: if its shape is none of the two, or it has other rows than the batch.
    """
    leaves, structure = tree.flatten(batch)
    places = [index for index, named in enumerate(named_resets(leaves, structure)) if named]
    if not places:
        return None
    paths = tree.paths(batch, "batch")
    if len(places) > 1:
        raise DataError(
            f"{' and '.join(paths[index] for index in places)} are both reset masks by their name; expected one, because rows "
            f"begin anew as a whole. Combine the masks into one, or give the others another name."
        )
    (place,) = places
    mask = _checked(paths[place], leaves[place])
    if mask.ndim == 2:
        axis = _axis_of(place, paths[place], batch, time_axis)
        if axis not in (0, 1):
            raise ShapeError(
                f"{paths[place]} of shape {mask.shape} has rows and time, so its time is axis 1, or axis 0 of (time, rows); "
                f"received {axis!r} in time_axis={time_axis!r}. Give time_axis= as a tree like the batch."
            )
        mask = mask.T if axis == 0 else mask
    if rows is not None and len(mask) != rows:
        raise ShapeError(
            f"{paths[place]} says of {len(mask)} rows where they begin anew, and the batch has {rows}; its shape is "
            f"{tuple(leaves[place].shape)}. Give one boolean for every row, or for every row and step (time_axis={time_axis!r})."
        )
    return mask


def cut_steps(mask: Array, start: int, stop: int) -> list[int]:
    """The steps from `start` to before `stop` before which any row begins anew, counted as the batch counts them.

    >>> import numpy as np
    >>> from tbptt.data.resets import cut_steps
    >>> cut_steps(np.array([[True, False, False, True], [False, False, False, True]]), 1, 4)
    [3]

    Args:
        mask: as `reset_steps` gives it; (rows,) is about step 0.
        start: the first step that is asked about.
        stop: the first one that is not.
    """
    steps = (mask[:, None] if mask.ndim == 1 else mask)[:, start:stop]
    return [start + int(step) for step in np.flatnonzero(steps.any(axis=0))]


def rows_at(mask: Array, step: int) -> Array:
    """Which rows begin anew before a step of the batch: booleans (rows,).

    >>> import numpy as np
    >>> from tbptt.data.resets import rows_at
    >>> rows_at(np.array([True, False]), 0), rows_at(np.array([True, False]), 1)
    (array([ True, False]), array([False, False]))

    Args:
        mask: as `reset_steps` gives it; (rows,) is about step 0.
        step: counted as the batch counts them.
    """
    if mask.ndim == 2:
        return mask[:, step]
    return mask if step == 0 else np.zeros_like(mask)


def _axis_of(place: int, path: str, batch: Tree, time_axis: int | Tree) -> Any:
    if not tree.is_node(time_axis):
        return time_axis
    try:
        return tree.broadcast(time_axis, batch, ("time_axis", "the batch"))[place]
    except StructureError as error:
        raise StructureError(f"There is no telling which axis of {path} is time: {error}") from error


def _checked(path: str, leaf: Any) -> Array:
    owner = owner_of(leaf)
    mask = np.asarray(leaf) if owner is None else owner.tensors.to_numpy(leaf)
    if mask.dtype.kind != "b":
        raise DataError(
            f"{path} should be the reset mask, booleans that are True where a row begins anew; received {mask.dtype}. "
            f"Convert it with astype('bool'), or give the leaf another name if it holds something else."
        )
    if mask.ndim not in (1, 2):
        raise ShapeError(
            f"{path} should be the reset mask, shape (rows,) or (rows, time); received the shape {mask.shape}. Give one boolean "
            f"for every row of the batch, or one for every row and step."
        )
    return mask
