"""Gradient norms against NumPy, on both engines, and how often the device is asked."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from callbacks.fakes import FakeTrainer, Loop
from tbptt import nn, ops, optim
from tbptt.callbacks import GradientNormMonitor
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend


def handle(parameters: list[Any], gradients: list[Any]) -> Any:
    return SimpleNamespace(parameters=parameters, gradients=gradients)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
def test_norms_are_those_of_numpy(backend: Backend, norm_type: float) -> None:
    loop = Loop(optim.SGD)
    gradients = loop.gradients()
    trainer = FakeTrainer(GradientNormMonitor(norm_type, per_parameter=True), module=loop.module).start()
    trainer("on_before_optimizer_step", handle(loop.module.parameters(), gradients), 0)
    arrays = [ops.to_numpy(gradient).astype("float64").ravel() for gradient in gradients]
    expected = {
        "grad_norm": np.linalg.norm(np.concatenate(arrays), norm_type),
        "grad_norm/weight": np.linalg.norm(arrays[0], norm_type),
        "grad_norm/bias": np.linalg.norm(arrays[1], norm_type),
    }
    [(step, values)] = trainer.logged
    assert step == 0 and values == pytest.approx(expected, rel=1e-6) and list(values) == list(expected)


def test_the_norm_over_all_is_the_one_that_clipping_uses(backend: Backend) -> None:
    loop = Loop(optim.SGD)
    gradients = loop.gradients()
    trainer = FakeTrainer(GradientNormMonitor(), module=loop.module).start()
    trainer("on_before_optimizer_step", handle(loop.module.parameters(), gradients), 0)
    assert trainer.logged[0][1] == {"grad_norm": pytest.approx(float(optim.global_norm(gradients)), rel=1e-6)}


def test_missing_gradients_and_second_optimizers(backend: Backend) -> None:
    module = nn.Linear(1, 1)
    trainer = FakeTrainer(GradientNormMonitor(per_parameter=True), module=module).start()
    trainer("on_before_optimizer_step", handle(module.parameters(), [None, ops.asarray([-3.0])]), 0)
    trainer("on_before_optimizer_step", handle(module.parameters(), [None, ops.asarray([4.0])]), 1)
    trainer("on_before_optimizer_step", handle(module.parameters(), [None, None]), 1)
    assert [values for _, values in trainer.logged] == [
        {"grad_norm": 3.0, "grad_norm/bias": 3.0},
        {"grad_norm-1": 4.0, "grad_norm-1/bias": 4.0},
        {"grad_norm-1": 0.0},
    ]


@pytest.mark.parametrize("norm_type", [2.0, 3.0])
def test_halves_do_not_overflow(backend: Backend, norm_type: float) -> None:
    module = nn.Linear(1, 1)
    gradients = [ops.astype(ops.asarray([[300.0, 400.0]]), "float16"), None]
    trainer = FakeTrainer(GradientNormMonitor(norm_type), module=module).start()
    trainer("on_before_optimizer_step", handle(module.parameters(), gradients), 0)
    assert trainer.logged[0][1]["grad_norm"] == pytest.approx((300**norm_type + 400**norm_type) ** (1 / norm_type))


def test_the_device_is_asked_no_more_often_than_is_logged(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    to_numpy = ops.to_numpy
    monkeypatch.setattr("tbptt.callbacks.gradient_norm.ops.to_numpy", lambda x: fetched.append(x) or to_numpy(x))
    loop = Loop(optim.SGD)
    gradients = loop.gradients()
    trainer = FakeTrainer(GradientNormMonitor(per_parameter=True, every_n_windows=3), module=loop.module).start()
    for _ in range(7):
        trainer("on_before_optimizer_step", handle(loop.module.parameters(), gradients), 0)
        trainer.global_step += 1
    assert [step for step, _ in trainer.logged] == [0, 3, 6]
    assert len(fetched) == 3


@pytest.mark.parametrize("options", [{"norm_type": 0.0}, {"norm_type": -1.0}, {"every_n_windows": 0}])
def test_numbers_out_of_range_are_errors(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        GradientNormMonitor(**options)
