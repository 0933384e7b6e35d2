"""Going backward through many segments with few stored states: the binomial schedule of Griewank & Walther.

Algorithm 799: revolve, ACM TOMS 26 (2000). With c states held at once and every segment run at most r times before its own turn,
C(c + r, c) segments can be reversed; the fewest advances over l segments are r·l − C(c + r, c + 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import NamedTuple


class Advance(NamedTuple):
    """Run segments ``start`` to ``stop - 1`` forward without gradient, from the state at hand."""

    start: int
    stop: int


class Store(NamedTuple):
    """Keep the state at hand, which enters this segment."""

    segment: int


class Restore(NamedTuple):
    """Take the stored state that enters this segment as the state at hand."""

    segment: int


class Discard(NamedTuple):
    """Forget the stored state that enters this segment."""

    segment: int


class Backward(NamedTuple):
    """Run this segment from the state at hand and take the gradient back through it."""

    segment: int


Action = Advance | Store | Restore | Discard | Backward


def reversal(segments: int, slots: int | None = None) -> Iterator[Action]:
    """What is done in which order. The state at hand at the beginning enters segment 0.

    >>> from tbptt.schedules import revolve
    >>> [(type(action).__name__, *action) for action in revolve.reversal(2, slots=1)]
    [('Store', 0), ('Advance', 0, 1), ('Backward', 1), ('Restore', 0), ('Backward', 0), ('Discard', 0)]

    Args:
        segments: how many, at least 1.
        slots: states held at once, that of the start included; None for one of each segment.
    """
    yield Store(0)
    yield from _reverse(segments, segments if slots is None else min(slots, segments))
    yield Discard(0)


class _Part(NamedTuple):
    """Segments still to be reversed; the state that enters the first will be at hand, and stored in one of the slots."""

    start: int
    stop: int
    slots: int


def _reverse(segments: int, slots: int) -> Iterator[Action]:
    todo: list[_Part | Action] = [_Part(0, segments, slots)]  # not recursion: there may be thousands of segments
    while todo:
        task = todo.pop()
        if not isinstance(task, _Part):
            yield task
        elif task.stop - task.start == 1:
            yield Backward(task.start)
        elif task.slots == 1:
            last = task.stop - 1
            yield Advance(task.start, last)
            yield Backward(last)
            todo += [task._replace(stop=last), Restore(task.start)]
        else:
            split = task.start + best_split(task.stop - task.start, task.slots)
            yield Advance(task.start, split)
            yield Store(split)
            todo += [task._replace(stop=split), Restore(task.start), Discard(split)]
            todo.append(_Part(split, task.stop, task.slots - 1))


def advances(segments: int, slots: int) -> int:
    """The fewest runs of single segments besides the one that each of them has in its own turn.

    >>> from tbptt.schedules import revolve
    >>> revolve.advances(10, slots=3)
    15
    """
    times = 0
    while comb(slots + times, slots) < segments:
        times += 1
    return times * segments - comb(slots + times, slots + 1)


def best_split(segments: int, slots: int) -> int:
    """Where to store the next state: after so many segments."""
    times = 1
    while comb(slots + times, slots) < segments:
        times += 1
    # Either part must be reversible: the first with all slots in one run less, the second with one slot less in as many runs.
    return max(1, segments - comb(slots - 1 + times, slots - 1), comb(slots + times - 2, slots))
