"""Elements by their places, and places by their elements."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tbptt import dtypes
from tbptt.errors import ShapeError
from tbptt_torch.tensors._promotion import integer, native, promote_tensors, tensor


def take(x: Any, indices: Any, *, axis: int | None = None) -> Tensor:
    source, places = tensor(x), integer(indices)
    axis = _only_axis(source, axis)
    try:
        if axis == 0 and source.ndim == 2:  # the kernel of torch.nn.Embedding, whose gradient sums repeated rows
            return torch.nn.functional.embedding(places, source)
        rows = torch.index_select(source, axis, places.reshape(-1))
    except (IndexError, RuntimeError) as error:  # which of them depends on the kernel
        raise _out_of_range("take", source, places, axis, error) from error
    return rows.reshape(*source.shape[:axis], *places.shape, *source.shape[axis + 1 :])


def take_along_axis(x: Any, indices: Any, *, axis: int = -1) -> Tensor:
    source, places = tensor(x), integer(indices).long()
    axis = axis % source.ndim
    # torch.gather takes a smaller index as a corner of the tensor: broadcast as NumPy does instead
    common = np.broadcast_shapes(_without(source, axis), _without(places, axis))
    source = source.expand(*common[:axis], source.shape[axis], *common[axis + 1 :])
    places = places.expand(*common[:axis], places.shape[axis], *common[axis + 1 :])
    try:
        return torch.gather(source, axis, places)
    except RuntimeError as error:
        raise _out_of_range("take_along_axis", source, places, axis, error) from error


def one_hot(x: Any, num_classes: int, *, dtype: Any = None) -> Tensor:
    classes: Tensor = integer(x)
    hits = classes[..., None] == torch.arange(num_classes, device=classes.device)
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
    return torch.unique(tensor(x), sorted=True)  # type: ignore[no-any-return]  # torch leaves it untyped


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
