"""Two runs laid side by side, window by window as they come: how far apart they are, and where they part."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby, zip_longest
from typing import Literal, NamedTuple

import numpy as np

from tbptt.comparison.differences import Difference, differences
from tbptt.comparison.moments import MOMENTS
from tbptt.comparison.recording import Place, Record
from tbptt.comparison.rows import Columns, Rows
from tbptt.comparison.tolerances import Tolerance
from tbptt.types import Array

_GROWN = 100
"""How much a window may make of a difference that was there before; what is more began in it."""
_ROUNDING = "  It had grown by then, as rounding does at high rates: lockstep, where all windows begin equal, tells the two apart."
_IS_A_PARAMETER = ("start", "gradient", "clipping", "update", "optimizer")


Follow = Literal["never", "grown", "always"]
"""When a run goes on from another one's parameters and state: never, where rounding has grown beyond the tolerated, or always."""


class Parting(NamedTuple):
    """The first place where two runs are further apart than tolerated."""

    place: Place
    difference: Difference
    others: int = 0
    """Further arrays that are beyond the tolerated at the same moment."""

    def described(self, one: str, other: str, largest_before: float) -> str:
        """In sentences, for people."""
        place, difference, others = self
        what = "parameter" if difference.moment in _IS_A_PARAMETER else "value"
        head = f"{one} and {other} part in {place}, moment '{difference.moment}', {what} {difference.name}"
        if difference.fault:
            return f"{head}, which {difference.fault}."
        element = f"element {list(difference.worst)}" if difference.worst else "its value"
        before = f"{_windows(place.window)} before it" if place.window else "what came before it"
        here, there = difference.values
        apart = f"{difference.maximum:.2e} apart, {difference.relative:.1e} of the array's largest element"
        lines = (
            f"{head}:",
            f"  {element} is {here!r} on {one} and {there!r} on {other},",
            f"  {apart}, {counted(difference.ulp)} ulp; {difference.allowed:.1e} is tolerated.",
            f"  So {'are' if others > 1 else 'is'} {others} more at the same moment." if others else "",
            f"  In {before} the largest difference was {largest_before:.1e}.",
            _ROUNDING if difference.maximum < _GROWN * largest_before else "",
        )
        return "\n".join(line for line in lines if line)


class Summary(NamedTuple):
    """One moment, over all windows."""

    moment: str
    maximum: float
    relative: float
    ulp: float
    growth: float | None
    """By which factor the largest difference grows from window to window; None where there is nothing to tell it from."""
    where: str
    """The window and the array with the largest difference, relative to its scale."""


@dataclass
class Comparison:
    """Takes two runs' records window by window.

    >>> from tbptt.comparison import Comparison
    >>> from tbptt.comparison.recording import Place, Record
    >>> import numpy as np
    >>> comparison = Comparison("one", "other")
    >>> for value in (1.0, 1.5):
    ...     comparison.add(Record(Place(0, 0, 0, 0, 1), {"loss": {"loss": np.array(1.0)}}),
    ...                    Record(Place(0, 0, 0, 0, 1), {"loss": {"loss": np.array(value)}}))
    >>> comparison.is_same
    False

    Args:
        one, other: what the two are called.
        tolerance: what counts as the same.
        follow: when the second run, where it can, is to go on from the first one's parameters and state (`correction`).
    """

    one: str
    other: str
    tolerance: Tolerance = field(default_factory=Tolerance)
    follow: Follow = "never"
    windows: int = 0
    """Compared so far."""
    parting: Parting | None = None
    ended: str = ""
    """Said where one run has fewer windows than the other."""
    rows: Rows = field(default_factory=Rows)
    """Every array of every window: number of the window, difference."""
    losses: list[tuple[float, float]] = field(default_factory=list)
    """Of every window."""
    largest_before: float = 0.0
    """Difference of any two elements before the runs part."""
    corrected: list[int] = field(default_factory=list)
    """Windows after which the second run went on from the first one's states, because rounding had grown."""

    def __post_init__(self) -> None:
        self.tolerance.checked()
        self._left: tuple[dict[str, Array], dict[str, Array]] = {}, {}
        """Parameters as either run left them last."""
        self._excess = 0.0
        """The largest difference since the beginning or the last correction, in units of what is tolerated."""

    def add(self, first: Record, second: Record) -> None:
        """Compare one window."""
        first, second = self._with_starts(first, second)
        excess, has_grown = 0.0, False
        for _, group in groupby(differences(first, second, self.tolerance), lambda difference: difference.moment):
            found = list(group)
            for difference in found:
                self.rows.append(first.place.window, difference)
            here = max(difference.excess for difference in found)
            if self.parting is None and 1 < here <= _GROWN * self._excess and self.follow == "grown":
                has_grown = True
            elif self.parting is None and here > 1:
                beyond = [difference for difference in found if difference.is_beyond]
                self.parting = Parting(first.place, beyond[0], len(beyond) - 1)
            elif self.parting is None:
                self.largest_before = max(self.largest_before, *(difference.maximum for difference in found))
            excess = max(excess, here)
        self._excess = max(self._excess, excess)
        if has_grown and self.parting is None:
            self.corrected.append(first.place.window)
        one, other = (record.moments.get("loss", {}).get("loss") for record in (first, second))
        if one is not None and other is not None:
            self.losses.append((float(one), float(other)))
        self.windows += 1

    def correction(self, first: Record) -> Record:
        """What the second run is to go on from, after a window of the first that was just compared.

        The first run's parameters and state if `follow` is ``"always"``, or if it is ``"grown"`` and a difference that was there
        before has grown beyond the tolerated in this window, as long as the runs have not parted; else nothing. A difference
        counts as grown if it is at most a hundred times what has been there.
        """
        has_grown = bool(self.corrected) and self.corrected[-1] == first.place.window
        if not (self.follow == "always" or (has_grown and self.parting is None)):
            return Record(first.place, {})
        left, self._excess = dict(self._left[0]), 0.0
        self._left = left, dict(left)
        of_window = {moment: first.moments.get(moment, {}) for moment in ("forward", "optimizer")}
        return Record(first.place, {"update": left, **of_window})

    def _with_starts(self, first: Record, second: Record) -> tuple[Record, Record]:
        """The records, where only one says that a parameter was changed between windows with what it still is in the other."""
        starts = [record.moments.get("start", {}) for record in (first, second)]
        names = dict.fromkeys([*starts[0], *starts[1]])
        filled = []
        for record, start, left in zip((first, second), starts, self._left, strict=True):
            here = {name: array for name in names if (array := start.get(name, left.get(name))) is not None}
            filled.append(replace(record, moments={**record.moments, "start": here}))
            left |= here | record.moments.get("update", {})
        return filled[0], filled[1]

    def add_all(self, first: Iterable[Record], second: Iterable[Record]) -> None:
        """Compare two runs from here to their ends."""
        for one, other in zip_longest(first, second):
            if one is None or other is None:
                self.end(one_ended=one is None)
                break
            self.add(one, other)

    def end(self, one_ended: bool) -> None:
        """One of them has come to its end, and the other goes on."""
        short, long = (self.one, self.other) if one_ended else (self.other, self.one)
        self.ended = f"{short} ended after {_windows(self.windows)}, and {long} went on."

    @property
    def is_same(self) -> bool:
        """Whether no difference was beyond the tolerated, and there was something to compare."""
        return self.parting is None and not self.ended and self.windows > 0

    @property
    def verdict(self) -> str:
        """In a sentence or a few."""
        if self.windows == 0:
            return f"There was no window to compare. {self.ended}".rstrip()
        if self.is_same:
            return (
                f"{self.one} and {self.other} computed the same over {_windows(self.windows)}: the largest difference of any two "
                f"elements was {self.rows.largest():.1e}.{self._said_of_growth()}{self._said_of_losses()}"
            )
        said = [self.parting.described(self.one, self.other, self.largest_before)] if self.parting else []
        return "\n".join([*said, *([self.ended] if self.ended else [])])

    def _said_of_growth(self) -> str:
        if not self.corrected:
            return ""
        after = f"{'windows' if len(self.corrected) > 1 else 'window'} {_listed(self.corrected)}"
        return (
            "\nNo difference began in any of them. The training is chaotic, so rounding grows from window to window: where it was "
            f"beyond\nthe tolerated, {self.other} went on from {self.one}'s parameters, optimizer and state, after {after}."
        )

    def _said_of_losses(self) -> str:
        number = next((n for n, pair in enumerate(self.losses) if not all(map(math.isfinite, pair))), None)
        if number is None:
            return ""
        return f"\nThe loss was {self.losses[number][0]} on both in window {number}, and nothing is shown by what came after."

    def summaries(self) -> list[Summary]:
        """A row for each moment that came."""
        found = {moment: self.rows.at(moment) for moment in MOMENTS}
        return [self._summary(moment, rows) for moment, rows in found.items() if rows.window.size]

    def curve(self, moment: str) -> dict[int, float]:
        """Number of each window to its largest difference relative to scale, at a moment."""
        return _curve(self.rows.at(moment))

    @property
    def _grew_until(self) -> float:
        """The last window of the runs' beginning, in which the second was left to itself."""
        return self.corrected[0] if self.corrected else math.inf

    def _summary(self, moment: str, rows: Columns) -> Summary:
        worst = int(rows.relative.argmax())
        return Summary(
            moment,
            float(rows.maximum.max()),
            float(rows.relative[worst]),
            float(rows.ulp.max()),
            growth({window: value for window, value in _curve(rows).items() if window <= self._grew_until}),
            f"window {rows.window[worst]}, {self.rows.name(rows.name[worst])}" if rows.maximum[worst] else "",
        )


def _curve(rows: Columns) -> dict[int, float]:
    windows, places = np.unique(rows.window, return_inverse=True)
    largest = np.zeros(windows.size)
    np.maximum.at(largest, places, rows.relative)
    return dict(zip(windows.tolist(), largest.tolist(), strict=True))


def growth(curve: dict[int, float]) -> float | None:
    """The factor from window to window of the exponential that fits a curve best; None for fewer than three differences.

    >>> from tbptt.comparison.comparison import growth
    >>> round(growth({0: 1e-16, 1: 2e-16, 2: 4e-16, 3: 8e-16}), 6)
    2.0
    """
    points = [(window, math.log(value)) for window, value in curve.items() if 0 < value < math.inf]
    if len(points) < 3:
        return None
    windows, logs = np.array(points).T
    return float(np.exp(np.polyfit(windows, logs, 1)[0]))


def counted(ulp: float) -> str:
    """Units of the last place, readable."""
    return f"{ulp:,.0f}" if ulp < 1e7 else f"{ulp:.1e}"


def _listed(windows: list[int]) -> str:
    shown = ", ".join(map(str, windows[:5]))
    return f"{shown} and {len(windows) - 5} more" if len(windows) > 5 else shown


def _windows(count: int) -> str:
    return f"{count:,} window{'' if count == 1 else 's'}"
