"""Which rates are logged, under which names, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from callbacks.fakes import FakeTrainer, optimizer_of
from tbptt import nn, optim
from tbptt.callbacks import LearningRateMonitor
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend


def logged(optimizers: list[Any], *arguments: Any, **options: Any) -> dict[str, float]:
    trainer = FakeTrainer(LearningRateMonitor(*arguments, **options), optimizers=optimizers).start()
    trainer.epoch()
    assert len(trainer.logged) == 1
    return trainer.logged[0][1]


def test_names_are_lightnings() -> None:
    assert logged([optimizer_of("Adam", 0.1)]) == {"lr-Adam": 0.1}
    assert logged([optimizer_of("SGD", 0.1, groups=2)]) == {"lr-SGD/pg1": 0.1, "lr-SGD/pg2": 0.2}
    several = [
        optimizer_of("Adam", 0.1),
        optimizer_of("SGD", 0.2),
        optimizer_of("Adam", 0.3),
        optimizer_of("Adam", 0.4),
    ]
    assert logged(several) == {"lr-Adam": 0.1, "lr-SGD": 0.2, "lr-Adam-1": 0.3, "lr-Adam-2": 0.4}


def test_momentum_is_logged_if_asked_for() -> None:
    optimizers = [
        optimizer_of("Adam", 0.1, betas=(0.9, 0.99)),
        optimizer_of("SGD", 0.1, momentum=0.5),
        optimizer_of("Adagrad", 0.1),
    ]
    values = logged(optimizers, log_momentum=True)
    assert {name: value for name, value in values.items() if "momentum" in name} == {
        "lr-Adam-momentum": 0.9,
        "lr-SGD-momentum": 0.5,
        "lr-Adagrad-momentum": 0.0,
    }


@pytest.mark.parametrize(
    ("interval", "steps"), [("epoch", [0, 3]), ("window", [0, 1, 2, 3, 4, 5]), (None, [0, 1, 3, 4, 5])]
)
def test_it_is_logged_when_it_is_to_be(interval: Any, steps: list[int]) -> None:
    optimizer = optimizer_of("Adam")
    trainer = FakeTrainer(LearningRateMonitor(interval), optimizers=[optimizer]).start()
    rates = iter([0.1, 0.2, 0.2, 0.3, 0.4, 0.5])  # of windows 0 to 5: the third is as the second
    for _ in range(2):
        trainer("on_train_epoch_start")
        for _ in range(3):
            optimizer.param_groups[0]["lr"] = next(rates)
            trainer.window()
    assert [step for step, _ in trainer.logged] == steps


def test_a_rate_that_is_a_function_is_logged_as_its_value(backend: Backend) -> None:
    optimizer = optim.Adam([nn.Parameter(np.zeros(2))], lr=lambda step: 0.5**step)
    trainer = FakeTrainer(LearningRateMonitor("window"), optimizers=[optimizer]).start()
    trainer.window()
    optimizer.advance()
    trainer.window()
    assert [values for _, values in trainer.logged] == [{"lr-Adam": 1.0}, {"lr-Adam": 0.5}]


def test_another_interval_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="logging_interval must be 'window'"):
        LearningRateMonitor("step")  # type: ignore[arg-type]
