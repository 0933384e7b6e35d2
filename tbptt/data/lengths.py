"""Which leaves of a batch hold the lengths of its rows, and what they say about its time.

Such a leaf has one axis, the rows, and is found by its name: it is the entry ``lengths`` of a dict, or the field ``lengths`` of a
namedtuple or dataclass (`tbptt.data.Padded` has one). It governs the time of what lies beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.errors import DataError, ShapeError, StructureError
from tbptt.types import Array, Tree

LENGTHS = "lengths"
"""The name, and what `time_axis` says of such a leaf in the place of an axis."""

Axis: TypeAlias = int | str | None
"""Of a leaf: its axis of time, None if it has no time, or `LENGTHS` if it says how long each row is."""

_NAMES = (f"[{LENGTHS!r}]", f".{LENGTHS}")


def named_lengths(leaves: Sequence[Any], structure: tree.Structure) -> list[bool]:
    """Of each leaf, whether it has one axis and the name.

    >>> import numpy as np
    >>> from tbptt import tree
    >>> from tbptt.data.lengths import named_lengths
    >>> named_lengths(*tree.flatten({"lengths": np.array([2, 1]), "x": np.zeros((2, 3))}))
    [True, False]

    Raises:
        DataError: if lengths are a list of numbers. A list is a node, so each number would pass for a leaf of its own.
    """
    if not any(len(getattr(leaf, "shape", ())) <= 1 for leaf in leaves):
        return [False] * len(leaves)  # nearly every batch, and names take time
    steps = [[entry.codify() for entry in accessor] for accessor in structure.accessors()]
    for leaf, path in zip(leaves, steps, strict=True):
        if isinstance(leaf, int) and len(path) > 1 and path[-2] in _NAMES:
            raise DataError(
                f"batch{''.join(path[:-1])} is a list of numbers, and a list is a node of trees, not an array, so that "
                f"each number would pass for a leaf of its own. Give the lengths as an array: numpy.array(lengths)."
            )
    return [
        len(getattr(leaf, "shape", ())) == 1 and bool(path) and path[-1] in _NAMES
        for leaf, path in zip(leaves, steps, strict=True)
    ]


def lengths_in(window: Tree, time_axis: int | Tree = 1) -> list[Any]:
    """The leaves of a window that hold the lengths of its rows: by their name, or by the word in their place in `time_axis`.

    >>> import numpy as np
    >>> from tbptt.data.lengths import lengths_in
    >>> lengths_in((np.zeros((2, 3)), np.array([2, 1])), time_axis=(1, "lengths"))
    [array([2, 1])]

    A window that a hook has rebuilt need not look like `time_axis`; then only names count.
    """
    leaves, structure = tree.flatten(window)
    found = named_lengths(leaves, structure)
    if tree.is_node(time_axis):
        try:
            axes = tree.broadcast(time_axis, window, ("time_axis", "the window"))
        except StructureError:
            axes = [1] * len(leaves)
        found = [axis == LENGTHS or (axis is not None and named) for axis, named in zip(axes, found, strict=True)]
    return [leaf for leaf, holds_lengths in zip(leaves, found, strict=True) if holds_lengths]


def read_lengths(batch: Tree, leaves: Sequence[Any], axes: Sequence[Axis], rows: int) -> tuple[list[Any], int | None]:
    """The leaves with lengths as int64 arrays on the host, and the end of the longest row.

    Lengths govern the leaves with time below the nearest node around them that has any. Where there is one that no lengths
    govern, time does not end with the longest row, and the second answer is None.

    >>> import numpy as np
    >>> from tbptt.data.lengths import read_lengths
    >>> batch = (np.zeros((2, 3)), np.array([2, 1]))
    >>> read_lengths(batch, batch, (1, "lengths"), rows=2)[1]
    2

    Raises:
        ShapeError: if there is not one length for each row.
        DataError: if lengths are no whole numbers from 0 to the number of time steps, or all of them are 0.
    """
    leaves, names, places = list(leaves), tree.paths(batch, "batch"), tree.structure(batch).paths()
    steps = {index: leaves[index].shape[axis] for index, axis in enumerate(axes) if isinstance(axis, int)}
    free, longest = set(steps), 0
    for index in (index for index, axis in enumerate(axes) if axis == LENGTHS):
        about = _governed(places[index], {one: places[one] for one in steps})
        leaves[index] = _checked(names[index], leaves[index], rows, max((steps[one] for one in about), default=None))
        longest = max(longest, int(leaves[index].max(initial=0)))
        free -= about
    if longest == 0 and steps:
        raise DataError("There is no step to count: every row of the batch has the length 0. Leave such batches out.")
    return leaves, None if free else longest


def _governed(place: tuple[Any, ...], timed: dict[int, tuple[Any, ...]]) -> set[int]:
    for depth in range(len(place) - 1, -1, -1):
        found = {index for index, other in timed.items() if other[:depth] == place[:depth]}
        if found:
            return found
    return set()


def _checked(path: str, leaf: Any, rows: int, steps: int | None) -> Array:
    owner = owner_of(leaf)
    lengths = np.asarray(leaf) if owner is None else owner.tensors.to_numpy(leaf)
    if lengths.shape != (rows,):
        raise ShapeError(
            f"{path} should hold the length of each row, shape ({rows},); received the shape {lengths.shape}. Give one number "
            f"of time steps for every row of the batch."
        )
    if lengths.dtype.kind not in "iu":
        raise DataError(
            f"{path} should hold the length of each row, whole numbers of time steps; received {lengths.dtype}. "
            f"Convert it with astype('int64'), or give the leaf another name if it holds something else."
        )
    wrong = (lengths < 0) | (lengths > (np.inf if steps is None else steps))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{path} holds {lengths[row]} for row {row}; expected a number of time steps from 0 to "
            f"{'the end of the data' if steps is None else steps}. Lengths count the steps of each row in this batch."
        )
    return lengths.astype("int64")
