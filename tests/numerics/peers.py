"""Keras in float64, weights between layouts, and arrays of either engine: what the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch  # noqa: F401  (before TensorFlow)

# isort: split
import keras
import tensorflow as tf

from tbptt import ops

Updates = Sequence[Sequence[np.ndarray]]

BETAS = (0.875, 1 - 2.0**-10)
"""Of Adam; exact in float32, through which Keras takes them even in a float64 run."""


@contextmanager
def float64() -> Iterator[None]:
    """Keras keeps weights, and what it computes learning rates in, in this dtype."""
    before = (
        keras.config.floatx(),
        keras.config.dtype_policy(),
    )  # the policy is made of floatx when it is first asked for
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def array(x: Any) -> np.ndarray:
    """Of a tensor or parameter of ours."""
    return np.array(ops.to_numpy(x))


def close(received: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Equal within `tolerance` of 1 or of the value, whichever is larger."""
    np.testing.assert_allclose(received, expected, rtol=tolerance, atol=tolerance)


def keras_train(
    make: Callable[[], Any],
    starts: Sequence[np.ndarray],
    updates: Updates,
    rates: Sequence[float] | None = None,
    before_update: Callable[[Any, int], None] = lambda optimizer, t: None,
) -> list[np.ndarray]:
    """The variables after all updates; `rates` are the learning rates of each, and `before_update` is told t from 1."""
    with float64():
        optimizer = make()
        variables = [keras.Variable(start, dtype="float64") for start in starts]
        optimizer.build(variables)
        for t, gradients in enumerate(updates, 1):
            if rates is not None:
                optimizer.learning_rate = rates[t - 1]
            before_update(optimizer, t)
            optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        return [variable.value.numpy() for variable in variables]


def keras_gru_order(rows: np.ndarray) -> np.ndarray:
    """Blocks r, z, n as z, r, n."""
    r, z, n = np.split(rows, 3)
    return np.concatenate([z, r, n])
