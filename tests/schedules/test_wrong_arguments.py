"""Every wrong argument and every wrong state, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tbptt.errors import ScheduleError
from tbptt.schedules import ARTBP, Checkpointed, Fixed, RandomLength
from tbptt.schedules.scheme import Scheme

WRONG: list[tuple[Callable[[], Scheme], str]] = [
    (lambda: Fixed(0), r"k1 is a number of time steps.* at least 1; received 0 \(int\)"),
    (lambda: Fixed(4, 0), r"k2 is a number of time steps.* at least 1; received 0"),
    (lambda: Fixed(4, -2), r"k2 .*received -2"),
    (lambda: Fixed(4, 8.0), r"k2 .*received 8.0 \(float\)"),  # type: ignore[arg-type]
    (lambda: Fixed(4.0), r"k1 .*received 4.0 \(float\).*Fixed\(20\)"),  # type: ignore[arg-type]
    (lambda: Fixed(True), r"k1 .*received True \(bool\)"),
    (lambda: Fixed(4, True), r"k2 .*received True"),
    (lambda: Fixed("4"), r"k1 .*received '4' \(str\)"),  # type: ignore[arg-type]
    (lambda: Fixed(4, 4, "all"), r"losses is one of 'new', 'window', 'last'; received 'all'"),  # type: ignore[arg-type]
    (lambda: Fixed(4, offset=-1), r"offset .*'random', 'staggered', or a whole number of at least 0; received -1"),
    (lambda: Fixed(4, offset="x"), r"offset .*received 'x' \(str\)"),  # type: ignore[arg-type]
    (lambda: Fixed(4, offset=True), r"offset .*received True \(bool\)"),
    (lambda: Fixed(4, 9, offset=5), r"offset .*at most as many as the others, 4; received 5"),
    (lambda: RandomLength(7, offset=8), r"offset .*at most as many as the others, 7; received 8"),
    (lambda: ARTBP(16, offset=2), r"offset .*at most as many as the others, 1; received 2"),
    (lambda: Checkpointed(4, offset=5), r"offset .*4; received 5"),
    (lambda: Fixed(4, burn_in=-1), r"burn_in .*at least 0; received -1"),
    (lambda: Fixed(4, burn_in=1.0), r"burn_in .*received 1.0"),  # type: ignore[arg-type]
    (lambda: Fixed(4, burn_in=4), r"burn_in=4 leaves nothing of runs of 4 steps.*Give fewer steps, or longer windows"),
    (lambda: Fixed(4, 9, burn_in=9), r"burn_in=9 leaves nothing of runs of 9 steps"),
    (lambda: RandomLength(7, burn_in=7), r"burn_in=7 leaves nothing of runs of 7 steps"),
    (lambda: ARTBP(3, block=2, burn_in=6), r"burn_in=6 leaves nothing of runs of 6 steps"),
    (lambda: RandomLength(0), r"mean is a number of time steps.*received 0"),
    (lambda: RandomLength(70.5), r"mean .*received 70.5"),  # type: ignore[arg-type]
    (lambda: RandomLength(p=1.5), r"p is a probability, a number from 0 to 1; received 1.5"),
    (lambda: RandomLength(p=-0.1), r"p is a probability.*received -0.1"),
    (lambda: RandomLength(p=True), r"p is a probability.*received True"),
    (lambda: RandomLength(p=float("nan")), r"p is a probability.*received nan"),
    (lambda: RandomLength(std=-1), r"std is a standard deviation in time steps, a number from 0; received -1"),
    (lambda: RandomLength(std="5"), r"std .*received '5' \(str\)"),  # type: ignore[arg-type]
    (lambda: RandomLength(std=float("inf")), r"std .*received inf"),
    (lambda: RandomLength(min=0), r"min is a number of time steps.*received 0"),
    (lambda: RandomLength(max=0), r"max is a number of time steps.*received 0"),
    (lambda: RandomLength(min=9, max=8), r"min is at most max; received min=9 and max=8"),
    (lambda: ARTBP(), r"takes the mean length of its windows, as in ARTBP\(16\), or .*mean_length=None and c=None"),
    (lambda: ARTBP(16, c=0.1), r"takes the mean length.*received mean_length=16 and c=0.1"),
    (lambda: ARTBP(1), r"mean_length is the mean length of windows in blocks, a number above 1; received 1"),
    (lambda: ARTBP("16"), r"mean_length .*received '16' \(str\)"),  # type: ignore[arg-type]
    (lambda: ARTBP(float("inf")), r"mean_length .*received inf"),
    (lambda: ARTBP(c=1), r"c is a probability above 0 and below 1; received 1"),
    (lambda: ARTBP(c=0), r"c is a probability.*received 0"),
    (lambda: ARTBP(c=-0.5), r"c is a probability.*received -0.5"),
    (lambda: ARTBP(16, alpha=1), r"alpha is a number above 2, or None; received 1"),
    (lambda: ARTBP(16, alpha=2), r"alpha is a number above 2, or None; received 2"),
    (lambda: ARTBP(16, alpha=float("inf")), r"alpha .*received inf"),
    (lambda: ARTBP(16, block=0), r"block is a number of time steps.*received 0"),
    (lambda: Checkpointed(0), r"window is a number of time steps.*received 0"),
    (lambda: Checkpointed(4.0), r"window .*received 4.0"),  # type: ignore[arg-type]
    (lambda: Checkpointed(4, 0), r"slots is .*at least 1; received 0"),
    (lambda: Checkpointed(4, True), r"slots .*received True"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_cannot_be_is_a_schedule_error_that_says_what_is_wrong(make: Callable[[], Scheme], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        make()


def test_numbers_of_numpy_are_numbers() -> None:
    schedule = Fixed(np.int64(4), np.int32(8), offset=np.int64(2))  # type: ignore[arg-type]
    assert schedule == Fixed(4, 8, offset=2)
    json.dumps(schedule.state_dict())
    assert RandomLength(70, np.float64(0.95)) == RandomLength(70)
    half: Any = np.float32(0.5)
    assert repr(ARTBP(half + 8)) == "ARTBP(8.5)"
    json.dumps(ARTBP(c=half).state_dict())


@pytest.mark.parametrize("schedule", [Fixed(8, 20), RandomLength(9), ARTBP(7), Checkpointed(5)], ids=repr)
@pytest.mark.parametrize(
    "state", [{}, {"kind": "Fixed"}, {"kind": "ARTBP", "alpha": 6}, {"kind": "Other", "k1": 3}, {"k1": 3}], ids=repr
)
def test_a_state_of_another_kind_is_a_schedule_error_and_changes_nothing(
    schedule: Scheme, state: dict[str, Any]
) -> None:
    before = schedule.state_dict()
    with pytest.raises(
        ScheduleError, match=r"This is not the state of an? \w+ schedule: .*Load it into a schedule of the"
    ):
        schedule.load_state_dict(state)
    assert schedule.state_dict() == before


def test_a_state_with_numbers_that_cannot_be_is_a_schedule_error_and_changes_nothing() -> None:
    schedule = Fixed(8)
    with pytest.raises(ScheduleError, match=r"k1 .*received 0"):
        schedule.load_state_dict({**schedule.state_dict(), "k1": 0})
    assert schedule == Fixed(8)


def test_schedules_are_equal_where_kind_and_arguments_are() -> None:
    assert Fixed(4) == Fixed(4, 4) != Fixed(4, 5)
    assert ARTBP(c=0.25) != ARTBP(4, alpha=None)
    assert Fixed(4, seed=1) != Fixed(4)
    assert Fixed(4) != 4
    assert len({Fixed(4), Fixed(4, 4), Checkpointed(4)}) == 2
