"""Windows of one length: the scheme of most training loops."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping
from typing import Any

from tbptt.errors import ScheduleError
from tbptt.schedules.base import Schedule, Window, check_length, explain

LOSSES = ("new", "window", "last")


class Fixed:
    """Every window has k1 time steps; the last one of a sequence may be shorter.

    Williams & Peng 1990, BPTT(h; h') with h = h' = k1: each window's losses are counted once, and their gradient
    reaches back to the window's first step.

    >>> from tbptt import schedules
    >>> print(schedules.Fixed(4).explain(10))
    Fixed(4): 10 steps in 3 windows
    window      start       stop   steps
         0          0          4       4
         1          4          8       4
         2          8         10       2

    Args:
        k1: time steps (not chunks) between two updates.
        k2: time steps the gradient reaches back; equal to k1, the default.
        losses: which losses of the reach count. With k2 = k1 every loss is a new one.

    Raises:
        ScheduleError: if a number of steps is not a whole number above zero, or k2 differs from k1.
    """

    def __init__(self, k1: int, k2: int | None = None, losses: str = "new") -> None:
        self.k1 = _whole_steps("k1", k1)
        self.k2 = self.k1 if k2 is None else _whole_steps("k2", k2)
        if losses not in LOSSES:
            raise ScheduleError(f"losses= is one of {', '.join(map(repr, LOSSES))}; received {losses!r}.")
        self.losses = losses
        if self.k2 != self.k1 or losses != "new":
            raise ScheduleError(
                f"Overlapping windows come with a later release: {self!r} asks for gradients that reach back "
                f"{self.k2} steps every {self.k1} with losses={losses!r}. Use Fixed({self.k1}) for now."
            )

    def plan(self, length: int) -> Iterator[Window]:
        """Windows ``[0, k1), [k1, 2·k1), ...``; the last one stops at `length`."""
        check_length(length)
        return (Window(start, min(start + self.k1, length)) for start in range(0, length, self.k1))

    def explain(self, length: int) -> str:
        """The plan for `length` steps as text a person can read."""
        return explain(self, length)

    def state_dict(self) -> dict[str, Any]:
        """The schedule's own numbers: nothing is drawn, so there is no position to keep."""
        return {"kind": "Fixed", "k1": self.k1, "k2": self.k2, "losses": self.losses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the schedule that was saved.

        Raises:
            ScheduleError: if the state is not a Fixed schedule's; nothing has changed then.
        """
        if state.get("kind") != "Fixed" or "k1" not in state:
            raise ScheduleError(
                f"This is not the state of a Fixed schedule: {dict(state)!r}. "
                f"Load it into a schedule of the kind that saved it."
            )
        saved = Fixed(state["k1"], state.get("k2"), state.get("losses", "new"))
        self.k1, self.k2, self.losses = saved.k1, saved.k2, saved.losses

    def __repr__(self) -> str:
        return f"Fixed({self.k1})" if self.k2 == self.k1 else f"Fixed({self.k1}, {self.k2})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and self.state_dict() == other.state_dict()

    def __hash__(self) -> int:
        return hash((self.k1, self.k2, self.losses))


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


def _whole_steps(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ScheduleError(
            f"{name} is a number of time steps: a whole number of at least 1; received {value!r} "
            f"({type(value).__name__}). A window of 20 steps is Fixed(20)."
        )
    return int(value)
