"""Every schedule, with every option: its plans tile time once, hold together, and go on where they were saved."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as draw

from schedules.plans import resumed
from schedules.plans import schedules as any_schedule
from tbptt.errors import DataError, ScheduleError
from tbptt.schedules import ARTBP, Adaptive, Checkpointed, Fixed, RandomLength, Window, checked_plan
from tbptt.schedules.scheme import Scheme


def walked(schedule: Scheme, length: int) -> list[Window]:
    try:
        return list(checked_plan(schedule, length))
    except DataError:
        assume(False)
        raise


@given(schedule=any_schedule(), length=draw.integers(1, 200))
def test_a_plan_tiles_time_exactly_once(schedule: Scheme, length: int) -> None:
    plan = walked(schedule, length)
    covered = [t for window in plan for t in range(window.start, window.stop)]
    assert covered == list(range(len(covered)))
    left = length - len(covered)
    if not schedule.drop_last:
        assert left == 0
    elif not isinstance(schedule, RandomLength | Adaptive):
        assert 0 <= left < schedule.period


@given(schedule=any_schedule(), length=draw.integers(1, 200))
def test_a_window_holds_together_and_is_warmed_up_by_the_steps_burn_in_says(schedule: Scheme, length: int) -> None:
    for window in walked(schedule, length):
        assert window.run_from <= window.reach <= window.losses <= window.stop
        assert window.reach == window.stop or window.reach >= window.run_from + schedule.burn_in
        assert not window.trains or window.losses >= window.reach
        if not isinstance(schedule, Fixed | Adaptive):
            assert (window.run_from, window.losses) == (window.start, window.reach)


@given(schedule=any_schedule(), length=draw.integers(1, 200))
def test_the_first_window_has_the_steps_offset_says(schedule: Scheme, length: int) -> None:
    assume(isinstance(schedule, Fixed | RandomLength))
    plan = walked(schedule, length)
    assume(len(plan) > 1)
    if schedule.offset == "random":
        assert 1 <= plan[0].steps <= schedule.period
    elif isinstance(schedule.offset, int) and schedule.offset:
        assert plan[0].steps == schedule.offset


@given(block=draw.integers(1, 6), offset=draw.integers(0, 6), length=draw.integers(1, 100), seed=draw.integers(0, 99))
def test_boundaries_of_blocks_are_where_block_and_offset_put_them(
    block: int, offset: int, length: int, seed: int
) -> None:
    offset = min(offset, block)
    plan = list(ARTBP(2, block=block, offset=offset, seed=seed).plan(length))
    cut, crossed = [window.start for window in plan[1:]], [step for window in plan for step, _ in window.factors]
    assert sorted(cut + crossed) == list(range(offset or block, length, block))


@given(
    k1=draw.integers(1, 40),
    k2=draw.integers(1, 90),
    length=draw.integers(1, 300),
    losses=draw.sampled_from(["new", "window", "last"]),
)
def test_reach_and_losses_of_fixed_windows_are_those_of_the_definition(
    k1: int, k2: int, length: int, losses: str
) -> None:
    plan = list(checked_plan(Fixed(k1, k2, losses), length))  # type: ignore[arg-type]
    assert len(plan) == -(-length // k1)
    for n, window in enumerate(plan, 1):
        tau = 0 if k2 >= length else max(0, n * k1 - k2)  # all of it, where the last window ends off the grid too
        new, last = range((n - 1) * k1, min(n * k1, length)), min(n * k1, length) - 1
        counted = {
            "new": [t for t in new if t >= tau],
            "window": list(range(tau, new.stop)),
            "last": [last] * (last >= tau),
        }
        assert (window.start, window.stop, window.run_from) == (new.start, new.stop, min(tau, new.start))
        assert list(range(window.losses, window.stop)) == counted[losses]
        if window.trains:
            assert window.reach == tau


@given(k1=draw.integers(1, 20), extra=draw.integers(0, 60), length=draw.integers(1, 200), offset=draw.just("random"))
def test_each_loss_counts_once_where_the_gradient_reaches_all_new_steps(
    k1: int, extra: int, length: int, offset: str
) -> None:
    plan = list(Fixed(k1, k1 + extra, offset=offset).plan(length))  # type: ignore[arg-type]
    assert [t for window in plan for t in range(window.losses, window.stop)] == list(range(length))


@given(k1=draw.integers(1, 20), k2=draw.integers(1, 60), length=draw.integers(1, 200))
def test_no_state_is_kept_that_no_later_window_runs_from(k1: int, k2: int, length: int) -> None:
    plan = list(Fixed(k1, k2).plan(length))
    kept = {step for window in plan for step in window.keep} - {0}
    assert kept == {window.run_from for window in plan if window.run_from < window.start} - {0}


def test_a_random_offset_gives_the_first_window_each_number_of_steps_equally_often() -> None:
    schedule, draws = Fixed(5, offset="random", seed=0), 5000
    firsts = [next(iter(schedule.plan(40))).steps for _ in range(draws)]
    for steps in range(1, 6):
        assert abs(firsts.count(steps) - draws / 5) < 5 * (draws * 0.2 * 0.8) ** 0.5


def test_staggered_rows_are_evenly_ahead_within_a_period() -> None:
    assert Fixed(8, 20, offset="staggered").shifts(4) == [0, 2, 4, 6]
    assert Fixed(3, offset="staggered").shifts(5) == [0, 0, 1, 1, 2]
    assert Fixed(8).shifts(3) == [0, 0, 0]


def test_a_sequence_of_less_than_a_window_is_a_data_error_where_the_rest_is_dropped() -> None:
    with pytest.raises(DataError, match=r"shorter than 5 steps, and the sequence has 4.*drop_last=False"):
        list(Fixed(5, drop_last=True).plan(4))
    assert [window.stop for window in Fixed(5, drop_last=True, offset=2).plan(11)] == [2, 7]


SAVED = [
    RandomLength(8, 0.7, 3, min=2, seed=1),
    RandomLength(8, std=1, offset="random", drop_last=True, burn_in=2),
    ARTBP(5, seed=2),
    ARTBP(3, alpha=None, block=2, offset="random", seed=3),
    ARTBP(c=0.3, offset=1),
    Fixed(4, offset="random", seed=4),
    Fixed(3, 8, "window", offset="random", burn_in=1, seed=5),
    Fixed(5, 2),
    Checkpointed(7, 2, offset="random"),
    Adaptive(0.5, max=6, offset="random", seed=6),
]


@pytest.mark.parametrize("schedule", SAVED, ids=repr)
def test_what_is_saved_goes_on_with_the_same_windows(schedule: Scheme) -> None:
    length = 60
    fresh = schedule.state_dict()
    whole = list(resumed(fresh, schedule).plan(length))
    for done in range(len(whole) + 1):  # after so many windows, the last and the end of the plan included
        running = resumed(fresh, schedule)
        plan = iter(checked_plan(running, length))
        assert [next(plan) for _ in range(done)] == whole[:done]
        other = resumed(running.state_dict(), schedule)
        assert other == running == schedule
        if done < len(whole):
            assert other.position == (whole[done - 1].stop if done else 0)
            assert list(checked_plan(other, length)) == whole[done:] == list(plan)
        else:
            assert list(plan) == []
        for _ in range(2):
            assert list(checked_plan(other, length)) == list(checked_plan(running, length))


@given(
    ks=draw.lists(draw.integers(1, 12), min_size=1, max_size=30), length=draw.integers(1, 120), done=draw.integers(0, 9)
)
def test_windows_tile_time_and_go_on_where_saved_while_what_is_measured_changes_them(
    ks: list[int], length: int, done: int
) -> None:
    schedule = Adaptive(0.5, max=12, seed=0)
    windows, saved = [], None
    for index, window in enumerate(checked_plan(schedule, length)):
        windows.append(window)
        schedule.k = ks[index % len(ks)]
        if index == done and window.stop < length:
            saved = resumed(schedule.state_dict(), schedule)
    assert [t for window in windows for t in range(window.start, window.stop)] == list(range(length))
    for k, window in zip([12, *(ks * len(windows))], windows, strict=False):
        assert window.steps <= k
        assert window.stop - window.reach < 2 * k
    if isinstance(saved, Adaptive):
        for index, window in enumerate(checked_plan(saved, length), done + 1):
            assert window == windows[index]
            saved.k = ks[index % len(ks)]


def test_a_plan_that_is_given_up_is_not_gone_on_with_by_the_next() -> None:
    schedule = Fixed(4)
    next(iter(schedule.plan(20)))
    assert schedule.position == 0
    assert [window.start for window in schedule.plan(12)] == [0, 4, 8]


def test_a_state_of_a_longer_sequence_is_a_schedule_error() -> None:
    schedule = Fixed(4)
    plan = iter(schedule.plan(20))
    assert [next(plan).stop, next(plan).stop] == [4, 8]
    other = resumed(schedule.state_dict(), schedule)
    with pytest.raises(ScheduleError, match="saved at step 8 of a longer sequence than this one of 8 steps"):
        other.plan(8)


@pytest.mark.parametrize("make", [lambda s: RandomLength(8, seed=s), lambda s: ARTBP(5, seed=s)])
def test_draws_are_a_function_of_the_seed(make: object) -> None:
    first, same, other = (list(make(seed).plan(300)) for seed in (1, 1, 2))  # type: ignore[operator]
    assert first == same != other


@given(schedule=any_schedule())
def test_a_schedule_prints_as_the_call_that_makes_an_equal_one(schedule: Scheme) -> None:
    kinds = {
        "ARTBP": ARTBP,
        "Fixed": Fixed,
        "RandomLength": RandomLength,
        "Checkpointed": Checkpointed,
        "Adaptive": Adaptive,
    }
    again = eval(repr(schedule), kinds)
    assert again == schedule
    assert hash(again) == hash(schedule)
