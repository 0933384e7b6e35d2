"""What a plan costs: how many time steps run forward."""

from __future__ import annotations

from tbptt.schedules.base import Schedule, preview
from tbptt.schedules.revolve import Advance, Backward, reversal
from tbptt.schedules.window import Window


def cost_of(window: Window) -> int:
    """Time steps that run forward for one window, however often.

    >>> from tbptt.schedules import Window
    >>> from tbptt.schedules.costs import cost_of
    >>> cost_of(Window(6, 9, run_from=2)), cost_of(Window(0, 10, segment=4))
    (7, 18)
    """
    if window.segment is None or not window.trains:
        return window.stop - window.run_from
    pieces = window.pieces()
    segments = [piece.steps for piece in pieces if piece.recorded]
    total = sum(piece.steps for piece in pieces if not piece.recorded)
    for action in reversal(len(segments), window.slots):
        if isinstance(action, Advance):
            total += sum(segments[action.start : action.stop])
        elif isinstance(action, Backward):
            total += segments[action.segment]
    return total


def cost(schedule: Schedule, length: int) -> int:
    """Time steps that run forward for a sequence of `length` steps, as the schedule would cut it next.

    >>> from tbptt import schedules
    >>> schedules.cost(schedules.Fixed(10), 100), schedules.cost(schedules.Fixed(10, 20), 100)
    (100, 190)
    """
    return sum(map(cost_of, preview(schedule, length)))
