"""Tensors out of nothing, or out of something that is no torch tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from torch import Tensor

from tbptt import dtypes
from tbptt.dtypes import number
from tbptt.types import Number
from tbptt_torch.tensors._promotion import NATIVE, native, native_device, tensor


def asarray(obj: Any, *, dtype: Any = None, copy: bool | None = None, device: str | None = None) -> Tensor:
    wanted = None if dtype is None else native(dtype)
    if isinstance(obj, Tensor):
        x = obj.to(device=None if device is None else native_device(device), dtype=wanted)
        return x.clone() if copy and x is obj else x
    if type(obj) in (bool, int, float):  # apart from arrays, because torch.compile cannot follow NumPy
        return full((), obj, dtype=dtype, device=device)
    if isinstance(obj, list | tuple) and _holds_tensors(obj):
        from tbptt_torch.tensors.shaping import stack  # that module stands on this one

        return asarray(stack([asarray(item) for item in obj]), dtype=dtype, device=device)
    array = np.asarray(obj)
    if wanted is None:  # numbers, and nestings of them, have no dtype yet
        plain = not hasattr(obj, "__array__") and array.dtype.kind == "f"
        wanted = native(dtypes.default_dtype() if plain else array.dtype)
    x = torch.from_numpy(array if _shareable(array) and not copy else np.array(array, order="C"))
    return x.to(device=native_device(device), dtype=wanted)


def from_dlpack(x: Any) -> Tensor:
    return torch.utils.dlpack.from_dlpack(x)


def to_numpy(x: Any) -> Any:
    x = tensor(x).detach()
    return (x.float() if x.dtype is torch.bfloat16 else x).cpu().numpy()


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    return torch.zeros(shape, dtype=_float_or(dtype), device=native_device(device))


def ones(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    return torch.ones(shape, dtype=_float_or(dtype), device=native_device(device))


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    return torch.empty(shape, dtype=_float_or(dtype), device=native_device(device))


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    value = number(fill_value)
    if value is None:
        return asarray(fill_value, dtype=dtype, device=device).expand(shape).clone()
    kind = native(dtypes.scalar_dtype(value) if dtype is None else dtype)
    return torch.full((shape,) if isinstance(shape, int) else shape, value, dtype=kind, device=native_device(device))


def zeros_like(x: Any, *, dtype: Any = None) -> Tensor:
    return torch.zeros_like(tensor(x), dtype=None if dtype is None else native(dtype), requires_grad=False)


def ones_like(x: Any, *, dtype: Any = None) -> Tensor:
    return torch.ones_like(tensor(x), dtype=None if dtype is None else native(dtype), requires_grad=False)


def full_like(x: Any, fill_value: Any, *, dtype: Any = None) -> Tensor:
    x = tensor(x)
    kind = x.dtype if dtype is None else native(dtype)
    value = number(fill_value)
    if value is None:
        return tensor(fill_value).to(device=x.device, dtype=kind).expand(x.shape).clone()
    return torch.full_like(x, value, dtype=kind, requires_grad=False)


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None) -> Tensor:
    if stop is None:
        start, stop = 0, start
    if dtype is None:
        whole = all(isinstance(x, int | np.integer) or _is_integer(x) for x in (start, stop, step))
        dtype = "int64" if whole else dtypes.default_dtype()
    if (stop - start) * step < 0:  # the standard's answer is empty, torch's an error
        stop = start
    return torch.arange(start, stop, step, dtype=native(dtype), device=native_device(device))


def linspace(
    start: Number,
    stop: Number,
    num: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Tensor:
    # by NumPy, so that every engine gets the same bits
    values = np.linspace(start, stop, num, endpoint=endpoint)
    return torch.from_numpy(values).to(device=native_device(device), dtype=_float_or(dtype))


def eye(n_rows: int, n_cols: int | None = None, *, k: int = 0, dtype: Any = None, device: str | None = None) -> Tensor:
    where = native_device(device)
    columns = torch.arange(n_rows if n_cols is None else n_cols, device=where)
    return (torch.arange(n_rows, device=where)[:, None] + k == columns).to(_float_or(dtype))


def tril(x: Any, *, k: int = 0) -> Tensor:
    return torch.tril(tensor(x), k)


def triu(x: Any, *, k: int = 0) -> Tensor:
    return torch.triu(tensor(x), k)


def _float_or(dtype: Any) -> torch.dtype:
    return NATIVE[dtypes.default_dtype()] if dtype is None else native(dtype)


def _is_integer(x: Any) -> bool:
    return isinstance(x, Tensor) and not x.dtype.is_floating_point


def _holds_tensors(items: Any) -> bool:
    return any(isinstance(x, Tensor) or (isinstance(x, list | tuple) and _holds_tensors(x)) for x in items)


def _shareable(array: Any) -> bool:
    # torch reads no array that counts backwards, and warns of one that must not be written to
    return array.flags.writeable and math.prod(array.shape) > 0 and min(array.strides, default=1) >= 0
