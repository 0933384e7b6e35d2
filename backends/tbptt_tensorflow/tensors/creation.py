"""Tensors out of nothing, or out of something that is no TensorFlow tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tbptt import dtypes
from tbptt.dtypes import number
from tbptt.types import Number
from tbptt_tensorflow.tensors._promotion import NATIVE, Tensor, Variable, cast, native, on_device, tensor


def asarray(obj: Any, *, dtype: Any = None, copy: bool | None = None, device: str | None = None) -> Any:
    wanted = None if dtype is None else native(dtype)
    if isinstance(obj, Tensor | Variable):
        with on_device(device):
            x = tensor(obj) if device is None else tf.identity(obj)
            x = x if wanted is None else cast(x, wanted)
            return tf.identity(x) if copy and x is obj else x
    if isinstance(obj, list | tuple) and _holds_tensors(obj):
        from tbptt_tensorflow.tensors.shaping import stack  # that module stands on this one

        return asarray(stack([asarray(item) for item in obj]), dtype=dtype, device=device)
    foreign: Any = obj
    array = np.asarray(foreign.detach().cpu() if hasattr(foreign, "detach") else foreign)  # torch's may have a past
    if wanted is None:  # numbers, and nestings of them, have no dtype yet
        plain = not hasattr(obj, "__array__") and array.dtype.kind == "f"
        wanted = native(dtypes.default_dtype() if plain else array.dtype)
    with on_device(device):
        return tf.constant(array.astype(wanted.as_numpy_dtype, copy=False))


def from_dlpack(x: Any) -> Any:
    return tf.experimental.dlpack.from_dlpack(x.__dlpack__())


def to_numpy(x: Any) -> Any:
    x = tensor(x)
    return (tf.cast(x, tf.float32) if x.dtype is tf.bfloat16 else x).numpy()


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor | Variable)


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    with on_device(device):
        return tf.zeros(shape, _float_or(dtype))


def ones(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    with on_device(device):
        return tf.ones(shape, _float_or(dtype))


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    return zeros(shape, dtype=dtype, device=device)  # TensorFlow has nothing quicker


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    value = number(fill_value)
    with on_device(device):
        if value is None:
            filling = asarray(fill_value, dtype=dtype)
        else:
            filling = _constant(value, native(dtypes.scalar_dtype(value) if dtype is None else dtype))
        return tf.broadcast_to(filling, (shape,) if isinstance(shape, int) else shape)


def zeros_like(x: Any, *, dtype: Any = None) -> Any:
    return tf.zeros_like(tensor(x), None if dtype is None else native(dtype))


def ones_like(x: Any, *, dtype: Any = None) -> Any:
    return tf.ones_like(tensor(x), None if dtype is None else native(dtype))


def full_like(x: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    x = tensor(x)
    kind = x.dtype if dtype is None else native(dtype)
    value = number(fill_value)
    filling = cast(tensor(fill_value), kind) if value is None else _constant(value, kind)
    return tf.broadcast_to(filling, tf.shape(x))


def arange(start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None) -> Any:
    if stop is None:
        start, stop = 0, start
    if dtype is None:
        whole = all(isinstance(x, int | np.integer) or _is_integer(x) for x in (start, stop, step))
        dtype = "int64" if whole else dtypes.default_dtype()
    kind = native(dtype)
    if any(isinstance(x, Tensor | Variable) for x in (start, stop, step)):
        return tf.range(cast(tensor(start), kind), cast(tensor(stop), kind), cast(tensor(step), kind))
    if (stop - start) * step < 0:  # the standard's answer is empty, TensorFlow's an error
        stop = start
    with on_device(device):
        return tf.range(start, stop, step, dtype=kind)


def linspace(
    start: Number,
    stop: Number,
    num: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    endpoint: bool = True,
) -> Any:
    # by NumPy, so that every engine gets the same bits
    values = np.linspace(start, stop, num, endpoint=endpoint)
    return asarray(values, device=device, dtype=_float_or(dtype))


def eye(n_rows: int, n_cols: int | None = None, *, k: int = 0, dtype: Any = None, device: str | None = None) -> Any:
    with on_device(device):
        columns = tf.range(n_rows if n_cols is None else n_cols)
        return tf.cast(tf.range(n_rows)[:, None] + k == columns, _float_or(dtype))


def tril(x: Any, *, k: int = 0) -> Any:
    x = tensor(x)
    rows, columns = _places(x)
    return tf.where(columns <= rows + k, x, tf.zeros((), x.dtype))


def triu(x: Any, *, k: int = 0) -> Any:
    x = tensor(x)
    rows, columns = _places(x)
    return tf.where(columns >= rows + k, x, tf.zeros((), x.dtype))


def _constant(value: Any, kind: Any) -> Any:
    return tf.constant(np.asarray(value).astype(kind.as_numpy_dtype))  # NumPy turns 1 into True and 2.5 into 2


def _float_or(dtype: Any) -> Any:
    return NATIVE[dtypes.default_dtype()] if dtype is None else native(dtype)


def _is_integer(x: Any) -> bool:
    return isinstance(x, Tensor | Variable) and x.dtype.is_integer


def _holds_tensors(items: Any) -> bool:
    return any(isinstance(x, Tensor | Variable) or (isinstance(x, list | tuple) and _holds_tensors(x)) for x in items)


def _places(x: Any) -> tuple[Any, Any]:
    # tf.linalg.band_part knows no diagonal above (tril) or below (triu) the main one
    lengths = tf.shape(x)
    return tf.range(lengths[-2])[:, None], tf.range(lengths[-1])
