"""`Adaptive` through the trainer: K for a decay that is known, what is logged, and that measuring changes nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import optim
from tbptt.protocols import Backend
from tbptt.schedules import Adaptive, Fixed
from trainer.models import CharLM, tokens
from trainer.recurrences import Recurrence, check_close, data, fit, values

DELTAS = [0.9, 0.5, 0.1, 0.01]


class Measured(Adaptive):
    """One that remembers what it was told."""

    def learn(self, measurements: Any) -> None:
        self.told = measurements
        super().learn(measurements)


def ideal(delta: float, a: float) -> int:
    """⌈ln δ / ln a⌉, where rounding does not make 1.0000000001 of 1."""
    return max(1, math.ceil(round(math.log(delta) / math.log(a), 9)))


def measure(a: float, delta: float = 0.9, **options: Any) -> Any:
    schedule = Measured(delta, min=1, max=100, steps=110, warm_up=5, samples=1, seed=0)
    weights = np.array([[a]]), np.array([0.5])
    _, _, trainer = fit(lambda: Recurrence("sum", weights), schedule, [data(2, 130, 1)], max_steps=1, **options)
    return schedule, trainer


@pytest.mark.parametrize("a", [0.5, 0.8, 0.9, 0.95])
def test_k_is_what_the_decay_asks_for(backend: Backend, a: float) -> None:
    schedule, trainer = measure(a)
    norms = schedule.told[0].norms
    np.testing.assert_allclose(norms[1:40] / norms[:39], a, rtol=1e-9)
    assert trainer.callback_metrics["truncation_ratio"] == pytest.approx(a, rel=1e-6)
    assert trainer.callback_metrics["truncation_K"] == schedule.k
    assert trainer.callback_metrics["truncation_delta"] == schedule.bias
    for delta in DELTAS:
        again = Adaptive(delta, min=1, max=100, steps=110, warm_up=5)
        again.learn(schedule.told)
        assert abs(again.k - ideal(delta, a)) <= 1, delta
        assert again.bias is not None and again.bias < delta


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("a", [0.5, 0.9])
def test_windows_are_as_long_as_k_says(a: float, delta: float) -> None:
    """The first window of the sequence has K steps already."""
    with tbptt.use_backend("torch"):
        schedule, trainer = measure(a, delta)
        lengths: list[int] = []

        class Lengths(tbptt.Callback):
            def on_window_start(self, trainer: Any, module: Any, window: Any, window_idx: int) -> None:
                lengths.append(window[0].shape[1])

        fit(Recurrence, Fixed(5), [data(steps=10)], callbacks=[Lengths()])
        assert lengths == [5, 5]
        lengths.clear()
        weights = np.array([[a]]), np.array([0.5])
        again = Adaptive(delta, min=1, max=100, steps=110, warm_up=5, samples=1, seed=0)
        fit(lambda: Recurrence("sum", weights), again, [data(2, 130, 1)], max_steps=1, callbacks=[Lengths()])
    assert lengths[0] == again.k == schedule.k == trainer.callback_metrics["truncation_K"]
    assert abs(again.k - ideal(delta, a)) <= 1


def test_measuring_changes_nothing_that_training_depends_on(backend: Backend) -> None:
    """With K held at 3 the run is that of Fixed(3, 5) to the bit, though every second window is preceded by measurements."""

    def run(schedule: Any) -> tuple[list[float], list[np.ndarray], Any]:
        updates, module, trainer = fit(
            lambda: CharLM(width=4, dropout=0.3, optimizer=lambda p: optim.Adam(p, lr=0.02)),
            schedule,
            [tokens(2, 14)],
        )
        return updates.losses, values(module), trainer

    losses, weights, trainer = run(Adaptive(0.5, min=3, max=3, every=2, steps=5, warm_up=2, samples=2, seed=0))
    expected_losses, expected_weights, expected_trainer = run(Fixed(3, 5))
    assert losses == expected_losses
    for found, expected in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert trainer.global_step == expected_trainer.global_step
    assert trainer.callback_metrics["train_loss"] == expected_trainer.callback_metrics["train_loss"]
    assert trainer.callback_metrics["truncation_K"] == 3


class Drops(Recurrence):
    """torch's own dropout and batch norm, and a draw of torch's that no module makes."""

    def __init__(self, with_modules: bool) -> None:
        super().__init__("noted mean", configure=lambda module: optim.SGD(module.parameters(), lr=0.01))
        self.parts = [torch.nn.Dropout(0.3), torch.nn.BatchNorm1d(3).double()] if with_modules else []

    def forward(self, x: Any, h: Any) -> Any:
        states, h = super().forward(x, h)
        for part in self.parts:
            states = part(states.flatten(0, 1)).reshape(states.shape)
        return states + 0.1 * torch.rand(()), h


@pytest.mark.parametrize("with_modules", [True, False])
def test_measuring_leaves_torchs_generator_and_statistics_alone(with_modules: bool) -> None:
    found = []
    for schedule in (Adaptive(0.5, min=3, max=3, every=2, steps=5, warm_up=2, samples=2, seed=0), Fixed(3, 5)):
        with tbptt.use_backend("torch"):
            updates, module, _ = fit(lambda: Drops(with_modules), schedule, [data(steps=16)])
        buffers = [buffer.numpy() for part in module.parts for buffer in part.buffers()]
        found.append((updates.losses, [*values(module), *buffers, torch.get_rng_state().numpy()]))
    (losses, arrays), (expected_losses, expected_arrays) = found
    assert losses == expected_losses
    for one, other in zip(arrays, expected_arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_measurements_in_compiled_programs() -> None:
    """Steps of one, so that there are two programs."""
    found = []
    for engine, compile in (("torch", False), ("tensorflow", "auto")):
        with tbptt.use_backend(engine):
            schedule = Measured(0.5, min=1, max=10, steps=20, warm_up=1, samples=2, seed=0)
            weights = np.array([[0.6]]), np.array([0.5])
            fit(lambda w=weights: Recurrence("sum", w), schedule, [data(2, 30, 1)], max_steps=1, compile=compile)
            found.append((schedule.k, schedule.told))
    (k, told), (expected_k, expected) = found
    assert k == expected_k
    for one, other in zip(told, expected, strict=True):
        check_close(one, other)


def test_a_first_k_of_ones_own_holds_until_the_first_measurement() -> None:
    starts: list[tuple[int, int]] = []

    class Starts(tbptt.Callback):
        def on_window_start(self, trainer: Any, module: Any, window: Any, window_idx: int) -> None:
            starts.append((window[0].shape[1], schedule.told is not None))

    schedule = Measured(0.1, min=1, max=20, every=4, steps=20, warm_up=5, samples=1, start=6, seed=0)
    schedule.told = None
    with tbptt.use_backend("torch"):
        weights = np.array([[0.5]]), np.array([0.5])
        fit(lambda: Recurrence("sum", weights), schedule, [data(2, 60, 1)], callbacks=[Starts()])
    # the window after the measurement had been planned before it
    assert starts[:7] == [(6, False)] * 4 + [(6, True), (4, True), (4, True)]


def test_rows_that_disagree_make_the_mean_over_rows_smaller_and_k_larger(backend: Backend) -> None:
    """Two rows whose errors are e and −e/2: each row's own sum is right for ⌈ln δ / ln a⌉, their mean is a third of theirs."""
    a = 0.8
    x, y = (
        np.ones((2, 90)),
        np.ones((2, 90, 1)) * np.array([4.5, 1.5])[:, None, None],
    )  # the state settles at 0.5/(1 − a) = 2.5
    found = {}
    for cumulative in ("rows", "mean"):
        schedule = Measured(0.1, min=1, max=60, steps=60, warm_up=30, samples=1, cumulative=cumulative, seed=0)  # type: ignore[arg-type]
        weights = np.array([[a]]), np.array([0.5])
        fit(lambda weights=weights: Recurrence("sum", weights), schedule, [(x, y)], max_steps=1)
        found[cumulative] = schedule.k
    assert abs(found["rows"] - ideal(0.1, a)) <= 1
    assert abs(found["mean"] - ideal(0.1 / 3, a)) <= 1  # the bound is relative to a third: |−2 + 1| / (|−2| + |1|)
