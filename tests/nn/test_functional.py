"""Losses and metrics against independent NumPy definitions and against torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import counting, ops
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.nn import functional
from tbptt.protocols import Backend

DRAW = np.random.default_rng(0)
LOGITS = DRAW.standard_normal((3, 5, 7))
TARGETS = DRAW.integers(0, 7, (3, 5))
WEIGHT = DRAW.uniform(0.5, 2.0, 7)
INPUTS, OTHERS = DRAW.standard_normal((2, 4, 6))
PEER = torch.nn.functional


def value(x: Any) -> np.ndarray:
    return np.asarray(ops.to_numpy(x))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [-100, 3])
def test_cross_entropy_is_torchs_with_the_classes_last(
    backend: Backend, reduction: Any, smoothing: float, weighted: bool, ignored: int
) -> None:
    weight = WEIGHT if weighted else None
    ours = functional.cross_entropy(
        ops.asarray(LOGITS),
        ops.asarray(TARGETS),
        None if weight is None else ops.asarray(weight),
        ignore_index=ignored,
        label_smoothing=smoothing,
        reduction=reduction,
    )
    theirs = PEER.cross_entropy(
        torch.from_numpy(LOGITS).movedim(-1, 1),
        torch.from_numpy(TARGETS),
        None if weight is None else torch.from_numpy(weight),
        ignore_index=ignored,
        label_smoothing=smoothing,
        reduction=reduction,
    )
    np.testing.assert_allclose(value(ours), theirs.numpy(), rtol=1e-12)


def test_cross_entropy_by_its_definition(backend: Backend) -> None:
    shifted = LOGITS - LOGITS.max(-1, keepdims=True)
    probabilities = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(probabilities, TARGETS[..., None], -1)).mean()
    for kind in ("int32", "int64", "uint8"):
        loss = functional.cross_entropy(ops.asarray(LOGITS), TARGETS.astype(kind))
        np.testing.assert_allclose(value(loss), expected, rtol=1e-12)


def test_cross_entropy_stays_finite_for_logits_that_exp_cannot_hold(backend: Backend) -> None:
    loss = functional.cross_entropy(ops.asarray(np.array([[1e4, 0.0]])), np.array([1]))
    np.testing.assert_allclose(value(loss), 1e4)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_elementwise_losses_are_torchs(backend: Backend, reduction: Any) -> None:
    x, y = ops.asarray(INPUTS), ops.asarray(OTHERS)
    tx, ty = torch.from_numpy(INPUTS), torch.from_numpy(OTHERS)
    chances, factor = 1 / (1 + np.exp(-OTHERS)), np.abs(OTHERS[0])
    pairs = [
        (functional.mse_loss(x, y, reduction), PEER.mse_loss(tx, ty, reduction=reduction)),
        (functional.l1_loss(x, y, reduction), PEER.l1_loss(tx, ty, reduction=reduction)),
        (functional.huber_loss(x, y, reduction, delta=0.7), PEER.huber_loss(tx, ty, reduction=reduction, delta=0.7)),
        (
            functional.binary_cross_entropy_with_logits(
                x, ops.asarray(chances), pos_weight=ops.asarray(factor), reduction=reduction
            ),
            PEER.binary_cross_entropy_with_logits(
                tx, torch.from_numpy(chances), pos_weight=torch.from_numpy(factor), reduction=reduction
            ),
        ),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(value(ours), theirs.numpy(), rtol=1e-12, atol=1e-14)


def test_metrics_count_only_what_counts(backend: Backend) -> None:
    targets = np.where(TARGETS == 3, -100, TARGETS)
    counted = targets != -100
    expected = (LOGITS.argmax(-1) == targets)[counted].mean()
    np.testing.assert_allclose(value(functional.accuracy(ops.asarray(LOGITS), targets)), expected)
    loss = functional.cross_entropy(ops.asarray(LOGITS), targets)
    np.testing.assert_allclose(
        value(functional.perplexity(ops.asarray(LOGITS), targets)), np.exp(value(loss)), rtol=1e-14
    )


def test_a_mean_remembers_over_how_many_elements_it_was_taken(backend: Backend) -> None:
    targets = np.where(TARGETS == 3, -100, TARGETS)
    with counting.recording():
        loss = functional.cross_entropy(ops.asarray(LOGITS), targets)
        assert float(counting.count_of(loss)) == (targets != -100).sum()
        assert counting.count_of(ops.multiply(loss, 2.0)) is None


def test_gradients_ignore_what_is_ignored_even_where_it_is_not_finite(backend: Backend) -> None:
    logits = LOGITS.copy()
    targets = np.where(TARGETS == 3, -100, TARGETS)
    x = ops.asarray(logits)
    with tbptt.GradientTape() as tape:
        tape.watch(x)
        loss = functional.cross_entropy(x, targets)
    gradient = value(tape.gradient(loss, x))
    assert np.array_equal(gradient[targets == -100], np.zeros_like(gradient[targets == -100]))
    tx = torch.from_numpy(logits).requires_grad_()
    PEER.cross_entropy(tx.movedim(-1, 1), torch.from_numpy(targets)).backward()
    np.testing.assert_allclose(gradient, tx.grad.numpy(), rtol=1e-11, atol=1e-15)


def test_shapes_that_would_broadcast_are_refused(backend: Backend) -> None:
    with pytest.raises(ShapeError, match="differ in shape"):
        functional.mse_loss(ops.zeros((4, 1)), ops.zeros((4,)))
    with pytest.raises(ShapeError, match="class axis is the last one"):
        functional.cross_entropy(ops.zeros((2, 7, 5)), np.zeros((2, 5), int))
    with pytest.raises(ConfigurationError, match="'mean', 'sum' or 'none'"):
        functional.l1_loss(ops.zeros(2), ops.zeros(2), "average")  # type: ignore[arg-type]


def test_a_mean_over_nothing_has_no_gradient(backend: Backend) -> None:
    """So that a window whose targets are all padding leaves the parameters as they are."""
    logits = tbptt.nn.Parameter(np.ones((2, 3, 4)))
    with tbptt.GradientTape() as tape:
        loss = functional.cross_entropy(logits * 2.0, np.full((2, 3), -100))
    assert np.isnan(value(tbptt.stop_gradient(loss)))
    assert not np.any(ops.to_numpy(tape.gradient(loss, logits)))
