"""Cutting one long series into contiguous rows, and rows into blocks: views only."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

from tbptt.errors import ConfigurationError
from tbptt.types import Array


def cut_into_rows(series: Array, rows: int) -> Array:
    """(time, ...) as (rows, time // rows, ...), a view: row r goes on where row r − 1 ends. A remainder is left out."""
    steps = len(series) // rows
    return series[: rows * steps].reshape(rows, steps, *series.shape[1:])


def blocks(steps: int, block_steps: int | None) -> Iterator[tuple[int, int]]:
    """Start and stop of consecutive blocks of time; a single one for None; the last one may be shorter."""
    size = steps if block_steps is None else block_steps
    return ((start, min(start + size, steps)) for start in range(0, steps, size))


def whole_number(name: str, value: Any) -> int:
    """The value as an int.

    Raises:
        ConfigurationError: if it is no whole number of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ConfigurationError(
            f"{name}= is a whole number of at least 1; received {value!r} ({type(value).__name__})."
        )
    return int(value)
