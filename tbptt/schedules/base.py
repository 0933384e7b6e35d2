"""The contract between a truncation schedule and everything that cuts: integers only, no tensors.

A schedule answers one question: how is a sequence of T steps cut into windows? The answer, a plan, is an iterable of
`Window` records that tile time exactly once, in order. A third party's schedule is any object with the three methods
of `Schedule`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tbptt.errors import DataError, ScheduleError


@dataclass(frozen=True, slots=True)
class Window:
    """Time steps ``start`` to ``stop - 1`` of a sequence; every step of the window enters loss and gradient."""

    start: int
    stop: int

    @property
    def steps(self) -> int:
        """How many time steps the window holds."""
        return self.stop - self.start


@runtime_checkable
class Schedule(Protocol):
    """How sequences are cut. A plan may draw random numbers; the generator and position are in `state_dict`."""

    def plan(self, length: int) -> Iterable[Window]:
        """The windows of a sequence of `length` steps: the first starts at 0, each next one where the last stopped.

        Raises:
            DataError: if there is no step to cut.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to cut the same windows: plain numbers, strings, lists and dicts."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ScheduleError: if it belongs to another kind of schedule; nothing has changed then.
        """
        ...


def checked_plan(schedule: Schedule, length: int) -> Iterator[Window]:
    """The schedule's plan, made sure to tile 0 to `length` exactly once while it is walked through.

    Raises:
        ScheduleError: at the first window that leaves a gap, overlaps, is empty, or passes the end.
    """
    position = 0
    for window in schedule.plan(length):
        if window.start != position or not window.start < window.stop <= length:
            raise ScheduleError(
                f"The schedule {schedule!r} does not tile a sequence of {length} steps: after step {position} it wants "
                f"the window {window.start} to {window.stop}. Expected a start of {position} and a stop after it, at "
                f"most {length}."
            )
        position = window.stop
        yield window
    if position != length:
        raise ScheduleError(
            f"The schedule {schedule!r} ends at step {position} of a sequence of {length} steps. "
            f"Its windows must cover every step once."
        )


def check_length(length: int) -> None:
    """Nothing if there is a sequence to cut.

    Raises:
        DataError: if the length is below 1.
    """
    if length < 1:
        raise DataError(
            f"A sequence of {length} time steps cannot be cut into windows; at least one step is needed. "
            f"Check the data's time axis."
        )


def explain(schedule: Schedule, length: int, most: int = 20) -> str:
    """The plan as text: one line a window, the middle left out where there are more than `most`."""
    windows = list(checked_plan(schedule, length))
    rows = [f"{index:>6}  {w.start:>9}  {w.stop:>9}  {w.steps:>6}" for index, w in enumerate(windows)]
    if len(rows) > most:
        left_out = len(rows) - most
        rows[most // 2 : len(rows) - most // 2] = [f"   ...  ({left_out} more)"]
    head = f"{schedule!r}: {length} steps in {len(windows)} window{'s' if len(windows) != 1 else ''}"
    return "\n".join([head, f"{'window':>6}  {'start':>9}  {'stop':>9}  {'steps':>6}", *rows])
