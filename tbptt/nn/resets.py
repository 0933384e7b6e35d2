"""Rows that begin anew: before the window, or inside it where one sequence ends and the next follows in the same row.

`resets` is what recurrent layers take: booleans, (B,), True where a row begins anew before the window's first step, or (B, T),
True where it begins anew before that step. The state is replaced, never multiplied: whatever stood there, NaN included, is gone,
and no gradient crosses. Shape legend: B rows, T steps, H units, L layers.
"""

from __future__ import annotations

from typing import Any

from tbptt import backends, ops, tree
from tbptt.errors import ShapeError
from tbptt.nn.lengths import counted_steps
from tbptt.types import Tensor, Tree


def reset_mask(resets: Any, inputs: Tensor, lengths: Any = None, time_major: bool = False) -> Tensor:
    """Where rows begin anew, of the steps that count: booleans, (B,) as given, or time-major, (T, B).

    >>> import tbptt
    >>> from tbptt.nn.resets import reset_mask
    >>> inputs = tbptt.ops.zeros((2, 3, 5))
    >>> tbptt.ops.to_numpy(reset_mask([[False, True, False], [True, False, True]], inputs, lengths=[3, 2])).tolist()
    [[False, True], [True, False], [False, False]]

    Args:
        resets: booleans (B,), or shaped as the first two axes of the inputs.
        inputs: (B, T, F) decide the engine, B and T.
        lengths: as `tbptt.nn.lengths` has them. A reset before a step that does not count does nothing.
        time_major: whether axis 0 of the inputs, and of resets and lengths with two axes, is time.

    Raises:
        ShapeError: if resets do not fit the inputs, or are no booleans.
    """
    resets = backends.backend_of(inputs).tensors.asarray(resets)
    _check(resets, inputs, time_major)
    counted = None if lengths is None else counted_steps(lengths, inputs, time_major)
    of_rows = len(resets.shape) == 1
    if counted is not None:
        resets = ops.logical_and(resets, ops.any(counted, axis=0 if time_major else 1) if of_rows else counted)
    return resets if of_rows or time_major else ops.matrix_transpose(resets)


def begin(resets: Tensor, state: Tree, initial: Tree = None) -> Tree:
    """The state, (L, B, H), with the rows that begin anew, booleans (B,), replaced by `initial`, or by zeros.

    >>> import tbptt
    >>> from tbptt.nn.resets import begin
    >>> state = tbptt.ops.full((1, 2, 1), float("nan"))
    >>> tbptt.ops.to_numpy(begin(tbptt.ops.asarray([True, False]), state)).ravel().tolist()
    [0.0, nan]
    """
    chosen = ops.expand_dims(resets, axis=1)
    if initial is None:
        return tree.map(lambda part: ops.where(chosen, 0.0, part), state)
    return tree.map(lambda part, begun: ops.where(chosen, begun, part), state, initial)


def initial_state(initial: Tree, state: Tree, layer: str) -> Tree:
    """What rows begin from, in structure, shape and dtype of a state.

    >>> import tbptt
    >>> from tbptt.nn.resets import initial_state
    >>> h, c = initial_state([tbptt.ops.ones(3), tbptt.ops.ones((2, 1, 3))], (tbptt.ops.zeros((2, 4, 3)),) * 2, "LSTM")
    >>> tuple(h.shape), tuple(c.shape)
    ((2, 4, 3), (2, 4, 3))

    Args:
        initial: a tree like the state whose leaves broadcast to its.
        state: tensors (L, B, H).
        layer: whose state it is, for the message.

    Raises:
        ShapeError: if it does not broadcast.
    """
    given = tuple(initial) if isinstance(initial, list) else initial
    (like, *_), pattern = tree.flatten(state)
    expected = tuple(like.shape)
    shapes = [tuple(getattr(leaf, "shape", ())) for leaf in tree.leaves(given)]
    if tree.structure(given) != pattern or not all(_broadcasts(shape, expected) for shape in shapes):
        kind = "a pair (h, c) of tensors" if pattern.num_leaves == 2 else "one tensor"
        raise ShapeError(
            f"{layer} expected initial= as {kind} that broadcast to (layers, batch, units) = {expected}; received "
            f"{type(initial).__name__} with shapes {shapes}. For all rows alike, give shape {(expected[0], 1, expected[2])}."
        )
    tensors, dtype, shape = backends.backend_of(like).tensors, ops.dtype(like), ops.shape(like)
    return tree.map(lambda leaf: tensors.broadcast_to(tensors.asarray(leaf, dtype=dtype), shape), given)


def _broadcasts(shape: tuple[int | None, ...], whole: tuple[int | None, ...]) -> bool:
    pairs = zip(reversed(shape), reversed(whole), strict=False)
    return len(shape) <= len(whole) and all(None in pair or pair[0] in (1, pair[1]) for pair in pairs)


def _check(resets: Tensor, inputs: Tensor, time_major: bool) -> None:
    given, shape = tuple(resets.shape), tuple(inputs.shape)
    rows = shape[1 if time_major else 0]
    expected = shape[:2] if len(given) == 2 else (rows,)
    fits = len(given) == len(expected) and all(
        None in pair or pair[0] == pair[1] for pair in zip(given, expected, strict=True)
    )
    if not fits or ops.dtype(resets) != "bool":
        raise ShapeError(
            f"resets= says which rows begin anew: booleans of shape ({rows},), before the window, or of shape {shape[:2]}, before "
            f"each step; received {ops.dtype(resets)} of shape {given} for inputs of shape {shape}. Compare numbers with what "
            f"they mean, as in resets=flags > 0, and turn the axes if they stand the other way round."
        )
