"""Windows of one length, which may overlap: the scheme of most training loops, and what it is a special case of."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from tbptt.errors import ScheduleError
from tbptt.schedules.base import Schedule
from tbptt.schedules.scheme import Offset, Scheme, check_burn_in, whole
from tbptt.schedules.window import Window

Losses: TypeAlias = Literal["new", "window", "last"]


class Fixed(Scheme):
    """An update every k1 steps, from a gradient that reaches k2 steps back. ``Fixed(k)`` is ``Fixed(k, k)``.

    Williams & Peng 1990, BPTT(h; h') with h = k2 and h' = k1: at t = n·k1 the newest k1 losses enter an update, each with a
    gradient through k2 − k1 + 1 to k2 steps. The overlap runs again from the state that was kept at step n·k1 − k2, with today's
    parameters: k2/k1 times the forward cost. With k2 of the sequence's length or more every gradient reaches back to its first
    step, and the updates' gradients add up to the full one. With k1 > k2 the first k1 − k2 steps run without gradient, and their
    losses give none.

    >>> from tbptt import schedules
    >>> [(window.start, window.stop) for window in schedules.Fixed(4).plan(10)]
    [(0, 4), (4, 8), (8, 10)]
    >>> [(window.run_from, window.start, window.stop) for window in schedules.Fixed(3, 7).plan(12)]
    [(0, 0, 3), (0, 3, 6), (2, 6, 9), (5, 9, 12)]

    Args:
        k1: time steps (not chunks) between two updates.
        k2: time steps the gradient reaches back; equal to k1, the default.
        losses: ``"new"``: each loss counts in one update; ``"window"``: all losses of the k2 steps, each about k2/k1 times;
            ``"last"``: only the loss of the last step.
        burn_in, offset, drop_last, seed: as `Scheme`.

    Raises:
        ScheduleError: if a number of steps is not a whole number above zero.
    """

    def __init__(
        self,
        k1: int,
        k2: int | None = None,
        losses: Losses = "new",
        *,
        burn_in: int = 0,
        offset: Offset = 0,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.k1 = whole("k1", k1, 1)
        self.k2 = self.k1 if k2 is None else whole("k2", k2, 1)
        if losses not in ("new", "window", "last"):
            raise ScheduleError(f"losses is one of 'new', 'window', 'last'; received {losses!r}.")
        self.losses: Losses = losses
        super().__init__(burn_in=burn_in, offset=offset, drop_last=drop_last, seed=seed)
        check_burn_in(self.burn_in, max(self.k1, self.k2))

    @property
    def period(self) -> int:
        """Steps between two updates."""
        return self.k1

    @property
    def evaluation_steps(self) -> int:
        """Steps of a run: the larger of k1 and k2."""
        return max(self.k1, self.k2)

    def windows(self, progress: dict[str, Any], length: int) -> Iterator[Window]:
        """``[0, k1), [k1, 2·k1), ...``, with reach and losses; the last one stops at `length`."""
        return overlapping(progress["position"], length, progress["first"], self.k1, self.k2, self.losses)

    def parameters(self) -> dict[str, Any]:
        """k1, k2, losses."""
        return {"k1": self.k1, "k2": self.k2, "losses": self.losses}

    def _defaults(self) -> dict[str, Any]:
        return {**super()._defaults(), "k2": self.k1}


def overlapping(
    position: int, length: int, first: int, k1: int, k2: int, losses: Losses = "new", earliest: int = 0
) -> Iterator[Window]:
    """Windows from a position on, on the grid of ``first + n·k1``. No run begins before the step `earliest`.

    A gradient that may reach back over the whole sequence does, from the last window too, which may end off the grid.
    """
    start = position
    if k2 >= length - earliest:
        k2 = length + k1
    while start < length:
        end = start + k1 - (start - first) % k1  # where the window would stop if the sequence went on
        stop, reach = min(end, length), max(end - k2, earliest)
        run_from, reach = min(start, reach), min(max(reach, min(start, reach)), stop)
        keep = _begun_from(start, stop, end, length, k1, k2 - k1, earliest) if k2 > k1 else ()
        counted = {"new": max(start, reach), "window": reach, "last": max(reach, stop - 1)}[losses]
        yield Window(start, stop, run_from=run_from, reach=reach, losses=counted, keep=keep)
        start = stop


def _begun_from(start: int, stop: int, end: int, length: int, k1: int, overlap: int, earliest: int) -> tuple[int, ...]:
    """The steps from `start` to ``stop - 1`` that later windows, which start at ``end + n·k1``, run from."""
    first = end + max(0, -(-(start + overlap - end) // k1)) * k1
    steps = {begun - overlap for begun in range(first, min(length, stop + overlap), k1)}
    if end < length and end - overlap < earliest:
        steps.add(earliest)
    return tuple(sorted(step for step in steps if max(start, earliest) <= step < stop))


def as_schedule(schedule: int | Schedule) -> Schedule:
    """A schedule as it is; a number k as `Fixed(k)`.

    >>> from tbptt import schedules
    >>> schedules.as_schedule(20)
    Fixed(20)

    Raises:
        ScheduleError: if it is neither a whole number of steps above zero nor a schedule.
    """
    if isinstance(schedule, Schedule) and not isinstance(schedule, type):
        return schedule
    if isinstance(schedule, numbers.Number):
        return Fixed(schedule)  # type: ignore[arg-type]  # Fixed says what is wrong with other numbers
    raise ScheduleError(
        f"A schedule is a number of time steps, as in 20, or an object with plan, state_dict and load_state_dict, as "
        f"in tbptt.schedules.Fixed(20); received {schedule!r} ({type(schedule).__name__})."
    )
