"""Checkpointing with few slots: the fewest advances there can be, in an order that works, and what it costs."""

from __future__ import annotations

from functools import cache
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from tbptt.schedules import Checkpointed, cost
from tbptt.schedules.revolve import Advance, Backward, Discard, Restore, Store, advances, reversal


@cache
def fewest(segments: int, slots: int) -> int:
    """By trying every place for the next state."""
    if segments == 1:
        return 0
    if slots == 1:
        return segments * (segments - 1) // 2
    return min(k + fewest(segments - k, slots - 1) + fewest(k, slots) for k in range(1, segments))


def carried_out(segments: int, slots: int | None) -> tuple[int, list[int], int]:
    """Advanced segments, the order of the backward ones, and the most states held; the actions are obeyed literally."""
    at_hand: int | None = 0
    stored: set[int] = set()
    advanced, order, most = 0, list[int](), 0
    for action in reversal(segments, slots):
        if isinstance(action, Advance):
            assert at_hand == action.start < action.stop
            advanced, at_hand = advanced + action.stop - action.start, action.stop
        elif isinstance(action, Store):
            assert at_hand == action.segment not in stored
            stored.add(action.segment)
        elif isinstance(action, Restore):
            assert action.segment in stored
            at_hand = action.segment
        elif isinstance(action, Discard):
            stored.remove(action.segment)
        else:
            assert isinstance(action, Backward)
            assert at_hand == action.segment
            order.append(action.segment)
            at_hand = None  # it was taken by the run with gradient
        most = max(most, len(stored))
    assert not stored
    return advanced, order, most


@pytest.mark.parametrize("slots", range(1, 8))
def test_reversals_are_the_cheapest_there_are_and_never_hold_too_many_states(slots: int) -> None:
    for segments in range(1, 60):
        advanced, order, most = carried_out(segments, slots)
        assert advanced == fewest(segments, slots) == advances(segments, slots)
        assert order == list(range(segments))[::-1]
        assert most <= slots


@given(segments=draw.integers(1, 300))
def test_with_a_slot_for_every_segment_each_but_the_last_is_advanced_once(segments: int) -> None:
    advanced, order, most = carried_out(segments, None)
    assert (advanced, order, most) == (segments - 1, list(range(segments))[::-1], segments)


def test_thousands_of_segments_need_no_deep_recursion() -> None:
    assert carried_out(3000, 3)[0] == advances(3000, 3)


@given(window=draw.integers(1, 20), segments=draw.integers(1, 60), slots=draw.integers(1, 7))
def test_the_cost_is_the_closed_form_of_griewank_and_walther(window: int, segments: int, slots: int) -> None:
    times = next(r for r in range(segments + 1) if comb(slots + r, slots) >= segments)
    extra = times * segments - comb(slots + times, slots + 1)
    assert cost(Checkpointed(window, slots), window * segments) == window * (segments + extra)


@given(window=draw.integers(1, 40), length=draw.integers(1, 400))
def test_the_cost_with_a_last_segment_that_is_shorter(window: int, length: int) -> None:
    stops = [*range(window, length, window), length]
    last = stops[-1] - (stops[-2] if len(stops) > 1 else 0)
    assert cost(Checkpointed(window), length) == 2 * length - last
    assert cost(Checkpointed(window, slots=1), length) == sum(stops)  # to each segment from the start
