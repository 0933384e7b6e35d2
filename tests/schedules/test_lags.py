"""The weight of each lag against closed forms, and against gradients followed one step at a time."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as draw

from schedules.plans import Listed, resumed, step_by_step
from tbptt.errors import ScheduleError
from tbptt.schedules import ARTBP, Checkpointed, Fixed, RandomLength, Window, lag_weights

M = np.arange(31)


def over_offsets(k1: int, k2: int, losses: str = "new") -> np.ndarray:
    """The mean over every offset there is."""
    return np.mean([lag_weights(Fixed(k1, k2, losses, offset=o), 200, 30) for o in range(1, k1 + 1)], axis=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (1, 7), (4, 4), (3, 7), (5, 20), (7, 3), (10, 11), (6, 1)])
def test_fixed_windows_weigh_lags_as_the_closed_form_says(k1: int, k2: int) -> None:
    np.testing.assert_allclose(over_offsets(k1, k2), np.clip((k2 - M) / k1, 0, 1), atol=1e-12)


@pytest.mark.parametrize(("k1", "k2"), [(1, 7), (4, 4), (3, 7), (5, 20)])
def test_where_all_losses_of_the_window_count_short_lags_weigh_k2_over_k1(k1: int, k2: int) -> None:
    np.testing.assert_allclose(over_offsets(k1, k2, "window"), np.clip((k2 - M) / k1, 0, None), atol=1e-12)


@pytest.mark.parametrize(("k1", "k2"), [(1, 7), (4, 4), (3, 7), (7, 3)])
def test_where_the_last_loss_counts_each_lag_below_k2_weighs_one_in_k1(k1: int, k2: int) -> None:
    np.testing.assert_allclose(over_offsets(k1, k2, "last"), np.where(k2 > M, 1 / k1, 0), atol=1e-12)


def test_a_random_offset_gives_the_mean_over_offsets() -> None:
    drawn = np.array([lag_weights(Fixed(7, 10, offset="random", seed=s), 64, 12, plans=20) for s in range(30)])
    error = drawn.std(axis=0, ddof=1) / 30**0.5
    assert (np.abs(drawn.mean(axis=0) - np.clip((10 - M[:13]) / 7, 0, 1)) < 5 * error + 1e-12).all()


def test_the_whole_sequence_weighs_one_up_to_its_longest_lag() -> None:
    assert lag_weights(Checkpointed(7, 2), 40, 29).tolist() == [1.0] * 30


def test_artbp_weighs_one_on_average() -> None:
    drawn = np.array([lag_weights(ARTBP(6, seed=seed), 200, 8, plans=5) for seed in range(60)])
    error = drawn.std(axis=0, ddof=1) / 60**0.5
    assert (np.abs(drawn.mean(axis=0) - 1) < 5 * error + 1e-12).all()
    assert error.max() < 0.03


@given(data=draw.data(), length=draw.integers(1, 60), plans=draw.integers(1, 3))
def test_any_schedule_has_the_weights_of_gradients_followed_step_by_step(data: Any, length: int, plans: int) -> None:
    schedule = data.draw(
        draw.sampled_from(
            [
                ARTBP(4, seed=0),
                ARTBP(2, block=3, burn_in=2, offset="random"),
                Fixed(5, 2),
                Fixed(3, 8, "window", burn_in=1),
                RandomLength(6, std=3),
                Listed([Window(0, length, factors=((length // 2, 0.0),))], [Window(0, length, losses=length)]),
            ]
        )
    )
    first, last = length // 4, length - length // 4
    lags = data.draw(draw.integers(0, last - 1))
    drawing = copy.deepcopy(schedule)
    weights = np.mean([step_by_step(drawing.plan(length), length) for _ in range(plans)], axis=0)
    expected = [np.mean([weights[t, t - m] for t in range(first, last) if t >= m]) for m in range(lags + 1)]
    np.testing.assert_allclose(lag_weights(schedule, length, lags, plans), expected, atol=1e-12)


def test_asking_does_not_move_the_schedule() -> None:
    schedule = ARTBP(5, seed=0)
    before = schedule.state_dict()
    lag_weights(schedule, 100, 10, plans=3)
    assert resumed(before, schedule).state_dict() == schedule.state_dict()
    assert list(schedule.plan(50)) == list(ARTBP(5, seed=0).plan(50))


def test_a_schedule_saved_in_the_middle_of_a_sequence_is_weighed_over_whole_ones() -> None:
    running = Fixed(4, 6)
    plan = iter(running.plan(400))
    for _ in range(90):
        next(plan)
    assert (
        lag_weights(resumed(running.state_dict(), running), 40, 8).tolist() == lag_weights(Fixed(4, 6), 40, 8).tolist()
    )


@pytest.mark.parametrize(("lags", "length"), [(30, 40), (1, 1), (-1, 40), (2.0, 40), (True, 40)])
def test_lags_that_cannot_be_are_a_schedule_error(lags: Any, length: int) -> None:
    with pytest.raises(ScheduleError, match=r"needs a longer sequence|lags is a number of time steps"):
        lag_weights(Fixed(5), length, lags)


@pytest.mark.alone
def test_ten_thousand_steps_take_no_noticeable_time() -> None:
    started = time.perf_counter()
    for schedule in (Fixed(1), Fixed(20, 200), ARTBP(16, seed=0), Checkpointed(100), RandomLength()):
        lag_weights(schedule, 10_000, 300)
    assert time.perf_counter() - started < 10  # 0.3 s alone; a loop over steps and lags takes minutes
