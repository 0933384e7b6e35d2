"""The exact gradient of a whole sequence in bounded memory: not truncated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tbptt.schedules.scheme import Offset, Scheme, whole
from tbptt.schedules.window import Window


class Checkpointed(Scheme):
    """One update per sequence, with the gradient of all of it: forward with the state stored at window boundaries, then backward
    window by window, each computed again from its stored state, passing the state's gradient to the one before.

    Live memory is one window and the stored states; the forward cost is twice that of a plain pass (less the last window). With
    fewer `slots` states are stored by the binomial schedule of Griewank & Walther (revolve, ACM TOMS 26, 2000), and windows run
    more often.

    >>> from tbptt import schedules
    >>> [schedules.cost(schedules.Checkpointed(10, slots), 100) for slots in (None, 3, 1)]
    [190, 250, 550]

    Args:
        window: time steps computed at a time.
        slots: states held at once, that of the start included, from 1; None: one for every window.
        burn_in, offset, drop_last, seed: as `Scheme`. The gradient does not depend on where the windows begin.

    Raises:
        ScheduleError: if `window` or `slots` is not a whole number above zero.
    """

    def __init__(
        self,
        window: int,
        slots: int | None = None,
        *,
        burn_in: int = 0,
        offset: Offset = 0,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.window = whole("window", window, 1)
        self.slots = None if slots is None else whole("slots", slots, 1)
        super().__init__(burn_in=burn_in, offset=offset, drop_last=drop_last, seed=seed)

    @property
    def period(self) -> int:
        """Steps computed at a time."""
        return self.window

    def windows(self, progress: dict[str, Any], length: int) -> Iterator[Window]:
        """The whole sequence."""
        yield Window(0, length, segment=self.window, slots=self.slots)

    def parameters(self) -> dict[str, Any]:
        """Window and slots."""
        return {"window": self.window, "slots": self.slots}
