"""Elements by their places, and places by their elements."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tbptt.dtypes import default_dtype
from tbptt.errors import ShapeError
from tbptt_numpy.primitives import arrangement
from tbptt_numpy.tensor import Tensor
from tbptt_numpy.tensors._operands import integer, native, promote, tensor


def take(x: Any, indices: Any, *, axis: int | None = None) -> Any:
    source, places = tensor(x), integer(indices)
    if axis is None and source.ndim != 1:
        raise ShapeError(f"take needs an axis where there are several: the shape is {source.shape}. Give axis=.")
    return _take(source, indices=_checked("take", source, places, axis or 0), axis=axis or 0)


def take_along_axis(x: Any, indices: Any, *, axis: int = -1) -> Any:
    source = tensor(x)
    return _take_along_axis(source, indices=_checked("take_along_axis", source, integer(indices), axis), axis=axis)


def one_hot(x: Any, num_classes: int, *, dtype: Any = None) -> Any:
    hits = integer(x)[..., None] == np.arange(num_classes)
    return Tensor(hits.astype(native(default_dtype() if dtype is None else dtype)))


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    values = tensor(x).value
    if not descending:
        return Tensor(np.argsort(values, axis=axis, kind="stable"))
    backwards = np.argsort(np.flip(values, axis), axis=axis, kind="stable")  # so that equals keep their order
    return Tensor(values.shape[axis] - 1 - np.flip(backwards, axis))


def searchsorted(x1: Any, x2: Any, *, side: Literal["left", "right"] = "left", sorter: Any = None) -> Any:
    x1, x2 = promote(x1, x2)
    return Tensor(np.searchsorted(x1.value, x2.value, side, None if sorter is None else integer(sorter)))


def nonzero(x: Any) -> tuple[Any, ...]:
    return tuple(Tensor(places) for places in np.nonzero(tensor(x).value))


def unique_values(x: Any) -> Any:
    return Tensor(np.unique(tensor(x).value))


_take = arrangement(np.take)
_take_along_axis = arrangement(np.take_along_axis)


def _checked(function: str, x: Tensor, places: Any, axis: int) -> Any:
    """The places, if all of them are there; NumPy counts negative ones from the end."""
    length = x.shape[axis]
    if places.size and not 0 <= places.min() <= places.max() < length:
        raise IndexError(
            f"{function}: an index is out of range. Axis {axis} of the shape {x.shape} takes indices from 0 to {length - 1}, "
            f"and these go from {places.min()} to {places.max()}."
        )
    return places
