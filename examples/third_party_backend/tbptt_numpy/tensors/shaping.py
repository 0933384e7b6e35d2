"""The same elements in another arrangement."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tbptt.errors import ShapeError
from tbptt_numpy.primitives import arrangement, primitive
from tbptt_numpy.tensor import value_of
from tbptt_numpy.tensors._operands import promote, tensor


def shape(x: Any) -> tuple[Any, ...]:
    return tensor(x).shape


def size(x: Any) -> Any:
    return tensor(x).value.size


def reshape(x: Any, shape: Any, *, copy: bool | None = None) -> Any:
    return _reshape(tensor(x), shape=_lengths(shape))  # arrays are not written to, so no copy is needed


def permute_dims(x: Any, axes: Sequence[int]) -> Any:
    return _permute_dims(tensor(x), axes=tuple(axes))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    return _moveaxis(tensor(x), source=source, destination=destination)


def expand_dims(x: Any, *, axis: int = 0) -> Any:
    return _expand_dims(tensor(x), axis=axis)


def squeeze(x: Any, axis: int | tuple[int, ...]) -> Any:
    x = tensor(x)
    for one in (axis,) if isinstance(axis, int) else axis:
        if x.shape[one] != 1:
            raise ShapeError(
                f"squeeze takes axes of length 1 away: axis {one} of the shape {x.shape} is {x.shape[one]} long."
            )
    return _squeeze(x, axis=axis)


def broadcast_to(x: Any, shape: Any) -> Any:
    return _broadcast_to(tensor(x), shape=_lengths(shape))


def flip(x: Any, *, axis: int | tuple[int, ...] | None = None) -> Any:
    return _flip(tensor(x), axis=axis)


def roll(x: Any, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Any:
    return _roll(tensor(x), shift=shift, axis=axis)


def tile(x: Any, repetitions: Sequence[int]) -> Any:
    return _tile(tensor(x), reps=tuple(repetitions))


def repeat(x: Any, repeats: Any, *, axis: int | None = None) -> Any:
    return _repeat(tensor(x), repeats=value_of(repeats), axis=axis)


def concat(arrays: Sequence[Any], *, axis: int | None = 0) -> Any:
    pieces = promote(*map(tensor, arrays))
    return _concat(*pieces, axis=axis) if axis is not None else _concat(*[reshape(x, -1) for x in pieces], axis=0)


def stack(arrays: Sequence[Any], *, axis: int = 0) -> Any:
    return concat([expand_dims(x, axis=axis) for x in arrays], axis=axis)


def unstack(x: Any, *, axis: int = 0) -> tuple[Any, ...]:
    x = tensor(x)
    return tuple(_one(x, i=i, axis=axis) for i in range(x.shape[axis]))


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Any, ...]:
    x = tensor(x)
    length = x.shape[axis]
    if isinstance(indices_or_sections, int):
        if length % indices_or_sections:
            raise ShapeError(
                f"split makes equal pieces, and axis {axis} of the shape {x.shape} does not divide by {indices_or_sections}. "
                f"Name the places to cut at instead."
            )
        indices_or_sections = [length // indices_or_sections * i for i in range(1, indices_or_sections)]
    bounds = [0, *indices_or_sections, length]
    return tuple(_piece(x, start=start, stop=stop, axis=axis) for start, stop in itertools.pairwise(bounds))


def _lengths(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(int(length) for length in shape)


def _cut(x: Any, start: int, stop: int, axis: int) -> Any:
    return np.moveaxis(np.moveaxis(x, axis, 0)[start:stop], 0, axis)


def _concat_vjp(i: int) -> Any:
    def vjp(g: Any, y: Any, *x: Any, axis: int) -> Any:
        start = builtins.sum(one.shape[axis] for one in x[:i])
        return _cut(g, start, start + x[i].shape[axis], axis)

    return vjp


_reshape = arrangement(lambda x, shape: np.reshape(x, shape))
_permute_dims = arrangement(np.transpose)
_moveaxis = arrangement(np.moveaxis)
_expand_dims = arrangement(np.expand_dims)
_squeeze = arrangement(np.squeeze)
_broadcast_to = arrangement(np.broadcast_to)
_flip = arrangement(np.flip)
_roll = arrangement(np.roll)
_tile = arrangement(np.tile)
_repeat = arrangement(np.repeat)
_one = arrangement(lambda x, i, axis: np.moveaxis(x, axis, 0)[i])
_piece = arrangement(_cut)
_concat = primitive(lambda *x, axis: np.concatenate(x, axis=axis), each=_concat_vjp)
