"""Losses of pieces make the loss of the window: sums, means, sums of means; what is neither is said to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.nn.functional import cross_entropy
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Checkpointed, Fixed
from trainer.models import tokens
from trainer.recurrences import MATRIX, Recurrence, check_close, closed_form, data, factor, first_state, fit

STEPS = 11


@pytest.mark.parametrize("loss", ["sum", "noted sum", "sum over time", "own mean", "noted mean"])
def test_losses_of_pieces_add_up_to_that_of_the_window(backend: Backend, loss: str) -> None:
    """Fixed(3, 7, "window"): old losses and new ones, in pieces of 4, 3, 1 and 2 steps."""
    x, y = data(steps=STEPS)
    states = closed_form(MATRIX, x, y, first_state()).states
    updates, _, _ = fit(lambda: Recurrence(loss), Fixed(3, 7, "window"), [(x, y)])
    for n, found in enumerate(updates.gradients):
        stop, tau = min(3 * n + 3, STEPS), max(0, 3 * n + 3 - 7)
        truth = closed_form(MATRIX, x[:, tau:stop], y[:, tau:stop], states[:, tau])
        scale = factor(loss, stop - tau)
        check_close(found, [scale * gradient for gradient in truth.gradient])
        squares = np.sum(np.square(truth.states[:, 1:] - y[:, tau:stop]))
        np.testing.assert_allclose(updates.losses[n], scale * squares / 2, rtol=1e-12)


class Cuts:
    """A generator that cuts at the first boundary, and never again."""

    def __init__(self) -> None:
        self.first = True

    def random(self) -> float:
        cut, self.first = self.first, False
        return 0.0 if cut else 1.0


@pytest.mark.parametrize("loss", ["sum", "own mean", "sum over time"])
def test_a_first_window_of_one_step_does_not_hide_what_the_loss_is(backend: Backend, loss: str) -> None:
    schedule = ARTBP(c=0.25)
    schedule._generator = Cuts()  # type: ignore[assignment]
    updates, _, _ = fit(lambda: Recurrence(loss), schedule, [data(steps=5)])
    x, y = data(steps=5)
    first = closed_form(MATRIX, x[:, :1], y[:, :1], first_state())
    rest = closed_form(MATRIX, x[:, 1:], y[:, 1:], first.states[:, -1], factors=dict.fromkeys((1, 2, 3), 1 / 0.75))
    for found, truth in zip(updates.gradients, (first, rest), strict=True):
        check_close(found, [factor(loss, 4) * gradient for gradient in truth.gradient])  # 4 steps: the mean length


class Late(Recurrence):
    """Its loss is zero until time 4: its first windows say nothing about what it is."""

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x, y = batch
        states, hiddens = self(x, hiddens)
        counts = ops.astype(ops.greater(y, 99.0), "float64")
        return ops.sum(ops.multiply(ops.square(states), counts)), hiddens


def test_losses_that_are_zero_do_not_settle_what_the_loss_is(backend: Backend) -> None:
    x, y = data(steps=12)
    y = np.where(np.arange(12)[:, None] >= 8, 100.0, 0.0) * np.ones_like(y)
    found, _, _ = fit(Late, Fixed(2, 4, "window"), [(x, y)])
    full, _, _ = fit(Late, Fixed(12), [(x, y)])
    chained, _, _ = fit(Late, Checkpointed(5), [(x, y)])
    check_close(chained.total(), full.total())
    states = closed_form(MATRIX, x, y, first_state()).states
    truth = closed_form(
        MATRIX, x[:, 8:], np.zeros_like(y[:, 8:]), states[:, 8]
    )  # the last window: four steps, and all count
    check_close(found.gradients[-1], [2 * gradient for gradient in truth.gradient])


class Classes(tbptt.Module):
    """Cross entropy of an LSTM, summed or averaged."""

    def __init__(self, reduction: Any) -> None:
        super().__init__()
        self.lstm, self.head, self.reduction = nn.LSTM(1, 4), nn.Linear(4, 11), reduction

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x, targets = batch
        features, hiddens = self.lstm(ops.expand_dims(ops.astype(x, "float64"), axis=2), hiddens)
        return cross_entropy(self.head(features), targets, reduction=self.reduction), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_cross_entropy_counts_what_is_not_ignored(backend: Backend, reduction: str) -> None:
    x, targets = tokens(3, STEPS)
    ignored = np.random.default_rng(2).random(targets.shape) < 0.4
    batch = x, np.where(ignored, -100, targets)
    full, _, _ = fit(lambda: Classes(reduction), STEPS, [batch])
    chained, _, _ = fit(lambda: Classes(reduction), Checkpointed(3), [batch])
    check_close(chained.total(), full.total())
    np.testing.assert_allclose(chained.losses, full.losses, rtol=1e-12)


class Neither(Recurrence):
    """The root of a sum."""

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        states, hiddens = self(batch[0], hiddens)
        return ops.sqrt(ops.sum(ops.square(states - batch[1]))), hiddens


def test_a_loss_that_is_neither_is_said_to_be_once(backend: Backend) -> None:
    with pytest.warns(UserWarning, match=r"neither a mean nor a sum over time steps: 2 steps give") as caught:
        fit(Neither, Checkpointed(3), [data(steps=6)] * 2)
    assert len(caught) == 1


def test_a_plain_window_may_have_any_loss(backend: Backend) -> None:
    """Nothing is combined, so that nothing is found out, and nobody warned."""
    updates, _, _ = fit(Neither, Fixed(3), [data(steps=6)])
    assert len(updates.gradients) == 2


def test_what_the_loss_is_is_found_out_in_few_steps(backend: Backend) -> None:
    _, module, _ = fit(lambda: Recurrence("own mean"), Checkpointed(4), [data(steps=8)] * 3)
    assert sorted(module.calls) == [1, 1, 2] + [4] * 9
    assert module.training
    _, module, _ = fit(lambda: Recurrence("noted mean"), Checkpointed(4), [data(steps=8)] * 3)
    assert module.calls == [4] * 9
