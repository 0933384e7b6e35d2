"""Fixed windows, the contract of a schedule, and every wrong argument."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as draw

from tbptt.errors import DataError, ScheduleError
from tbptt.schedules import Fixed, Schedule, Window, as_schedule, checked_plan


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((2, 4), "later release"), ((4, 2), "later release"), ((4, 4, "last"), "later release"), ((4, 4, "all"), "'new'")],
)
def test_overlapping_windows_are_said_to_come_later(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Fixed(*arguments)


@pytest.mark.parametrize("length", [0, -3])
def test_a_sequence_without_steps_is_a_data_error_before_any_window(length: int) -> None:
    with pytest.raises(DataError, match="at least one step"):
        Fixed(5).plan(length)


def test_a_schedule_comes_back_from_its_state() -> None:
    other = Fixed(3)
    other.load_state_dict(Fixed(8).state_dict())
    assert other == Fixed(8)
    with pytest.raises(ScheduleError, match="not the state of a Fixed"):
        other.load_state_dict({"kind": "RandomLength", "mean": 70})
    assert other == Fixed(8)


def test_explain_is_a_table_a_person_can_read() -> None:
    lines = Fixed(4).explain(10).splitlines()
    assert lines[0] == "Fixed(4): 10 steps in 3 windows"
    assert lines[-1].split() == ["2", "8", "10", "2"]
    assert len(Fixed(1).explain(1000).splitlines()) < 30


class Mine:
    """A third party's schedule: no base class."""

    def __init__(self, *windows: tuple[int, int]) -> None:
        self.windows = windows

    def plan(self, length: int) -> Iterable[Window]:
        return [Window(*window) for window in self.windows]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def test_a_schedule_of_a_third_party_needs_no_base_class() -> None:
    mine = Mine((0, 3), (3, 4))
    assert isinstance(mine, Schedule)
    assert as_schedule(mine) is mine
    assert list(checked_plan(mine, 4)) == [Window(0, 3), Window(3, 4)]
    with pytest.raises(ScheduleError, match="a number of time steps, as in 20, or an object with plan"):
        as_schedule(Fixed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "windows",
    [[(1, 4)], [(0, 2), (3, 4)], [(0, 3), (2, 4)], [(0, 5)], [(0, 0), (0, 4)], [(0, 3)], []],
    ids=["late start", "gap", "overlap", "past the end", "empty window", "ends early", "nothing"],
)
def test_a_plan_that_does_not_tile_time_once_is_a_schedule_error(windows: list[tuple[int, int]]) -> None:
    with pytest.raises(ScheduleError, match=r"does not tile|ends at step"):
        list(checked_plan(Mine(*windows), 4))
