"""Many elements into one, along axes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tbptt import dtypes
from tbptt.errors import ShapeError
from tbptt.protocols.tensors import Axis
from tbptt_torch.tensors._promotion import NAMES, NATIVE, boolean, native, real, tensor


def sum(x: Any, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    x = tensor(x)
    return torch.sum(x, dim=_axes(x, axis), keepdim=keepdims, dtype=_accumulator(x, dtype))


def prod(x: Any, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    result = tensor(x)
    accumulator = _accumulator(result, dtype)
    for one in sorted((one % result.ndim for one in _axes(result, axis)), reverse=True):  # torch takes one at a time
        result = torch.prod(result, dim=one, keepdim=keepdims, dtype=accumulator)
    return result.to(accumulator)


def mean(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = real(x)
    return torch.mean(x, dim=_axes(x, axis), keepdim=keepdims)


def var(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    x = real(x)
    axes = _axes(x, axis)
    count = math.prod([x.shape[one] for one in axes])  # a list: torch.compile enters it
    if count > correction:
        return torch.var(x, dim=axes, correction=correction, keepdim=keepdims)
    squares = torch.square(x - torch.mean(x, dim=axes, keepdim=True))  # where torch.var would warn
    return torch.sum(squares, dim=axes, keepdim=keepdims) / 0


def std(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Tensor:
    return torch.sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def max(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = tensor(x)
    return torch.amax(x, dim=_axes(x, axis), keepdim=keepdims)


def min(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = tensor(x)
    return torch.amin(x, dim=_axes(x, axis), keepdim=keepdims)


def any(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = boolean(x)
    return torch.any(x, dim=_axes(x, axis), keepdim=keepdims)


def all(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = boolean(x)
    return torch.all(x, dim=_axes(x, axis), keepdim=keepdims)


def count_nonzero(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return sum(boolean(x), axis=axis, keepdims=keepdims)


def argmax(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return torch.argmax(_comparable(x), dim=axis, keepdim=keepdims)


def argmin(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return torch.argmin(_comparable(x), dim=axis, keepdim=keepdims)


def logsumexp(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    x = real(x)
    return torch.logsumexp(x, dim=_axes(x, axis), keepdim=keepdims)


def cumulative_sum(x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    x = tensor(x)
    axis = _only_axis(x, axis)
    result = torch.cumsum(x, dim=axis, dtype=_accumulator(x, dtype))
    return torch.cat([result.new_zeros(_front(result, axis)), result], dim=axis) if include_initial else result


def cumulative_prod(x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    x = tensor(x)
    axis = _only_axis(x, axis)
    result = torch.cumprod(x, dim=axis, dtype=_accumulator(x, dtype))
    return torch.cat([result.new_ones(_front(result, axis)), result], dim=axis) if include_initial else result


def _axes(x: Tensor, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _only_axis(x: Tensor, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise ShapeError(
            f"A running sum or product needs an axis where there are several (or none): the shape is {tuple(x.shape)}. "
            f"Give axis=, or reshape to one axis first."
        )
    return 0 if axis is None else axis


def _accumulator(x: Tensor, dtype: Any) -> torch.dtype:
    return NATIVE[dtypes.accumulating(NAMES[x.dtype])] if dtype is None else native(dtype)


def _comparable(x: Any) -> Tensor:
    held = tensor(x)
    return held.to(torch.uint8) if held.dtype is torch.bool else held


def _front(x: Tensor, axis: int) -> list[int]:
    return [1 if one == axis % x.ndim else length for one, length in enumerate(x.shape)]
