"""Elements by their places, and places by their elements."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from tbptt import dtypes
from tbptt.errors import ShapeError
from tbptt_torch.tensors._promotion import integer, native, promote_tensors, tensor


def take(x: Any, indices: Any, *, axis: int | None = None) -> Tensor:
    x = tensor(x)
    indices = integer(indices)
    axis = _only_axis(x, axis)
    try:
        if axis == 0 and x.ndim == 2:  # the kernel of torch.nn.Embedding, whose backward pass sums repeated rows
            return torch.nn.functional.embedding(indices, x)
        rows = torch.index_select(x, axis, indices.reshape(-1))
    except (IndexError, RuntimeError) as error:  # which of them depends on the kernel
        raise _out_of_range("take", x, indices, axis, error) from error
    return rows.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def take_along_axis(x: Any, indices: Any, *, axis: int = -1) -> Tensor:
    x, indices = tensor(x), integer(indices).long()
    axis = axis % x.ndim
    # torch.gather takes a smaller index as a corner of the tensor: broadcast as NumPy does instead
    common = torch.broadcast_shapes(_without(x, axis), _without(indices, axis))
    x = x.expand(*common[:axis], x.shape[axis], *common[axis + 1 :])
    indices = indices.expand(*common[:axis], indices.shape[axis], *common[axis + 1 :])
    try:
        return torch.gather(x, axis, indices)
    except RuntimeError as error:
        raise _out_of_range("take_along_axis", x, indices, axis, error) from error


def one_hot(x: Any, num_classes: int, *, dtype: Any = None) -> Tensor:
    x = tensor(x)
    hits = x[..., None] == torch.arange(num_classes, device=x.device, dtype=x.dtype)
    return hits.to(native(dtypes.default_dtype() if dtype is None else dtype))


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    return torch.sort(tensor(x), dim=axis, descending=descending, stable=stable).values


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    return torch.sort(tensor(x), dim=axis, descending=descending, stable=stable).indices


def searchsorted(x1: Any, x2: Any, *, side: Literal["left", "right"] = "left", sorter: Any = None) -> Tensor:
    x1, x2 = promote_tensors(x1, x2)
    if sorter is not None:
        x1 = take(x1, sorter, axis=0)
    return torch.searchsorted(x1.contiguous(), x2.contiguous(), side=side)


def nonzero(x: Any) -> tuple[Tensor, ...]:
    return torch.nonzero(tensor(x), as_tuple=True)


def unique_values(x: Any) -> Tensor:
    return torch.unique(tensor(x), sorted=True)


def _only_axis(x: Tensor, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise ShapeError(f"take needs an axis where there are several: the shape is {tuple(x.shape)}. Give axis=.")
    return 0 if axis is None else axis % x.ndim


def _without(x: Tensor, axis: int) -> tuple[int, ...]:
    return (*x.shape[:axis], 1, *x.shape[axis + 1 :])


def _out_of_range(function: str, x: Tensor, indices: Tensor, axis: int, error: Exception) -> Exception:
    low, high = (int(indices.min()), int(indices.max())) if indices.numel() else (0, 0)
    if 0 <= low <= high < x.shape[axis]:
        return error  # it was something else
    return IndexError(
        f"{function}: an index is out of range. Axis {axis} of the shape {tuple(x.shape)} takes indices from 0 to "
        f"{x.shape[axis] - 1}, and these go from {low} to {high}."
    )
