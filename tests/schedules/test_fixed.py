"""Windows of one length, which do not overlap: what a number of steps means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as draw

from tbptt.errors import DataError, ScheduleError
from tbptt.schedules import Fixed, Window, as_schedule


@given(length=draw.integers(1, 400), steps=draw.integers(1, 500))
def test_windows_tile_time_exactly_once_and_all_but_the_last_are_full(length: int, steps: int) -> None:
    plan = list(Fixed(steps).plan(length))
    covered = [t for window in plan for t in range(window.start, window.stop)]
    assert covered == list(range(length))
    assert all(window.steps == steps for window in plan[:-1])
    assert plan[-1].steps == length - steps * (-(-length // steps) - 1)


def test_a_window_as_long_as_the_sequence_is_one_window() -> None:
    assert list(Fixed(7).plan(7)) == [Window(0, 7)]


def test_windows_are_records_that_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Window(0, 3).start = 1  # type: ignore[misc]


@pytest.mark.parametrize("steps", [0, -1, 2.0, True, "20", None, [20]], ids=repr)
def test_a_window_that_is_no_whole_number_of_steps_is_a_schedule_error(steps: Any) -> None:
    with pytest.raises(ScheduleError, match=r"at least 1; received|is a number of time steps, as in 20"):
        as_schedule(steps)
    with pytest.raises(ScheduleError, match=r"k1 is a number of time steps.*received"):
        Fixed(steps)


def test_numpy_integers_are_whole_numbers() -> None:
    assert as_schedule(np.int32(20)) == Fixed(20)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, -3])
def test_a_sequence_without_steps_is_a_data_error_before_any_window(length: int) -> None:
    with pytest.raises(DataError, match="at least one step"):
        Fixed(5).plan(length)
