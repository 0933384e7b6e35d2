"""Tensors out of nothing, or out of something that is no tensor of this engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt import backends, dtypes
from tbptt.types import Number
from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensor import Tensor, value_of
from tbptt_numpy.tensors._operands import check_device, convert, native, tensor


def asarray(obj: Any, *, dtype: Any = None, copy: bool | None = None, device: str | None = None) -> Any:
    check_device(device)
    if isinstance(obj, list | tuple) and _holds_tensors(obj):
        from tbptt_numpy.tensors.shaping import stack  # that module stands on this one

        obj = stack([asarray(item) for item in obj])
    if isinstance(obj, Tensor):
        x = obj if dtype is None or native(dtype) == obj.dtype else convert(obj, dtype=native(dtype))
        return _copy(x) if copy and x is obj else x
    owner = backends.owner_of(obj)  # another engine's tensors come through that engine, because they may have a past
    array = np.asarray(obj if owner is None else owner.tensors.to_numpy(obj))
    if dtype is None:  # numbers, and nestings of them, have no dtype yet
        plain = owner is None and not hasattr(obj, "__array__") and array.dtype.kind == "f"
        dtype = dtypes.default_dtype() if plain else array.dtype
    return Tensor((np.array if copy else np.asarray)(array, dtype=native(dtype)))


def from_dlpack(x: Any) -> Any:
    return Tensor(np.from_dlpack(x))


def to_numpy(x: Any) -> Any:
    return tensor(x).value


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    return full(shape, 0, dtype=_float_or(dtype), device=device)


def ones(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    return full(shape, 1, dtype=_float_or(dtype), device=device)


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    return zeros(shape, dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    value = asarray(fill_value, dtype=dtype, device=device).value
    return Tensor(np.full(shape, value, dtype=value.dtype))


def zeros_like(x: Any, *, dtype: Any = None) -> Any:
    return full_like(x, 0, dtype=dtype)


def ones_like(x: Any, *, dtype: Any = None) -> Any:
    return full_like(x, 1, dtype=dtype)


def full_like(x: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    x = tensor(x)
    return full(x.shape, fill_value, dtype=x.dtype if dtype is None else dtype)


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None) -> Any:
    check_device(device)
    start, stop = (0, start) if stop is None else (start, stop)
    values = np.arange(*(np.asarray(value_of(x))[()] for x in (start, stop, step)))
    if dtype is None:
        dtype = dtypes.default_dtype() if values.dtype.kind == "f" else "int64"
    return Tensor(values.astype(native(dtype)))


def linspace(
    start: Number,
    stop: Number,
    num: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Any:
    check_device(device)
    return Tensor(np.linspace(start, stop, num, endpoint=endpoint).astype(_float_or(dtype)))


def eye(n_rows: int, n_cols: int | None = None, *, k: int = 0, dtype: Any = None, device: str | None = None) -> Any:
    check_device(device)
    return Tensor(np.eye(n_rows, n_cols, k=k, dtype=_float_or(dtype)))


def tril(x: Any, *, k: int = 0) -> Any:
    return _tril(tensor(x), k=k)


def triu(x: Any, *, k: int = 0) -> Any:
    return _triu(tensor(x), k=k)


_copy = primitive(np.copy, lambda g, y, x: g)
_tril = primitive(np.tril, lambda g, y, x, k: np.tril(g, k))
_triu = primitive(np.triu, lambda g, y, x, k: np.triu(g, k))


def _float_or(dtype: Any) -> Any:
    return native(dtypes.default_dtype() if dtype is None else dtype)


def _holds_tensors(items: Any) -> bool:
    return any(isinstance(x, Tensor) or (isinstance(x, list | tuple) and _holds_tensors(x)) for x in items)
