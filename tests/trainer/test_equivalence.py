"""Whole training runs are the same on both engines: what stands beside the matrix of `tests/soak` (layers, optimizers, schedules).

Tolerances and rates are those of the numerics' definition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from tbptt import optim
from trainer.models import CharLM, tokens, train

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "adam, epsilon_hat": lambda p: optim.Adam(p, lr=1e-3, epsilon_hat=True),
    "a rate that falls": lambda p: optim.Adam(p, lr=lambda step: 1e-2 * 0.97**step),
}


def compare(model: Any, windows: int, window: int = 5, dtype: str = "float64") -> tuple[float, float, list[float]]:
    data = [tokens(4, windows * window)]
    (first, before, _), (second, after, _) = (train(e, model, data, window, dtype) for e in ("torch", "tensorflow"))
    assert len(first) == len(second) == windows
    losses = np.abs(np.subtract(first, second)).max()
    return losses, max(np.abs(before[name] - after[name]).max() for name in before), first


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_windows_of_what_the_matrix_has_no_cells_for(name: str) -> None:
    losses, parameters, curve = compare(partial(CharLM, optimizer=OPTIMIZERS[name]), 50)
    assert curve[0] != curve[-1]
    assert losses < 1e-11
    assert parameters < 1e-10


def test_fifty_windows_in_single_precision() -> None:
    losses, _, _ = compare(partial(CharLM, width=64), 50, window=20, dtype="float32")
    assert losses < 1e-4


def test_compiled_and_uncompiled_steps_are_the_same_run() -> None:
    data = [tokens(4, 60)]
    compiled, _, trainer = train("tensorflow", CharLM, data, 5)
    plain, _, eager = train("tensorflow", CharLM, data, 5, compile=False)
    assert trainer.train_step.compiled.road == "tf.function with XLA"
    assert eager.train_step.compiled.road == "eager"
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-12)


def test_value_clipping_is_the_same_on_both_engines() -> None:
    data = [tokens(4, 60)]
    runs = [
        train(e, CharLM, data, 5, gradient_clip_val=0.01, gradient_clip_algorithm="value")[0]
        for e in ("torch", "tensorflow")
    ]
    unclipped = train("torch", CharLM, data, 5, gradient_clip_val=None)[0]
    np.testing.assert_allclose(*runs, rtol=0, atol=1e-11)
    assert np.abs(np.subtract(runs[0], unclipped)).max() > 1e-6
