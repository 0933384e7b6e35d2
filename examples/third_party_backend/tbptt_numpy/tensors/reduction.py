"""Many elements into one, along axes.

The operations keep the axes they reduce, so that gradients and answers broadcast against the operand; `_reduced` drops them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tbptt.dtypes import accumulating
from tbptt.errors import ShapeError
from tbptt.protocols.tensors import Axis
from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensor import Tensor
from tbptt_numpy.tensors._operands import native, real, tensor
from tbptt_numpy.tensors.creation import asarray, ones, zeros
from tbptt_numpy.tensors.shaping import concat, moveaxis, reshape, squeeze
from tbptt_numpy.tensors.transcendental import sqrt


def sum(x: Any, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return _reduced(_sum, _accumulated(x, dtype), axis, keepdims)


def prod(x: Any, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Any:
    x = _accumulated(x, dtype)
    axes = _axes(x, axis)
    rest = [length for i, length in enumerate(x.shape) if i not in axes]
    row = reshape(moveaxis(x, axes, range(-len(axes), 0)), (*rest, math.prod(x.shape[i] for i in axes)))
    kept = [1 if i in axes else length for i, length in enumerate(x.shape)]
    return reshape(_prod(row), kept if keepdims else rest)


def mean(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    x = real(x)
    return sum(x, axis=axis, keepdims=keepdims) / _count(x, axis)


def var(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    x = real(x)
    away = x - mean(x, axis=axis, keepdims=True)
    count = np.maximum(_count(x, axis) - correction, 0)
    return sum(away * away, axis=axis, keepdims=keepdims) / float(count)


def std(x: Any, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Any:
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def max(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return _reduced(_max, tensor(x), axis, keepdims)


def min(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return _reduced(_min, tensor(x), axis, keepdims)


def any(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return _reduced(_any, tensor(x), axis, keepdims)


def all(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return _reduced(_all, tensor(x), axis, keepdims)


def count_nonzero(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return sum(tensor(x) != 0, axis=axis, keepdims=keepdims)


def argmax(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    return Tensor(np.argmax(tensor(x).value, axis=axis, keepdims=keepdims))


def argmin(x: Any, *, axis: int | None = None, keepdims: bool = False) -> Any:
    return Tensor(np.argmin(tensor(x).value, axis=axis, keepdims=keepdims))


def logsumexp(x: Any, *, axis: Axis = None, keepdims: bool = False) -> Any:
    return _reduced(_logsumexp, real(x), axis, keepdims)


def cumulative_sum(x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return _running(_cumulative_sum, zeros, x, axis, dtype, include_initial)


def cumulative_prod(x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Any:
    return _running(_cumulative_prod, ones, x, axis, dtype, include_initial)


def _reduced(operation: Callable[..., Any], x: Tensor, axis: Axis, keepdims: bool) -> Any:
    axes = _axes(x, axis)
    kept = operation(x, axis=axes)
    return kept if keepdims else squeeze(kept, axes)


def _running(
    operation: Callable[..., Any],
    start: Callable[..., Any],
    x: Any,
    axis: int | None,
    dtype: Any,
    include_initial: bool,
) -> Any:
    x = _accumulated(x, dtype)
    if axis is None and x.ndim != 1:
        raise ShapeError(
            f"A running sum or product needs an axis where there are several: the shape is {x.shape}. Give axis=."
        )
    place = (axis or 0) % x.ndim
    answer = operation(x, axis=place)
    first = start((*x.shape[:place], 1, *x.shape[place + 1 :]), dtype=x.dtype)
    return concat([first, answer], axis=place) if include_initial else answer


def _axes(x: Tensor, axis: Axis) -> tuple[int, ...]:
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return tuple(one % x.ndim for one in axes)


def _count(x: Tensor, axis: Axis) -> int:
    return math.prod(x.shape[one] for one in _axes(x, axis))


def _accumulated(x: Any, dtype: Any) -> Any:
    x = tensor(x)
    return asarray(x, dtype=native(accumulating(str(x.dtype)) if dtype is None else dtype))


def _shared(g: Any, y: Any, x: Any, axis: Any) -> Any:
    hits = x == y
    return g * hits / np.sum(hits, axis=axis, keepdims=True)


def _log_of_sum(x: Any, axis: Any) -> Any:
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    return top + np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True))


def _product_of_others(x: Any) -> Any:
    """For every element along the last axis the product of those before it, times that of those after it."""
    one = np.ones_like(x[..., :1])
    before = np.cumprod(np.concatenate([one, x[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([one, x[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    return before * after


def _backwards(g: Any, axis: int) -> Any:
    return np.flip(np.cumsum(np.flip(g, axis), axis), axis)


_sum = primitive(
    lambda x, axis: np.sum(x, axis=axis, dtype=x.dtype, keepdims=True),
    lambda g, y, x, axis: np.broadcast_to(g, x.shape),
)
_prod = primitive(lambda x: np.prod(x, axis=-1, dtype=x.dtype), lambda g, y, x: g[..., None] * _product_of_others(x))
_max = primitive(lambda x, axis: np.max(x, axis=axis, keepdims=True), _shared)
_min = primitive(lambda x, axis: np.min(x, axis=axis, keepdims=True), _shared)
_any = primitive(lambda x, axis: np.any(x, axis=axis, keepdims=True))
_all = primitive(lambda x, axis: np.all(x, axis=axis, keepdims=True))
_logsumexp = primitive(_log_of_sum, lambda g, y, x, axis: g * np.exp(x - np.where(y == -np.inf, 0, y)))
_cumulative_sum = primitive(
    lambda x, axis: np.cumsum(x, axis, dtype=x.dtype), lambda g, y, x, axis: _backwards(g, axis)
)
_cumulative_prod = primitive(
    lambda x, axis: np.cumprod(x, axis, dtype=x.dtype), lambda g, y, x, axis: _backwards(g * y, axis) / x
)
