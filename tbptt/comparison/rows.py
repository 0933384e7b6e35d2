"""The differences of a long run, kept small: numbers in columns, for there may be millions."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tbptt.comparison.differences import Difference
from tbptt.types import Array


class Columns(NamedTuple):
    """Of one moment, an entry for each array of each window."""

    window: Array
    name: Array
    """Numbers of names (`Rows.name`)."""
    maximum: Array
    relative: Array
    ulp: Array


class Rows:
    """Pairs of a window's number and a `Difference`, as they were appended. Where in an array the difference was, the two values
    there and why it is a fault are not kept: the first that matters is the comparison's ``parting``.

    >>> from tbptt.comparison.differences import Difference
    >>> from tbptt.comparison.rows import Rows
    >>> rows = Rows()
    >>> rows.append(3, Difference("update", "head.bias", 0.5, 2.0, 7.0, 0.1))
    >>> [(window, difference.name, difference.relative) for window, difference in rows]
    [(3, 'head.bias', 0.25)]
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        """Of each moment and name that came, in their order."""
        self._windows, self._keys = array("q"), array("q")
        self._values = array("d")  # four a row: maximum, scale, ulp, allowed

    def append(self, window: int, difference: Difference) -> None:
        """Add one."""
        self._windows.append(window)
        self._keys.append(self._numbers.setdefault((difference.moment, difference.name), len(self._numbers)))
        self._values.extend((difference.maximum, difference.scale, difference.ulp, difference.allowed))

    def __len__(self) -> int:
        return len(self._windows)

    def __iter__(self) -> Iterator[tuple[int, Difference]]:
        keys = list(self._numbers)
        for row, (window, key) in enumerate(zip(self._windows, self._keys, strict=True)):
            maximum, scale, ulp, allowed = self._values[4 * row : 4 * row + 4]
            yield window, Difference(*keys[key], maximum, scale, ulp, allowed)

    def name(self, number: int) -> str:
        """The array's name."""
        return list(self._numbers)[number][1]

    def at(self, moment: str) -> Columns:
        """Of one moment all rows."""
        wanted = [number for (each, _), number in self._numbers.items() if each == moment]
        keys = np.array(self._keys, dtype=np.int64)
        here = np.isin(keys, wanted)
        maximum, scale, ulp, _ = np.array(self._values).reshape(-1, 4)[here].T
        unit = np.where((scale != 0) & np.isfinite(scale), scale, 1.0)
        return Columns(np.array(self._windows, dtype=np.int64)[here], keys[here], maximum, maximum / unit, ulp)

    def largest(self) -> float:
        """Of all differences."""
        return float(np.array(self._values)[::4].max()) if self._windows else 0.0
