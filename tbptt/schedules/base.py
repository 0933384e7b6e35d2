"""The contract between a truncation schedule and everything that cuts: integers only, no tensors.

A schedule answers one question: what is done with a sequence of T steps? The answer, a plan, is an iterable of `Window` records
that tile time exactly once, in order. A third party's schedule is any object with the three methods of `Schedule`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from tbptt.errors import DataError, ScheduleError
from tbptt.schedules.window import Window


@runtime_checkable
class Schedule(Protocol):
    """How sequences are cut. A plan may draw random numbers; the generator and position are in `state_dict`.

    What a schedule may have besides, and need not:

    - ``position``: where the next plan begins, after `load_state_dict` in the middle of a sequence; 0 without it.
    - ``drop_last``: True if its plans may leave out the end of a sequence.
    - ``evaluation_steps``: time steps of the windows that validation runs in, where nothing depends on the cut but speed.
    - ``shifts(rows)``: how many steps each row is ahead of the first, so that rows are cut at different places.
    - ``probes(length)`` and ``learn(measurements)``: asked before every window which sub-sequences to measure on, and told what was
      found (`tbptt.schedules.Adaptive`).
    """

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
        ScheduleError: at the first window that leaves a gap, overlaps, is empty, passes the end, or wants a state nobody kept.
    """
    position = begin = getattr(schedule, "position", 0)
    kept = {0, *range(begin)}  # whoever resumes brings the states from before
    for window in schedule.plan(length):
        if window.start != position or not window.start < window.stop <= length:
            raise ScheduleError(
                f"The schedule {schedule!r} does not tile a sequence of {length} steps: after step {position} it wants "
                f"the window {window.start} to {window.stop}. Expected a start of {position} and a stop after it, at "
                f"most {length}."
            )
        _check_reach(schedule, window, kept)
        kept = {step for step in kept if step >= window.run_from} | set(window.keep)
        position = window.stop
        yield window
    if position != length and not getattr(schedule, "drop_last", False):
        raise ScheduleError(
            f"The schedule {schedule!r} ends at step {position} of a sequence of {length} steps. "
            f"Its windows must cover every step once."
        )


def preview(schedule: Schedule, length: int) -> list[Window]:
    """The plan that comes next, as a copy of the schedule draws it: the schedule itself has not moved.

    >>> from tbptt import schedules
    >>> from tbptt.schedules.base import preview
    >>> schedule = schedules.ARTBP(4, seed=0)
    >>> preview(schedule, 50) == preview(schedule, 50) == list(schedule.plan(50))
    True

    Raises:
        ScheduleError: as `checked_plan`.
    """
    return list(checked_plan(copy.deepcopy(schedule), length))


def _check_reach(schedule: Schedule, window: Window, kept: set[int]) -> None:
    if not window.run_from <= window.start or not window.run_from <= window.reach <= window.losses <= window.stop:
        raise ScheduleError(
            f"The schedule {schedule!r} plans {window}; expected run_from <= start and run_from <= reach <= losses <= stop. A loss "
            f"cannot count where no gradient flows."
        )
    if window.run_from not in (window.start, *kept):
        raise ScheduleError(
            f"The schedule {schedule!r} plans {window}, which runs from step {window.run_from}, but no earlier window kept the "
            f"state there. Give that step in keep= of the window that holds it."
        )
    outside = [step for step in window.keep if not window.start <= step < window.stop]
    if outside:
        raise ScheduleError(
            f"The schedule {schedule!r} plans {window}, which is to keep the state before step {outside[0]}; expected steps of its "
            f"own, {window.start} to {window.stop - 1}."
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
