"""The same elements in another arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tbptt.errors import ShapeError
from tbptt_torch.tensors._promotion import promote_all, tensor


def shape(x: Any) -> tuple[Any, ...]:
    return tuple(tensor(x).shape)


def size(x: Any) -> Any:
    return tensor(x).numel()


def reshape(x: Any, shape: Any, *, copy: bool | None = None) -> Tensor:
    x = tensor(x)
    result = torch.reshape(x, (shape,) if isinstance(shape, int) else tuple(shape))
    return result.clone() if copy else result


def permute_dims(x: Any, axes: Sequence[int]) -> Tensor:
    return torch.permute(tensor(x), tuple(axes))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    sources = (source,) if isinstance(source, int) else tuple(source)
    destinations = (destination,) if isinstance(destination, int) else tuple(destination)
    return torch.movedim(tensor(x), sources, destinations)


def expand_dims(x: Any, *, axis: int = 0) -> Tensor:
    return torch.unsqueeze(tensor(x), axis)


def squeeze(x: Any, axis: int | tuple[int, ...]) -> Tensor:
    x = tensor(x)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for one in axes:
        if x.shape[one] != 1:  # torch would leave it
            raise ShapeError(
                f"squeeze takes axes of length 1 away: axis {one} of the shape {tuple(x.shape)} is {x.shape[one]} long."
            )
    return torch.squeeze(x, axes)


def broadcast_to(x: Any, shape: Any) -> Tensor:
    return torch.broadcast_to(tensor(x), (shape,) if isinstance(shape, int) else tuple(shape))


def flip(x: Any, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    x = tensor(x)
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return torch.flip(x, tuple(axes))


def roll(x: Any, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    shifts, axes = _pairs(shift, axis)
    return torch.roll(tensor(x), shifts, axes)


def tile(x: Any, repetitions: Sequence[int]) -> Tensor:
    return torch.tile(tensor(x), tuple(repetitions))


def repeat(x: Any, repeats: Any, *, axis: int | None = None) -> Tensor:
    x = tensor(x)
    counts = repeats if isinstance(repeats, int) else tensor(repeats).to(x.device)
    return torch.repeat_interleave(x, counts, dim=axis)


def concat(arrays: Sequence[Any], *, axis: int | None = 0) -> Tensor:
    tensors = promote_all(arrays)
    return torch.cat([torch.reshape(x, (-1,)) for x in tensors] if axis is None else tensors, dim=axis or 0)


def stack(arrays: Sequence[Any], *, axis: int = 0) -> Tensor:
    return torch.stack(promote_all(arrays), dim=axis)


def unstack(x: Any, *, axis: int = 0) -> tuple[Tensor, ...]:
    return torch.unbind(tensor(x), dim=axis)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    x = tensor(x)
    if not isinstance(indices_or_sections, int):
        return torch.tensor_split(x, tuple(indices_or_sections), dim=axis)
    if x.shape[axis] % indices_or_sections:
        raise ShapeError(
            f"split makes equal pieces, and axis {axis} of the shape {tuple(x.shape)} does not divide by "
            f"{indices_or_sections}. Name the places to cut at instead."
        )
    return torch.tensor_split(x, indices_or_sections, dim=axis)


def _pairs(shift: Any, axis: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    axes = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    shifts = (shift,) if isinstance(shift, int) else tuple(shift)
    return shifts * len(axes) if len(axes) > len(shifts) == 1 else shifts, axes
