"""Windows of random length against the definition: Merity, Keskar & Socher 2017, section 5."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tbptt.schedules import RandomLength, lag_weights

DRAWS = 100_000


def distribution(mean: int, p: float, std: float, least: int) -> np.ndarray:
    """The probability of each length from 0, of max(least, int(Normal(base, std)))."""

    def below(length: float) -> float:
        return sum(
            chance * (1 + math.erf((length - base) / (std * 2**0.5))) / 2
            for chance, base in ((p, mean), (1 - p, mean / 2))
        )

    lengths = range(int(mean + 10 * std))
    return np.array(
        [0 if n < least else below(n + 1) if n == least else below(n + 1) - below(n) for n in lengths]
    )  # fmt: skip


def test_lengths_have_the_published_mean_and_deviation() -> None:
    schedule = RandomLength(seed=0)
    lengths = np.array([schedule.draw() for _ in range(DRAWS)])
    chances = distribution(70, 0.95, 5, 5)
    mean = (np.arange(chances.size) * chances).sum()
    std = ((np.arange(chances.size) - mean) ** 2 * chances).sum() ** 0.5
    assert (mean, std) == (pytest.approx(67.75, abs=1e-3), pytest.approx(9.13, abs=1e-2))
    assert abs(lengths.mean() - 67.75) < 5 * 9.13 / DRAWS**0.5
    fourth = ((np.arange(chances.size) - mean) ** 4 * chances).sum()
    assert abs(lengths.std() - 9.13) < 5 * (fourth / std**4 - 1) ** 0.5 * std / (2 * DRAWS**0.5) + 5e-3
    assert abs((lengths < 52).mean() - 0.05) < 5 * (0.05 * 0.95 / DRAWS) ** 0.5


def test_lengths_are_those_of_the_definition_number_by_number() -> None:
    schedule = RandomLength(20, 0.8, 6, min=5, seed=3)
    lengths = np.bincount([schedule.draw() for _ in range(DRAWS)], minlength=80)[:80] / DRAWS
    chances = distribution(20, 0.8, 6, 5)
    assert (np.abs(lengths - chances) <= 5 * (chances * (1 - chances) / DRAWS) ** 0.5 + 1e-9 + 5 / DRAWS).all()


def test_lengths_stay_within_their_bounds_and_reach_them() -> None:
    steps = [window.steps for window in RandomLength(20, 0.5, 9, min=8, max=22, seed=0).plan(20_000)][:-1]
    assert (min(steps), max(steps)) == (8, 22)


def test_rates_are_lengths_over_the_mean_and_one_where_they_are_not_rescaled() -> None:
    plan = list(RandomLength(30, seed=0).plan(1000))
    assert [window.rate for window in plan] == [window.steps / 30 for window in plan]
    assert sum(window.rate for window in plan) == pytest.approx(1000 / 30, abs=1e-12)
    assert {window.rate for window in RandomLength(30, rescale_lr=False, seed=0).plan(1000)} == {1.0}


def test_without_deviation_windows_are_fixed() -> None:
    assert [window.steps for window in RandomLength(6, 1.0, 0, min=1).plan(20)] == [6, 6, 6, 2]
    assert {window.steps for window in RandomLength(12, 0.0, 0, min=1).plan(60)} == {6}


def test_windows_that_the_end_cuts_short_are_dropped_if_asked() -> None:
    kept = list(RandomLength(8, seed=1, drop_last=True).plan(100))
    assert kept == list(RandomLength(8, seed=1).plan(100))[:-1]


def test_the_weight_of_a_lag_is_the_share_of_steps_that_have_so_many_before_them() -> None:
    """Of a window of L steps, max(0, L − m) have m steps before them: E[max(0, L − m)]/E[L] far from the start."""
    chances, lags = distribution(12, 0.8, 3, 4), np.arange(25)
    lengths = np.arange(chances.size)
    expected = np.array([(np.maximum(0, lengths - m) * chances).sum() for m in lags]) / (lengths * chances).sum()
    drawn = np.array([lag_weights(RandomLength(12, 0.8, 3, 4, seed=seed), 800, 24, plans=4) for seed in range(40)])
    error = drawn.std(axis=0, ddof=1) / len(drawn) ** 0.5
    assert (np.abs(drawn.mean(axis=0) - expected) < 5 * error + 1e-4).all()
    assert error.max() < 0.01
