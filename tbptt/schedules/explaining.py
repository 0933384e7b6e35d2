"""A plan as a table a person can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tbptt.schedules.base import Schedule, preview
from tbptt.schedules.costs import cost_of
from tbptt.schedules.window import Window


class Column(NamedTuple):
    """A title, the cell of a window, and whether that cell says something; a column none of whose cells does is left out."""

    title: str
    cell: Callable[[Window], object]
    says: Callable[[Window], bool] = lambda window: True


COLUMNS = (
    Column("start", lambda window: window.start),
    Column("stop", lambda window: window.stop),
    Column("steps", lambda window: window.steps),
    Column("runs from", lambda window: window.run_from, lambda window: window.run_from < window.start),
    Column(
        "gradient from",
        lambda window: window.reach if window.trains else "-",
        lambda window: window.reach != window.start or not window.trains,
    ),
    Column(
        "losses", lambda window: _losses(window), lambda window: not window.run_from == window.start == window.losses
    ),
    Column("weight", lambda window: _weight(window), lambda window: _weight(window) != "1"),
    Column("rate", lambda window: f"{window.rate:.3g}", lambda window: window.rate != 1),
    Column("segments", lambda window: _segments(window), lambda window: window.segment is not None),
    Column("slots", lambda window: _slots(window), lambda window: window.segment is not None),
    Column("forward", cost_of, lambda window: cost_of(window) != window.steps),
)


def explain(schedule: Schedule, length: int, most: int = 20) -> str:
    """The plan that comes next as text, one line a window; the middle is left out where there are more than `most`.

    >>> from tbptt import schedules
    >>> print(schedules.explain(schedules.Fixed(4), 10))
    Fixed(4): 10 steps in 3 windows
    window  start  stop  steps
         0      0     4      4
         1      4     8      4
         2      8    10      2
    10 steps run forward, 1 per step of the sequence; the gradient of a loss goes through 2.3 steps on average

    Where they say something, further columns follow: the step the run begins from, if steps run again; the first step the gradient
    flows through; the steps whose losses count; the smallest and largest weight the gradient has on its way back; the factor on the
    learning rate; segments and stored states of a sequence that is computed again on the way back; steps that run forward.

    >>> print(schedules.explain(schedules.Fixed(3, 5), 9))
    Fixed(3, 5): 9 steps in 3 windows
    window  start  stop  steps  runs from  gradient from  losses  forward
         0      0     3      3          0              0    0..2        3
         1      3     6      3          1              1    3..5        5
         2      6     9      3          4              4    6..8        5
    13 steps run forward, 1.44 per step of the sequence; the gradient of a loss goes through 3.3 steps on average

    Args:
        schedule: also a third party's. One that draws does so in a copy: it goes on as if nobody had asked.
        length: time steps of the sequence.
        most: lines of windows.

    Raises:
        ScheduleError: if the plan does not hold together.
    """
    windows = preview(schedule, length)
    columns = [column for column in COLUMNS if column.title in _ALWAYS or any(map(column.says, windows))]
    shown = list(enumerate(windows))
    left_out = len(windows) - most
    if left_out > 0:
        shown = shown[: (most + 1) // 2] + shown[len(windows) - most // 2 :]
    cells = [[str(index), *(str(column.cell(window)) for column in columns)] for index, window in shown]
    titles = ["window", *(column.title for column in columns)]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in [titles, *cells]]
    if left_out > 0:
        lines.insert(1 + (most + 1) // 2, f"{'...':>{widths[0]}}  ({left_out} more)")
    head = f"{schedule!r}: {length} steps in {len(windows)} window{'s' if len(windows) != 1 else ''}"
    return "\n".join([head, *lines, _totals(windows, length)])


_ALWAYS = ("start", "stop", "steps")


def _totals(windows: list[Window], length: int) -> str:
    forward = sum(map(cost_of, windows))
    losses = sum(window.stop - window.losses for window in windows)
    # A loss at t has depth t + 1 - reach, so that a window's depths go up by one from its first loss to its last.
    depths = sum(
        (window.stop - window.losses) * (window.losses + 1 + window.stop - 2 * window.reach) / 2 for window in windows
    )
    reach = (
        f"the gradient of a loss goes through {depths / losses:.1f} steps on average" if losses else "no loss counts"
    )
    return f"{forward} steps run forward, {forward / length:.3g} per step of the sequence; {reach}"


def _losses(window: Window) -> str:
    first, last = window.losses, window.stop - 1
    return "-" if first > last else f"{first}" if first == last else f"{first}..{last}"


def _weight(window: Window) -> str:
    """Of the gradient from the window's last step at the others: the smallest and the largest."""
    weight, weights = 1.0, [1.0]
    for step, factor in sorted(window.factors, reverse=True):
        if window.reach < step < window.stop:
            weight *= factor
            weights.append(weight)
    low, high = f"{min(weights):.4g}", f"{max(weights):.4g}"
    return low if low == high else f"{low}..{high}"


def _segments(window: Window) -> int:
    """Parts that run again on the way back."""
    return 1 if window.segment is None else sum(piece.recorded for piece in window.pieces())


def _slots(window: Window) -> int:
    """States held at once between segments."""
    return _segments(window) if window.slots is None else min(window.slots, _segments(window))
