"""NUMERICS' rows on what a loop does with losses and gradients: accumulation, means over windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import tbptt
from numerics.peers import array, close, float64, keras_train
from tbptt import nn, optim
from tbptt.protocols import Backend

# isort: split
import keras

RATE, WINDOW, F, C = 0.5, 4, 3, 5
DRAW = np.random.default_rng(0)
X, Y = DRAW.standard_normal((2, 4 * WINDOW, F)), DRAW.integers(0, C, (2, 4 * WINDOW))
COUNTED = np.where(DRAW.random(Y.shape) < 0.6, Y, -100)
COUNTED[:, WINDOW : 2 * WINDOW] = -100
COUNTED[0, WINDOW] = 2  # a window with one target that counts
QUIET: dict[str, Any] = {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False}


class Head(tbptt.Module):
    """Without a state, so that a window can be written down in a line."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(F, C, bias=False)

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss = nn.functional.cross_entropy(self.linear(batch[0]), batch[1])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss, hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=RATE)


def trained(targets: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray, tbptt.Trainer]:
    """The weight before and after, and the trainer."""
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = Head()
        before = array(model.linear.weight)
        trainer = tbptt.Trainer(truncated_bptt_steps=WINDOW, compile=False, **QUIET, **options)
        trainer.fit(model, [(X, targets)])
        return before, array(model.linear.weight), trainer


def by_hand(weight: np.ndarray, targets: np.ndarray, start: int, steps: int) -> tuple[float, np.ndarray, int]:
    """Mean cross entropy of so many steps, its gradient, and over how many targets it is a mean; in NumPy."""
    x, y = X[:, start : start + steps].reshape(-1, F), targets[:, start : start + steps].ravel()
    x, y = x[y != -100], y[y != -100]
    logits = x @ weight.T
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(chances[np.arange(len(y)), y]).mean()
    return float(loss), (chances - np.eye(C)[y]).T @ x / len(y), len(y)


def test_accumulation_is_a_mean_over_counted_steps_where_torch_sums_and_keras_takes_the_mean(backend: Backend) -> None:
    """Windows that count alike: ours is Keras' mean, and torch's sum of halves."""
    before, after, trainer = trained(Y, accumulate_grad_windows=2)
    assert trainer.global_step == 2
    weight = before
    for start in (0, 2 * WINDOW):
        weight = weight - RATE * by_hand(weight, Y, start, 2 * WINDOW)[1]
    close(after, weight)

    linear = torch.nn.Linear(F, C, bias=False, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(before))
    optimizer = torch.optim.SGD(linear.parameters(), lr=RATE)
    for number in range(4):
        span = slice(number * WINDOW, (number + 1) * WINDOW)
        logits = linear(torch.tensor(X[:, span])).flatten(0, 1)
        (torch.nn.functional.cross_entropy(logits, torch.tensor(Y[:, span].ravel())) / 2).backward()
        if number % 2:
            optimizer.step()
            optimizer.zero_grad()
    close(after, linear.weight.detach().numpy())

    starts = [0, WINDOW]
    gradients = [[by_hand(before, Y, start, WINDOW)[1]] for start in starts]
    (theirs,) = keras_train(lambda: keras.optimizers.SGD(RATE, gradient_accumulation_steps=2), [before], gradients)
    close(theirs, before - RATE * by_hand(before, Y, 0, 2 * WINDOW)[1])


def test_accumulation_weighs_windows_that_count_differently_where_a_mean_of_means_does_not(backend: Backend) -> None:
    before, after, _ = trained(COUNTED, accumulate_grad_windows=2, limit_train_batches=1, max_steps=1)
    _, whole, _ = by_hand(before, COUNTED, 0, 2 * WINDOW)
    close(after, before - RATE * whole)
    halves = [by_hand(before, COUNTED, start, WINDOW) for start in (0, WINDOW)]
    assert halves[0][2] > 1 and halves[1][2] == 1
    (theirs,) = keras_train(
        lambda: keras.optimizers.SGD(RATE, gradient_accumulation_steps=2), [before], [[half[1]] for half in halves]
    )
    assert np.abs(theirs - after).max() > 1e-3
    # the conversion: each mean times its share of what counts, and times the two windows that Keras divides by
    counts = np.array([half[2] for half in halves])
    scaled = [[2 * share * half[1]] for share, half in zip(counts / counts.sum(), halves, strict=True)]
    (theirs,) = keras_train(lambda: keras.optimizers.SGD(RATE, gradient_accumulation_steps=2), [before], scaled)
    close(theirs, after)


def test_mean_over_windows_is_weighted_by_counted_steps_where_keras_has_a_mean_of_means(backend: Backend) -> None:
    weight, _, trainer = trained(COUNTED)
    losses, counts = [], []
    for start in range(0, 4 * WINDOW, WINDOW):
        loss, gradient, count = by_hand(weight, COUNTED, start, WINDOW)
        weight = weight - RATE * gradient
        losses.append(loss)
        counts.append(count)
    received = trainer.callback_metrics["loss"]
    close(received, np.average(losses, weights=counts))
    with float64():
        habit, weighted = keras.metrics.Mean(dtype="float64"), keras.metrics.Mean(dtype="float64")
        for loss, count in zip(losses, counts, strict=True):
            habit.update_state(np.float64(loss))
            weighted.update_state(np.float64(loss), sample_weight=np.float64(count))
        close(received, float(weighted.result()))
        assert abs(float(habit.result()) - received) > 1e-3
