"""NUMERICS' rows on losses, against Keras; against torch they are in `tests/nn/test_functional.py`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from numerics.peers import array, close, float64
from tbptt import ops
from tbptt.nn import functional
from tbptt.protocols import Backend

# isort: split
import keras

DRAW = np.random.default_rng(0)
LOGITS, TARGETS = 2 * DRAW.standard_normal((3, 5, 7)), DRAW.integers(0, 7, (3, 5))
FROM_LOGITS = {"from_logits": True, "dtype": "float64"}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with float64():
        yield


def test_cross_entropy_from_logits_is_that_of_keras_from_logits(backend: Backend) -> None:
    received = array(functional.cross_entropy(ops.asarray(LOGITS), TARGETS))
    close(received, np.array(keras.losses.SparseCategoricalCrossentropy(**FROM_LOGITS)(TARGETS, LOGITS)))
    smoothed = functional.cross_entropy(ops.asarray(LOGITS), TARGETS, label_smoothing=0.2)
    peer = keras.losses.CategoricalCrossentropy(**FROM_LOGITS, label_smoothing=0.2)
    close(array(smoothed), np.array(peer(np.eye(7)[TARGETS], LOGITS)))


def test_cross_entropy_from_probabilities_is_cut_off_by_keras_and_not_by_ours(backend: Backend) -> None:
    logits, target = np.array([[40.0, 0.0]]), np.array([1])
    close(array(functional.cross_entropy(ops.asarray(logits), target)), 40.0 + np.log1p(np.exp(-40.0)))
    probabilities = np.exp(logits - 40) / np.exp(logits - 40).sum()
    peer = keras.losses.SparseCategoricalCrossentropy(dtype="float64")  # from_logits=False is the default
    assert abs(float(peer(target, probabilities)) + np.log(1e-7)) < 1e-6  # clipped to [1e-7, 1 − 1e-7]


def test_cross_entropy_with_weights_keras_divides_by_how_many_and_ours_by_the_weights(backend: Backend) -> None:
    weight = DRAW.uniform(0.5, 2.0, 7)
    sample_weight = weight[TARGETS]
    received = array(functional.cross_entropy(ops.asarray(LOGITS), TARGETS, ops.asarray(weight)))
    peer = keras.losses.SparseCategoricalCrossentropy(**FROM_LOGITS)(TARGETS, LOGITS, sample_weight=sample_weight)
    assert abs(float(peer) - received) > 1e-3
    close(received * sample_weight.sum() / TARGETS.size, np.array(peer))


def test_cross_entropy_leaves_ignored_targets_out_of_the_mean_and_keras_does_too(backend: Backend) -> None:
    targets = np.where(TARGETS == 3, -1, TARGETS)
    assert (targets == -1).any()
    received = array(functional.cross_entropy(ops.asarray(LOGITS), targets, ignore_index=-1))
    close(
        received, np.array(keras.losses.SparseCategoricalCrossentropy(**FROM_LOGITS, ignore_class=-1)(targets, LOGITS))
    )


def test_elementwise_losses_are_those_of_keras(backend: Backend) -> None:
    x, y = DRAW.standard_normal((2, 4, 6))
    ours, chances = (ops.asarray(x), ops.asarray(y)), 1 / (1 + np.exp(-y))
    entropy = functional.binary_cross_entropy_with_logits(ours[0], ops.asarray(chances))
    pairs = [
        (functional.mse_loss(*ours), keras.losses.MeanSquaredError(dtype="float64")(y, x)),
        (functional.l1_loss(*ours), keras.losses.MeanAbsoluteError(dtype="float64")(y, x)),
        (functional.huber_loss(*ours, delta=0.7), keras.losses.Huber(0.7, dtype="float64")(y, x)),
        (entropy, keras.losses.BinaryCrossentropy(**FROM_LOGITS)(chances, x)),
    ]
    by_hand = [
        np.square(x - y).mean(),
        np.abs(x - y).mean(),
        np.where(np.abs(x - y) <= 0.7, 0.5 * (x - y) ** 2, 0.7 * (np.abs(x - y) - 0.35)).mean(),
        (chances * np.log1p(np.exp(-x)) + (1 - chances) * np.log1p(np.exp(x))).mean(),
    ]
    for (received, peer), expected in zip(pairs, by_hand, strict=True):
        close(array(received), expected)
        close(array(received), np.array(peer))


def test_labels_may_be_any_integers_where_torch_wants_int64(backend: Backend) -> None:
    """Ours by definition: `test_cross_entropy_by_its_definition`."""
    with pytest.raises(RuntimeError, match=r"Long|Int"):
        torch.nn.functional.cross_entropy(torch.tensor(LOGITS[0]), torch.tensor(TARGETS[0].astype("int32")))
    expected = torch.nn.functional.cross_entropy(torch.tensor(LOGITS[0]), torch.tensor(TARGETS[0])).numpy()
    for kind in ("uint8", "int16", "int32", "int64"):
        labels = TARGETS[0].astype(kind)
        close(array(functional.cross_entropy(ops.asarray(LOGITS[0]), labels)), expected)
        close(np.array(keras.losses.SparseCategoricalCrossentropy(**FROM_LOGITS)(labels, LOGITS[0])), expected)
