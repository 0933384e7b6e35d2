"""Through how much of the past a schedule's gradients go: the expected weight of every lag."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from tbptt.errors import ScheduleError
from tbptt.schedules.base import Schedule, checked_plan
from tbptt.schedules.scheme import whole
from tbptt.schedules.window import Window


def lag_weights(schedule: Schedule, length: int, lags: int, plans: int = 1) -> np.ndarray[Any, Any]:
    """Expected weight of each lag: how much of the full gradient a schedule keeps, by distance into the past.

    The weight of lag m is the mean, over steps t and plans, of the factor with which the loss at t has its gradient taken through
    the step t − m: 0 where it does not reach so far or does not count, else the product of the factors on the way, added up where
    the loss enters several updates. Lag 0 is the step that made the loss (depth 1). All ones: the full gradient on average.

    The mean is over the steps of the middle half of the sequence that have m steps before them, so that the ends count little. The
    plans are those that come next, drawn by a copy: the schedule itself has not moved.

    >>> from tbptt import schedules
    >>> schedules.lag_weights(schedules.Fixed(2, 4), 40, 5).tolist()
    [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    >>> schedules.lag_weights(schedules.Checkpointed(10), 40, 3).tolist()
    [1.0, 1.0, 1.0, 1.0]

    Args:
        schedule: also a third party's.
        length: time steps of the sequence.
        lags: the longest lag, below three quarters of `length`.
        plans: how many to take the mean over, for schedules that draw.

    Returns:
        An array of lags + 1 numbers.

    Raises:
        ScheduleError: if no step of the middle has so many before it, or a plan does not hold together.
    """
    first, last = length // 4, length - length // 4
    lags, plans = whole("lags", lags, 0), whole("plans", plans, 1)
    if lags >= last:
        raise ScheduleError(
            f"A lag of {lags} steps needs a longer sequence: the mean is over steps {first} to {last - 1} of {length}. Give fewer "
            f"lags, or a length above {lags * 4 // 3}."
        )
    drawing = copy.deepcopy(schedule)
    for _ in drawing.plan(begin + 1) if (begin := getattr(drawing, "position", 0)) else ():
        pass  # what is left of a sequence in the middle of which it was saved is no whole plan
    sums = sum(_sums(checked_plan(drawing, length), first, last, lags) for _ in range(plans))
    return sums / (plans * (last - np.maximum(first, np.arange(lags + 1))))


def _sums(windows: Iterable[Window], first: int, last: int, lags: int) -> np.ndarray[Any, Any]:
    """For each lag the sum of weights over the losses of steps `first` to ``last - 1``."""
    places, reaches = [np.zeros(0, int)], [np.zeros(0, int)]
    factors, offset = [np.zeros(0)], 0
    for window in windows:
        steps = np.arange(max(window.losses, first), min(window.stop, last))
        if steps.size:
            own = np.ones(window.stop - window.reach)
            for step, factor in window.factors:
                if window.reach <= step < window.stop:
                    own[step - window.reach] = factor
            places.append(steps - window.reach + offset)
            reaches.append(np.full(steps.size, offset))
            factors.append(own)
            offset += own.size
    # One row of all runs, one behind the other; `place` walks back from each loss, a step at a time, all losses at once.
    place, reach, all_factors = np.concatenate(places), np.concatenate(reaches), np.concatenate(factors)
    weights, sums = np.ones(place.size), np.zeros(lags + 1)
    for lag in range(lags + 1):
        sums[lag] = weights.sum()
        inside = place > reach
        place, reach, weights = place[inside], reach[inside], weights[inside]
        if not place.size:
            break
        weights, place = weights * all_factors[place], place - 1
    return sums
