"""Gradients of `Fixed` through the trainer: Williams & Peng's closed form, in every arrangement of k1, k2 and losses."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.protocols import Backend
from tbptt.schedules import Fixed
from trainer.recurrences import (
    MATRIX,
    ROWS,
    SCALAR,
    STEPS,
    Recurrence,
    check_close,
    closed_form,
    data,
    factor,
    first_state,
    fit,
    values,
)

CASES = [(1, 1), (1, 5), (3, 3), (3, 7), (6, 12), (2, STEPS), (7, 3)]
WHICH = ["new", "window", "last"]


def expected_updates(
    k1: int, k2: int, losses: str, loss: str, weights: Any, rate: float = 0.0, steps: int = STEPS
) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """The gradient of every update, and the parameters after the last: at n·k1, from the state that was there at τ_n = n·k1 − k2,
    with the parameters of that moment.
    """
    units = len(weights[1])
    x, y = data(steps=steps, units=units)
    weights, seen = [w.copy() for w in weights], {0: first_state(units=units)}
    found = []
    for start in range(0, steps, k1):
        stop, tau = min(start + k1, steps), 0 if k2 >= steps else max(0, start + k1 - k2)
        run_from = min(tau, start)
        counted = max({"new": start, "window": tau, "last": stop - 1}[losses], tau)
        truth = closed_form(
            weights,
            x[:, run_from:stop],
            y[:, run_from:stop],
            seen[run_from],
            losses=counted - run_from,
            reach=tau - run_from,
        )
        for step in range(start, stop + 1):  # a state is kept where its step is new, in the run that goes on from there
            seen[step] = truth.states[:, step - run_from]
        if counted < stop:
            found.append([factor(loss, stop - counted, units=units) * g for g in truth.gradient])
            weights = [w - rate * g for w, g in zip(weights, found[-1], strict=True)]
    return found, weights


def check_updates(k1: int, k2: int, losses: Any, loss: str, weights: Any, steps: int = STEPS, **options: Any) -> None:
    expected, _ = expected_updates(k1, k2, losses, loss, weights, steps=steps)
    batch = data(steps=steps, units=len(weights[1]))
    updates, _, trainer = fit(lambda: Recurrence(loss, weights), Fixed(k1, k2, losses), [batch], **options)
    assert len(updates.gradients) == len(expected) == trainer.global_step
    for found, truth in zip(updates.gradients, expected, strict=True):
        check_close(found, truth)


LOSS = ["sum", "own mean", "noted mean"]


def each_with_one_of_the_losses(shift: int) -> list[Any]:
    """Every case and which losses count, by turns with the three kinds of loss."""
    pairs = product(enumerate(CASES), enumerate(WHICH))
    return [(*case, losses, LOSS[(i + j + shift) % 3]) for (i, case), (j, losses) in pairs]


@pytest.mark.parametrize(("k1", "k2", "losses", "loss"), each_with_one_of_the_losses(0))
def test_every_update_of_a_matrix_recurrence(backend: Backend, k1: int, k2: int, losses: str, loss: str) -> None:
    check_updates(k1, k2, losses, loss, MATRIX)


@pytest.mark.parametrize(("k1", "k2", "losses", "loss"), each_with_one_of_the_losses(1))
def test_every_update_of_a_scalar_recurrence(backend: Backend, k1: int, k2: int, losses: str, loss: str) -> None:
    check_updates(k1, k2, losses, loss, SCALAR)


@pytest.mark.parametrize(
    ("k1", "k2", "losses", "loss", "steps"), [(3, 6, "window", "own mean", 12), (5, 3, "last", "noted mean", 10)]
)
def test_the_same_in_compiled_programs(k1: int, k2: int, losses: str, loss: str, steps: int) -> None:
    with tbptt.use_backend("tensorflow"):
        check_updates(k1, k2, losses, loss, SCALAR, steps, compile="auto")


@pytest.mark.parametrize("losses", WHICH)
@pytest.mark.parametrize(("k1", "k2"), [(1, 5), (3, 7), (2, STEPS), (7, 3)])
def test_the_overlap_runs_from_the_state_that_was_kept_with_todays_parameters(
    backend: Backend, k1: int, k2: int, losses: Any
) -> None:
    """Plain descent at a rate that moves the parameters far."""
    rate = 0.05
    gradients, weights = expected_updates(k1, k2, losses, "noted mean", MATRIX, rate)
    assert max(np.abs(after - before).max() for after, before in zip(weights, MATRIX, strict=True)) > 0.05
    updates, module, _ = fit(
        lambda: Recurrence("noted mean", configure=lambda module: optim.SGD(module.parameters(), lr=rate)),
        Fixed(k1, k2, losses),
        [data()],
    )
    for found, truth in zip(updates.gradients, gradients, strict=True):
        check_close(found, truth)
    check_close(values(module), weights)


class Decay(tbptt.Module):
    """h_t = w·h_(t−1), loss h_t of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(np.array(0.2))

    def initial_state(self, batch_size: int) -> Any:
        return ops.full((batch_size,), 0.9, dtype="float64")

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss = 0.0
        for _ in range(batch.shape[1]):
            hiddens = self.w * hiddens
            loss = loss + ops.sum(hiddens)
        return loss, hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def test_the_published_example(backend: Backend) -> None:
    """h_0 = 0.9, w = 0.2, k1 = 1, k2 = 3: 0.9, 0.36, 0.108. A recipe that lets leaf gradients pile up gives 0.288 for the third."""
    updates, _, _ = fit(Decay, Fixed(1, 3), [np.ones((1, 3, 1))])
    np.testing.assert_allclose(np.ravel(updates.gradients), [0.9, 0.36, 0.108], rtol=1e-14)


# ------------------------------------------------------------------------------------------------ the longest lag


class ShiftRegister(tbptt.Module):
    """h ← S h + e_1·θ·x, and a loss on the last of m places: θ has an effect after m steps, and before that none."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.theta, self.places = nn.Parameter(np.array(0.7)), places

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x, y = batch
        h = ops.zeros((ROWS, self.places), dtype="float64") if hiddens is None else hiddens
        loss = 0.0
        for t in range(x.shape[1]):
            h = ops.concat([ops.multiply(self.theta, x[:, t, None]), h[:, :-1]], axis=1)
            loss = loss + ops.sum(ops.square(h[:, -1] - y[:, t]))
        return loss, h

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def test_the_longest_lag_to_the_step(backend: Backend) -> None:
    """Depth m is needed. k2 = m − 1 is one too few for every loss, k2 − k1 + 1 = m just enough for every one."""
    m, k1 = 6, 3
    x, y = data(units=1)

    def total(k2: int) -> float:
        updates, _, _ = fit(lambda: ShiftRegister(m), Fixed(k1, k2), [(x, y[:, :, 0])])
        return float(updates.total()[0])

    def seen(losses: range) -> float:
        """dh/dθ = x of m − 1 steps before."""
        return float(sum(2 * x[:, t - m + 1] @ (0.7 * x[:, t - m + 1] - y[:, t, 0]) for t in losses if t >= m - 1))

    assert total(m - 1) == 0.0
    # k2 = m: the newest loss of each window alone, for as long as windows are whole
    np.testing.assert_allclose(total(m), seen(range(k1 - 1, STEPS, k1)), rtol=1e-13)
    np.testing.assert_allclose(total(m + k1 - 1), seen(range(STEPS)), rtol=1e-13)
    assert abs(total(m + k1 - 2) / seen(range(STEPS)) - 1) > 1e-3
