"""Random cuts: by enumeration of all of them the gradient is the full one on average, and windows are as long as they are to be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from schedules.plans import Listed, step_by_step
from tbptt.schedules import ARTBP, Window, checked_plan, lag_weights

LENGTH = 9


class Scripted:
    """A generator whose numbers say cut or go on, in an order given."""

    def __init__(self, cuts: tuple[bool, ...]) -> None:
        self.numbers = iter([0.0 if cut else 1.0 - 1e-12 for cut in cuts])

    def random(self) -> float:
        return next(self.numbers)


def hazard(age: int, mean_length: float, alpha: float | None) -> float:
    return 1 / mean_length if alpha is None else (alpha - 1) / ((alpha - 2) * mean_length + age)


def patterns(
    arguments: dict[str, Any], mean_length: float, alpha: float | None, block: int
) -> Iterator[tuple[float, list[Window]]]:
    """Every plan of the sequence with its probability, which is multiplied up here, by the published formula."""
    for cuts in product([False, True], repeat=(LENGTH - 1) // block):
        probability, age = 1.0, 1
        for cut in cuts:
            c = hazard(age, mean_length, alpha)
            probability *= c if cut else 1 - c
            age = 1 if cut else age + 1
        schedule = ARTBP(**arguments, block=block)
        schedule._generator = Scripted(cuts)  # type: ignore[assignment]
        yield probability, list(checked_plan(schedule, LENGTH))


CASES = [
    pytest.param({"mean_length": 4}, 4, 6, 1, id="hyperbolic"),
    pytest.param({"mean_length": 2.5, "alpha": 3}, 2.5, 3, 1, id="heavy tail"),
    pytest.param({"mean_length": 3, "alpha": None}, 3, None, 1, id="constant by length"),
    pytest.param({"c": 0.4}, 2.5, None, 1, id="constant"),
    pytest.param({"mean_length": 2}, 2, 6, 2, id="blocks of 2"),
    pytest.param({"mean_length": 3}, 3, 6, 4, id="blocks of 4"),
]


@pytest.mark.parametrize(("arguments", "mean_length", "alpha", "block"), CASES)
def test_every_loss_reaches_every_earlier_step_with_weight_one_on_average(
    arguments: dict[str, Any], mean_length: float, alpha: float | None, block: int
) -> None:
    plans = list(patterns(arguments, mean_length, alpha, block))
    assert len({tuple(plan) for _, plan in plans}) == len(plans) == 2 ** ((LENGTH - 1) // block)
    assert sum(probability for probability, _ in plans) == pytest.approx(1, abs=1e-13)
    mean = sum(probability * step_by_step(plan, LENGTH) for probability, plan in plans)
    np.testing.assert_allclose(mean, np.tri(LENGTH), rtol=0, atol=1e-13)
    lags = sum(probability * lag_weights(Listed(plan), LENGTH, 6) for probability, plan in plans)
    np.testing.assert_allclose(lags, np.ones(7), rtol=0, atol=1e-13)


def test_the_enumeration_finds_weights_that_are_off() -> None:
    """Cuts at twice the rate the weights are made for."""
    plans = list(patterns({"c": 0.2}, 2.5, None, 1))
    mean = sum(probability * step_by_step(plan, LENGTH) for probability, plan in plans)
    assert np.abs(mean - np.tri(LENGTH)).max() > 0.5


def test_with_burn_in_the_warm_up_steps_lack_their_losses() -> None:
    plans = patterns({"c": 0.4, "burn_in": 1}, 2.5, None, 1)
    mean = np.sum([probability * step_by_step(plan, LENGTH) for probability, plan in plans], axis=0)
    assert mean[0, 0] == 0
    assert mean[5, 5] == pytest.approx(0.6)  # its loss counts unless a window begins with it


@pytest.mark.parametrize("mean_length", [1.5, 4, 16, 100])
@pytest.mark.parametrize("alpha", [3, 4, 6, 12, None])
def test_the_mean_length_of_windows_is_that_asked_for(mean_length: float, alpha: float | None) -> None:
    """The sum of the chances to survive each age; with a hyperbolic hazard, what is left to live is linear in age."""
    schedule, ages = ARTBP(mean_length, alpha), 50_000
    chances = np.array([schedule.probability(age) for age in range(1, ages + 1)])
    assert (chances > 0).all()
    assert (chances < 1).all()
    survival = np.cumprod(np.concatenate([[1], 1 - chances]))
    rest = 0 if alpha is None else survival[-1] * (ages + (alpha - 2) * mean_length) / (alpha - 2)
    assert survival[:-1].sum() + rest == pytest.approx(mean_length, rel=1e-9)


def test_few_windows_are_much_longer_than_the_mean_and_as_many_as_the_docstring_says() -> None:
    schedule = ARTBP(200)
    survival = np.cumprod([1 - schedule.probability(age) for age in range(1, 2001)])
    ages = np.arange(1, 2001)
    np.testing.assert_allclose(survival, (1 + ages / (4 * 200)) ** -5.0, rtol=0.03)


@pytest.mark.parametrize(
    "schedule", [ARTBP(16, seed=0), ARTBP(5, alpha=None, seed=1), ARTBP(4, block=3, seed=2)], ids=repr
)
def test_sampled_windows_have_the_mean_length(schedule: ARTBP) -> None:
    steps = np.array([window.steps for window in schedule.plan(200_000)][:-1])
    error = steps.std() / len(steps) ** 0.5
    assert abs(steps.mean() - schedule.mean_length * schedule.block) < 5 * error


def test_the_factors_are_those_of_the_boundaries_that_were_not_cut_and_the_sum_is_over_the_mean_length() -> None:
    schedule = ARTBP(8, block=2, seed=0)
    for window in schedule.plan(300):
        crossed = range(window.start + 2, window.stop, 2)
        expected = [(step, 1 / (1 - hazard(age, 8, 6))) for age, step in enumerate(crossed, 1)]
        assert [step for step, _ in window.factors] == list(crossed)
        np.testing.assert_allclose([f for _, f in window.factors], [f for _, f in expected], rtol=1e-14)
        assert window.per == 16
