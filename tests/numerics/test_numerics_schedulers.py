"""NUMERICS' rows on learning rates, against the schedules of Keras; those of torch are in `tests/optim/test_lr_scheduler.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numerics.peers import close, float64
from tbptt import optim
from tbptt.optim import lr_scheduler
from tbptt.protocols import Backend

# isort: split
import keras

RATE, STEPS = np.float64(0.3), 60  # a float64 of NumPy, because Keras takes numbers of Python through float32
KERAS = keras.optimizers.schedules


def optimizer(backend: Backend) -> optim.Optimizer:
    return optim.SGD([backend.tensors.parameter(np.ones(2))], lr=RATE)


def rates(backend: Backend, make: Any) -> list[float]:
    """The rate of each update, from the first."""
    held = optimizer(backend)
    scheduler = make(held)
    found = []
    for _ in range(STEPS):
        found.append(held.lr)
        scheduler.step()
    return found


def theirs(schedule: Any) -> list[float]:
    """The rate Keras takes for the update before which so many have been done."""
    with float64():
        return [float(schedule(step)) for step in range(STEPS)]


def test_multi_step_changes_at_the_milestone_and_keras_one_step_later(backend: Backend) -> None:
    received = rates(backend, lambda o: lr_scheduler.MultiStepLR(o, [10, 40], gamma=0.5))
    close(received, [RATE * 0.5 ** ((t >= 10) + (t >= 40)) for t in range(STEPS)])
    values = [RATE, RATE / 2, RATE / 4]
    same_numbers = theirs(KERAS.PiecewiseConstantDecay([10, 40], values))
    assert [t for t in range(STEPS) if abs(same_numbers[t] - received[t]) > 1e-9] == [10, 40]
    close(received, theirs(KERAS.PiecewiseConstantDecay([9, 39], values)))


# Keras reads the rate of its own optimizer by NumPy's older protocol
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("patience", [1, 3])
def test_a_plateau_of_keras_is_acted_on_one_bad_step_earlier(backend: Backend, patience: int) -> None:
    """And its threshold is absolute. So patience + 1 there is patience here, and threshold_mode="abs"."""
    metrics = np.abs(np.cumsum(np.random.default_rng(3).normal(size=STEPS)))

    def ours(patience: int) -> list[float]:
        held = optimizer(backend)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            held, factor=0.5, patience=patience, threshold=0.1, threshold_mode="abs", eps=0.0
        )
        found = []
        for metric in metrics:
            scheduler.step(metric)
            found.append(held.lr)
        return found

    def keras_rates(patience: int) -> list[float]:
        with float64():
            callback = keras.callbacks.ReduceLROnPlateau(
                "loss", factor=0.5, patience=patience, min_delta=0.1, mode="min"
            )
            held = keras.optimizers.SGD(RATE)
            callback.set_model(SimpleNamespace(optimizer=held))
            callback.on_train_begin()
            found = []
            for epoch, metric in enumerate(metrics):
                callback.on_epoch_end(epoch, {"loss": metric})
                found.append(float(held.learning_rate.value.numpy()))
        return found

    received = ours(patience)
    assert len(set(received)) > 3
    close(received, keras_rates(patience + 1))
    assert np.abs(np.subtract(received, keras_rates(patience))).max() > 1e-3


def test_exponential_takes_the_factor_of_a_step_and_keras_that_of_many(backend: Backend) -> None:
    received = rates(backend, lambda o: lr_scheduler.ExponentialLR(o, gamma=0.5 ** (1 / 20)))
    close(received, [RATE * 0.5 ** (t / 20) for t in range(STEPS)])
    close(received, theirs(KERAS.ExponentialDecay(RATE, decay_steps=20, decay_rate=0.5)))


def test_cosine_rises_again_and_ends_at_a_rate_where_keras_stays_and_takes_a_fraction(backend: Backend) -> None:
    received = rates(backend, lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=25, eta_min=0.1 * RATE))
    close(received, [RATE * (0.1 + 0.9 * (1 + np.cos(np.pi * t / 25)) / 2) for t in range(STEPS)])
    expected = theirs(KERAS.CosineDecay(RATE, decay_steps=25, alpha=0.1))
    close(received[:26], expected[:26])
    close(expected[25:], np.full(STEPS - 25, 0.1 * RATE))
    close(received[50], RATE)
