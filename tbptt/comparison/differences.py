"""Two records of one window, array by array."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tbptt.comparison.moments import MOMENTS
from tbptt.comparison.recording import Record, places_kept
from tbptt.comparison.tolerances import Tolerance
from tbptt.types import Array


class Difference(NamedTuple):
    """Of one array, at one moment of one window."""

    moment: str
    name: str
    maximum: float
    """The largest difference of two elements; infinite where one side has a number and the other has none."""
    scale: float
    """The largest magnitude on either side."""
    ulp: float
    """The largest difference in units of the last place of an element."""
    allowed: float
    worst: tuple[int, ...] = ()
    """Index of the element that differs most."""
    values: tuple[float, float] = (0.0, 0.0)
    """What it is on either side."""
    fault: str = ""
    """Why the two cannot be compared: one is missing, or they have other shapes."""

    @property
    def relative(self) -> float:
        """The largest difference, in units of the array's scale."""
        return self.maximum / self.scale if self.scale and math.isfinite(self.scale) else self.maximum

    @property
    def excess(self) -> float:
        """The largest difference, in units of what is tolerated."""
        if self.fault:
            return math.inf
        return self.maximum / self.allowed if self.allowed else math.inf if self.maximum else 0.0

    @property
    def is_beyond(self) -> bool:
        """Whether it is more than tolerated."""
        return self.excess > 1


def differences(first: Record, second: Record, tolerance: Tolerance) -> Iterator[Difference]:
    """Every array of two records of one window, in the order in which a difference spreads."""
    for moment in MOMENTS:
        one, other = first.moments.get(moment, {}), second.moments.get(moment, {})
        for name in (*one, *(name for name in other if name not in one)):
            pair = one.get(name), other.get(name)
            yield _difference(moment, name, *pair, tolerance, first.shapes, first.arithmetic or second.arithmetic)


def _difference(
    moment: str,
    name: str,
    one: Array | None,
    other: Array | None,
    tolerance: Tolerance,
    shapes: dict[str, tuple[int, ...]],
    arithmetic: str,
) -> Difference:
    if one is None or other is None:
        fault = f"is there on one side only, the {'second' if one is None else 'first'}"
        return Difference(moment, name, math.inf, 1.0, math.inf, 0.0, fault=fault)
    if one.shape != other.shape:
        fault = f"has shape {one.shape} on one side and {other.shape} on the other"
        return Difference(moment, name, math.inf, 1.0, math.inf, 0.0, fault=fault)
    dtype = _coarser(one, other)
    if not one.size:
        return Difference(moment, name, 0.0, 0.0, 0.0, 0.0)
    a, b = one.reshape(-1).astype(np.float64), other.reshape(-1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = np.abs(a - b)
    distance[(a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    distance[np.isnan(distance)] = np.inf
    flat = int(np.argmax(distance))
    scale = max(_largest(a), _largest(b))
    return Difference(
        moment,
        name,
        float(distance[flat]),
        scale,
        _ulp(a, b, distance, dtype),
        tolerance.allowed(moment, arithmetic if arithmetic and moment not in ("start", "data") else dtype, scale),
        _index(flat, one.shape, shapes.get(f"{moment}/{name}")),
        (float(a[flat]), float(b[flat])),
    )


def _coarser(one: Array, other: Array) -> str:
    """The dtype whose rounding explains a difference: the floating one, if only one is, and the shorter of two."""
    return min((one.dtype, other.dtype), key=lambda dtype: (dtype.kind != "f", dtype.itemsize)).name


def _largest(array: Array) -> float:
    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max()) if finite.size else 0.0


def _ulp(a: Array, b: Array, distance: Array, dtype: str) -> float:
    if not dtype.startswith("float"):
        return float(distance.max())
    with np.errstate(invalid="ignore", over="ignore"):
        unit = np.spacing(np.maximum(np.abs(a), np.abs(b)).astype(dtype)).astype(np.float64)
        units = distance / unit
    return float(np.where(distance == 0, 0.0, np.where(np.isnan(units), np.inf, units)).max())


def _index(flat: int, shape: tuple[int, ...], whole: tuple[int, ...] | None) -> tuple[int, ...]:
    if whole is None:
        return tuple(int(i) for i in np.unravel_index(flat, shape))
    return tuple(int(i) for i in np.unravel_index(int(places_kept(math.prod(whole), shape[0])[flat]), whole))
