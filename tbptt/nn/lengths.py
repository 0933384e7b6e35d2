"""Rows of different length in one window: which steps count, and where each row's last one is.

`lengths` is what layers and losses take: (B,) integers, the steps of each row that count in the window at hand (0: the
row ended before it, and a number above T says no more than T), or a mask of booleans, (B, T), True where a step counts.
Shapes stay as they are and lengths may be tensors, so that a compiled program serves them all. Shape legend: B rows,
T steps, H units.
"""

from __future__ import annotations

from typing import Any

from tbptt import backends, ops
from tbptt.dtypes import is_kind
from tbptt.errors import ShapeError
from tbptt.types import Tensor


def counted_steps(lengths: Any, inputs: Tensor, time_major: bool = False) -> Tensor:
    """Which steps count: booleans (B, T) for inputs (B, T, ...), or (T, B) for inputs (T, B, ...) if `time_major`.

    >>> import tbptt
    >>> from tbptt.nn.lengths import counted_steps
    >>> tbptt.ops.to_numpy(counted_steps([2, 0], tbptt.ops.zeros((2, 3, 5)))).tolist()
    [[True, True, False], [False, False, False]]

    Args:
        lengths: integers (B,), or a mask of the first two axes of the inputs, which is returned as it is.
        inputs: decide the engine, B and T.
        time_major: whether axis 0 of the inputs (and of a mask) is time.

    Raises:
        ShapeError: if lengths do not fit the inputs, or are no integers.
    """
    tensors = backends.backend_of(inputs).tensors
    lengths = tensors.asarray(lengths)
    _check(lengths, inputs, time_major)
    if ops.dtype(lengths) == "bool":
        return lengths
    steps = tensors.arange(ops.shape(inputs)[0 if time_major else 1], dtype="int64")
    along_time, along_rows = (1, 0) if time_major else (0, 1)
    return ops.less(ops.expand_dims(steps, axis=along_time), ops.expand_dims(lengths, axis=along_rows))


def row_lengths(lengths: Any, inputs: Tensor, time_major: bool = False) -> Tensor:
    """The counted steps of each row, int64 (B,), from 0 to T; of a mask their number. Arguments as `counted_steps`."""
    return ops.sum(ops.astype(counted_steps(lengths, inputs, time_major), "int64"), axis=0 if time_major else 1)


def at_the_end(values_TBH: Tensor, lengths: Tensor, start_BH: Tensor) -> Tensor:  # noqa: N803  (names end in their shape)
    """Each row's value at its last counted step, (B, H); the start where a row has none.

    >>> import tbptt
    >>> from tbptt.nn.lengths import at_the_end
    >>> values = tbptt.ops.reshape(tbptt.ops.arange(6.0), (3, 2, 1))
    >>> tbptt.ops.to_numpy(at_the_end(values, tbptt.ops.asarray([3, 0]), tbptt.ops.full((2, 1), -1.0))).tolist()
    [[4.0], [-1.0]]
    """
    rows, units = ops.shape(values_TBH)[1:]
    number = backends.backend_of(values_TBH).tensors.arange(rows, dtype="int64")
    last = ops.maximum(ops.subtract(lengths, 1), 0)
    # places in the (T·B, H) values: one look-up of rows, the kernel of embeddings on every engine
    found = ops.take(ops.reshape(values_TBH, (-1, units)), ops.add(ops.multiply(last, rows), number), axis=0)
    return ops.where(ops.expand_dims(ops.greater(lengths, 0), axis=1), found, start_BH)


def _check(lengths: Tensor, inputs: Tensor, time_major: bool) -> None:
    given, shape = tuple(lengths.shape), tuple(inputs.shape)
    if len(shape) < 2:
        raise ShapeError(
            f"lengths= needs inputs with rows and steps, (batch, time, ...); received inputs of shape {shape}. "
            f"Leave lengths= out for what has no time."
        )
    is_mask = ops.dtype(lengths) == "bool"
    expected = shape[:2] if is_mask else (shape[1 if time_major else 0],)
    fits = len(given) == len(expected) and all(
        None in pair or pair[0] == pair[1] for pair in zip(given, expected, strict=True)
    )
    if not fits or not (is_mask or is_kind(ops.dtype(lengths), "integral")):
        raise ShapeError(
            f"lengths= is a whole number of steps for each row, integers of shape ({shape[1 if time_major else 0]},), or a "
            f"mask of booleans of shape {shape[:2]}; received {ops.dtype(lengths)} of shape {given} for inputs of shape "
            f"{shape}."
        )
