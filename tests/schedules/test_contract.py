"""Schedules of third parties, and what is said about plans that do not hold together."""

from __future__ import annotations

import copy

import pytest

from schedules.plans import Listed
from tbptt.errors import ScheduleError
from tbptt.schedules import (
    ARTBP,
    Adaptive,
    Checkpointed,
    Fixed,
    RandomLength,
    Schedule,
    Window,
    as_schedule,
    checked_plan,
    cost,
    explain,
)
from tbptt.testing import ScheduleConformance

OURS = [
    Fixed(1),
    Fixed(5),
    Fixed(4, offset="staggered"),
    Fixed(4, drop_last=True, offset="random", seed=4),
    Fixed(3, 8, drop_last=True),
    Fixed(3, 8, "window", offset="random", burn_in=1, seed=5),
    Fixed(5, 2),
    RandomLength(8, 0.7, 3, min=2, seed=1),
    RandomLength(8, std=1, offset="random", burn_in=2, seed=2),
    ARTBP(5, seed=2),
    ARTBP(3, alpha=None, block=2, offset="random", seed=3),
    ARTBP(c=0.3, offset=1, seed=4),
    ARTBP(5, block=3, drop_last=True, seed=5),
    Checkpointed(7, 2, offset="random", seed=6),
    Checkpointed(7, drop_last=True),
    Adaptive(0.5, max=6, offset="random", seed=6),
]


class TestOurs(ScheduleConformance):
    """What third parties' schedules are put through, for ours."""

    @pytest.fixture(autouse=True, params=OURS, ids=repr)
    def _each(self, request: pytest.FixtureRequest) -> None:
        self.schedule = request.param  # type: ignore[misc]


@pytest.mark.parametrize("kind", [RandomLength, Adaptive])
def test_what_was_saved_at_the_last_window_before_a_dropped_end_goes_on(kind: type[RandomLength | Adaptive]) -> None:
    """Whether another window fits is known when its length is drawn, after the state was saved: there may be none left."""
    options = {"drop_last": True, "offset": 1, "seed": 0}
    schedule = RandomLength(8, std=0, **options) if kind is RandomLength else Adaptive(0.5, max=8, **options)
    for length in range(2, 30):
        saved = [(window, copy.deepcopy(schedule.state_dict())) for window in schedule.plan(length)]
        for number, (_, state) in enumerate(saved):
            other = copy.deepcopy(schedule)
            other.load_state_dict(state)
            rest = list(other.plan(length))
            assert rest == ([window for window, _ in saved[number + 1 :]] or rest)


def test_a_schedule_of_a_third_party_needs_no_base_class() -> None:
    mine = Listed([Window(0, 3), Window(3, 4)])
    assert isinstance(mine, Schedule)
    assert as_schedule(mine) is mine
    assert list(checked_plan(mine, 4)) == [Window(0, 3), Window(3, 4)]
    assert cost(mine, 4) == 4
    assert explain(mine, 4).splitlines()[-2].split() == ["1", "3", "4", "1"]
    with pytest.raises(ScheduleError, match="a number of time steps, as in 20, or an object with plan"):
        as_schedule(Fixed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "windows",
    [[(1, 4)], [(0, 2), (3, 4)], [(0, 3), (2, 4)], [(0, 5)], [(0, 0), (0, 4)], [(0, 3), (3, 2)]],
    ids=["late start", "gap", "overlap", "past the end", "empty window", "backwards"],
)
def test_a_window_that_does_not_follow_the_one_before_is_a_schedule_error(windows: list[tuple[int, int]]) -> None:
    with pytest.raises(ScheduleError, match=r"does not tile a sequence of 4 steps: after step .* Expected a start of"):
        list(checked_plan(Listed([Window(*window) for window in windows]), 4))


@pytest.mark.parametrize("windows", [[], [(0, 3)]], ids=["nothing", "ends early"])
def test_a_plan_that_ends_early_is_a_schedule_error_unless_the_rest_is_dropped(windows: list[tuple[int, int]]) -> None:
    schedule = Listed([Window(*window) for window in windows])
    with pytest.raises(ScheduleError, match=r"ends at step [03] of a sequence of 4 steps"):
        list(checked_plan(schedule, 4))
    schedule.drop_last = True  # type: ignore[attr-defined]
    assert len(list(checked_plan(schedule, 4))) == len(windows)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([Window(0, 4), Window(4, 8, run_from=2)], r"runs from step 2, but no earlier window kept the state"),
        ([Window(0, 4, keep=(2,)), Window(4, 6, run_from=3), Window(6, 8)], r"runs from step 3, but no earlier"),
        ([Window(0, 4, keep=(2,)), Window(4, 6), Window(6, 8, run_from=2)], r"runs from step 2, but no earlier"),
        ([Window(0, 4), Window(4, 8, run_from=5, reach=5)], r"expected run_from <= start"),
        ([Window(0, 4, reach=3, losses=2), Window(4, 8)], r"reach <= losses <= stop. A loss cannot count where no"),
        ([Window(0, 4, losses=5), Window(4, 8)], r"reach <= losses <= stop"),
        ([Window(0, 4, keep=(2,)), Window(4, 8, run_from=2, reach=1)], r"run_from <= reach"),
        ([Window(0, 4, keep=(4,)), Window(4, 8)], r"to keep the state before step 4; expected steps of its own, 0 to 3"),
        ([Window(0, 4), Window(4, 8, keep=(5, 3))], r"to keep the state before step 3; expected steps of its own, 4 to 7"),
    ],
    ids=[
        "run_from not kept", "another step kept", "kept but forgotten", "runs from later", "loss before reach", "losses past stop",
        "reach before run_from", "keep at stop", "keep before start",
    ],
)  # fmt: skip
def test_reaching_where_nothing_is_is_a_schedule_error(windows: list[Window], message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        list(checked_plan(Listed(windows), 8))


def test_states_are_kept_until_a_run_begins_after_them() -> None:
    plan = [Window(0, 4, keep=(1, 3)), Window(4, 6, run_from=1), Window(6, 7, run_from=3), Window(7, 8, run_from=3)]
    assert list(checked_plan(Listed(plan), 8)) == plan


def test_the_beginning_of_the_sequence_is_always_kept_at_first() -> None:
    plan = [Window(0, 2), Window(2, 4, run_from=0)]
    assert list(checked_plan(Listed(plan), 4)) == plan


def test_pieces_of_a_window_are_its_parts_in_order() -> None:
    window = Window(6, 12, run_from=2, reach=4, losses=8, keep=(10,), factors=((9, 3.0), (20, 5.0)))
    pieces = [(p.start, p.stop, p.recorded, p.counts, p.again, p.factor, p.keeps) for p in window.pieces(cuts=(7, 1))]
    assert pieces == [
        (2, 4, False, False, True, 1.0, False),
        (4, 6, True, False, True, 1.0, False),
        (6, 7, True, False, False, 1.0, False),
        (7, 8, True, False, False, 1.0, False),
        (8, 9, True, True, False, 1.0, False),
        (9, 10, True, True, False, 3.0, False),
        (10, 12, True, True, False, 1.0, True),
    ]
    assert window.tiles() == [(6, 8), (8, 9), (9, 10), (10, 12)]
    assert not any(piece.recorded for piece in Window(0, 4, losses=4).pieces())
