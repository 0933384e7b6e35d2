"""Windows of random length through the trainer: the mean gradient over all cuts of `ARTBP`, and the updates of `RandomLength`."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops, optim
from tbptt.optim.lr_scheduler import ExponentialLR
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, RandomLength
from trainer.models import CharLM, tokens
from trainer.recurrences import (
    MATRIX,
    STEPS,
    Recurrence,
    Updates,
    check_close,
    closed_form,
    data,
    factor,
    first_state,
    fit,
    full_gradient,
    values,
)

T = 6


class Scripted:
    """A generator that says at every boundary, pattern after pattern, whether it is a cut."""

    def __init__(self, patterns: list[tuple[bool, ...]]) -> None:
        self.numbers = iter([0.0 if cut else 1.0 for pattern in patterns for cut in pattern])

    def random(self) -> float:
        return next(self.numbers)


def all_cuts(schedule: ARTBP, steps: int, probability: Any) -> tuple[ARTBP, np.ndarray]:
    """The schedule, which will go through all patterns, one for each batch, and each one's probability."""
    patterns = list(product([False, True], repeat=(steps - 1) // schedule.block))
    schedule._generator = Scripted(patterns)  # type: ignore[assignment]
    chances = []
    for pattern in patterns:
        chance, age = 1.0, 1
        for cut in pattern:
            chance *= probability(age) if cut else 1 - probability(age)
            age = 1 if cut else age + 1
        chances.append(chance)
    assert abs(sum(chances) - 1) < 1e-14
    return schedule, np.array(chances)


def expectation(updates: Updates, chances: np.ndarray) -> list[np.ndarray]:
    """Of the total gradient of a batch."""
    weights = chances[np.array(updates.batches)]
    return [np.tensordot(weights, np.array(each), 1) for each in zip(*updates.gradients, strict=True)]


HAZARDS: dict[str, Any] = {
    "hyperbolic": (lambda: ARTBP(3), 3, lambda age: 5 / (4 * 3 + age)),
    "alpha of 3": (lambda: ARTBP(2.5, alpha=3), 2.5, lambda age: 2 / (2.5 + age)),
    "constant": (lambda: ARTBP(c=0.3), 1 / 0.3, lambda age: 0.3),
    "blocks of two": (lambda: ARTBP(2, block=2), 4, lambda age: 5 / (4 * 2 + age)),
}


@pytest.mark.parametrize(
    ("hazard", "loss"),
    [
        *product(["hyperbolic", "blocks of two"], ["sum", "noted mean", "own mean"]),
        ("alpha of 3", "sum"),
        ("constant", "own mean"),
    ],
)
def test_over_all_cuts_the_mean_gradient_is_the_full_one(backend: Backend, hazard: str, loss: str) -> None:
    make, mean_length, probability = HAZARDS[hazard]
    schedule, chances = all_cuts(make(), T, probability)
    updates, _, _ = fit(lambda: Recurrence(loss), schedule, [data(steps=T)] * len(chances))
    # a mean over steps is a sum of them over the mean length, never over the window's own
    expected = [g * (T / mean_length if "mean" in loss else 1.0) for g in full_gradient(loss, T)]
    check_close(expectation(updates, chances), expected, 1e-13)
    assert len(set(updates.batches)) == len(chances) == 2 ** ((T - 1) // schedule.block)


def test_the_same_through_two_layers_of_lstm(backend: Backend) -> None:
    schedule, chances = all_cuts(ARTBP(2, block=2), 8, lambda age: 5 / (4 * 2 + age))

    def model() -> CharLM:
        return CharLM(width=4, dropout=0.0, optimizer=lambda p: optim.SGD(p, lr=0.0))

    full, _, _ = fit(model, 8, [tokens(2, 8)])
    updates, _, _ = fit(model, schedule, [tokens(2, 8)] * 8)
    check_close(expectation(updates, chances), [2 * gradient for gradient in full.total()], 1e-13)


def test_every_pattern_by_itself(backend: Backend) -> None:
    """Cuts after 2 and 3 of 6 steps: three windows, whose inner boundaries weigh 1/(1 − c)."""
    schedule = ARTBP(3)
    schedule._generator = Scripted([(False, True, True, False, False)])  # type: ignore[assignment]
    updates, _, _ = fit(Recurrence, schedule, [data(steps=T)])
    x, y = data(steps=T)
    state, found = first_state(), []
    for start, stop, ages in ((0, 2, [1]), (2, 3, []), (3, 6, [1, 2])):
        factors = {age: 1 / (1 - 5 / (12 + age)) for age in ages}
        truth = closed_form(MATRIX, x[:, start:stop], y[:, start:stop], state, factors=factors)
        state = truth.states[:, -1]
        found.append(truth.gradient)
    for one, other in zip(updates.gradients, found, strict=True):
        check_close(one, other, 1e-13)


def test_reweighted_windows_in_compiled_programs() -> None:
    """A pattern whose pieces are single steps, so that there are few programs."""
    with tbptt.use_backend("torch"):
        expected, _, _ = fit(lambda: Recurrence("own mean"), ARTBP(3, seed=1), [data(steps=9)])
    with tbptt.use_backend("tensorflow"):
        updates, _, _ = fit(lambda: Recurrence("own mean"), ARTBP(3, seed=1), [data(steps=9)], compile="auto")
    for one, other in zip(updates.gradients, expected.gradients, strict=True):
        check_close(one, other)


# ------------------------------------------------------------------------------------------------ random lengths

RATE, MEAN = 0.05, 5


def merity(rates: Any = lambda window: RATE, rescales: bool = True) -> tuple[list[np.ndarray], int]:
    """Parameters after a sequence: each update takes off rate · Σ gradients / (mean · B), whatever the window's own length."""
    x, y = data()
    weights, state, windows = [w.copy() for w in MATRIX], first_state(), 0
    for window in lengths().plan(STEPS):
        truth = closed_form(weights, x[:, window.start : window.stop], y[:, window.start : window.stop], state)
        state, length = truth.states[:, -1], MEAN if rescales else window.steps
        step = rates(windows) * factor("own mean", length)
        weights = [w - step * g for w, g in zip(weights, truth.gradient, strict=True)]
        windows += 1
    return weights, windows


def lengths(**options: Any) -> RandomLength:
    return RandomLength(MEAN, std=2, min=2, seed=4, **options)


def sgd(module: Any) -> Any:
    return optim.SGD(module.parameters(), lr=RATE)


def native_sgd(module: Any) -> Any:
    if tbptt.current_backend().name == "torch":
        return torch.optim.SGD(module.parameters(), lr=RATE)
    import keras

    return keras.optimizers.SGD(RATE)


@pytest.mark.parametrize("configure", [sgd, native_sgd])
@pytest.mark.parametrize("loss", ["own mean", "noted mean"])
def test_an_update_is_the_sum_over_steps_over_the_mean_length(backend: Backend, configure: Any, loss: str) -> None:
    expected, windows = merity()
    _, module, trainer = fit(lambda: Recurrence(loss, configure=configure), lengths(), [data()])
    in_float32 = backend.name == "tensorflow" and configure is native_sgd  # Keras keeps its rate so
    check_close(values(module), expected, 1e-7 if in_float32 else 1e-11)
    assert trainer.global_step == windows > 3
    assert trainer.optimizers[0].rates() == pytest.approx([RATE], rel=1e-7 if in_float32 else 0)
    assert sum(module.calls) == STEPS
    assert module.calls == [window.steps for window in lengths().plan(STEPS)]


def test_rates_may_stay_as_they_are(backend: Backend) -> None:
    _, module, _ = fit(lambda: Recurrence("own mean", configure=sgd), lengths(rescale_lr=False), [data()])
    check_close(values(module), merity(rescales=False)[0])


def test_a_scheduler_by_window_sees_its_own_rates(backend: Backend) -> None:
    def configure(module: Any) -> Any:
        optimizer = sgd(module)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": ExponentialLR(optimizer, 0.8), "interval": "window"},
        }

    expected, windows = merity(lambda window: RATE * 0.8**window)
    _, module, trainer = fit(lambda: Recurrence("own mean", configure=configure), lengths(), [data()])
    check_close(values(module), expected)
    np.testing.assert_allclose(trainer.optimizers[0].rates(), [RATE * 0.8**windows], rtol=1e-12)


class ByHand(Recurrence):
    """The same, stepping its optimizer itself."""

    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        optimizer = self.optimizers()
        output = super().training_step(batch, batch_idx, hiddens)
        optimizer.zero_grad()
        self.manual_backward(output["loss"])
        optimizer.step()
        return output


def test_manual_optimization_has_the_rescaled_rates_too(backend: Backend) -> None:
    _, module, _ = fit(lambda: ByHand("own mean", configure=sgd), lengths(), [data()])
    check_close(values(module), merity()[0])


# ------------------------------------------------------------------------------------------------ programs


class Mean(tbptt.Module):
    """A loss that is the user's own `ops.mean`, through a recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.losses = nn.RNN(1, 2), []

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        features, hiddens = self.rnn(batch, hiddens)
        return {"loss": ops.add(ops.mean(ops.multiply(features, 0.0)), ops.mean(batch)), "hiddens": hiddens}

    def on_window_end(self, outputs: Any, window: Any, window_idx: int) -> None:
        self.losses.append((float(outputs["loss"]), float(np.mean(ops.to_numpy(window)))))

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


def test_a_thousand_windows_of_random_length_are_a_few_programs() -> None:
    x = np.random.default_rng(0).standard_normal((2, 70_000, 1))
    with tbptt.use_backend("tensorflow"):
        _, module, trainer = fit(Mean, RandomLength(70, seed=0), [x], compile="auto", max_steps=1000)
    assert trainer.global_step == len(module.losses) == 1000
    assert trainer.train_step is not None and trainer.train_step.compiled.traces <= 8
    found, expected = np.array(module.losses).T
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
