"""Truncated gradients that can be written down: the scalar linear recurrences, on both engines, with and without the trainer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.protocols import Backend

A, B, ROWS, STEPS = 0.8, 0.5, 3, 23


class LinearRecurrence(tbptt.Module):
    """h_t = a·h_{t−1} + b·x_t, ℓ_t = ½(h_t − y_t)², summed over time and rows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(np.array(A)), nn.Parameter(np.array(B))

    def forward(self, x: Any, h: Any) -> Any:
        h = ops.zeros_like(x[:, 0]) if h is None else h
        states = []
        for t in range(x.shape[1]):
            h = self.a * h + self.b * x[:, t]
            states.append(h)
        return ops.stack(states, axis=1), h

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x, y = batch
        states, hiddens = self(x, hiddens)
        return ops.multiply(ops.sum(ops.square(states - y)), 0.5), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=1e-3)


def data() -> tuple[np.ndarray, np.ndarray]:
    x, y = np.random.default_rng(0).standard_normal((2, ROWS, STEPS))
    return x, y


def closed_form(a: float, b: float, x: np.ndarray, y: np.ndarray, start: np.ndarray) -> tuple[float, float, np.ndarray]:
    """∂h_t/∂a = Σ_i a^(t−i) h_(i−1), ∂h_t/∂b = Σ_i a^(t−i) x_i over the window; gradient Σ e_t of that; and the last state."""
    h = np.empty((ROWS, x.shape[1] + 1))
    h[:, 0] = start
    for t in range(x.shape[1]):
        h[:, t + 1] = a * h[:, t] + b * x[:, t]
    gradient_a = gradient_b = 0.0
    for t in range(1, x.shape[1] + 1):
        powers = a ** np.arange(t - 1, -1, -1.0)
        error = h[:, t] - y[:, t - 1]
        gradient_a += float(error @ (h[:, :t] @ powers))
        gradient_b += float(error @ (x[:, :t] @ powers))
    return gradient_a, gradient_b, h[:, -1]


@pytest.mark.parametrize("window", [1, 3, 7, STEPS, 100])
def test_gradients_of_an_own_loop_equal_the_closed_form(backend: Backend, window: int) -> None:
    x, y = data()
    with tbptt.dtypes.dtype_scope("float64"):
        model = LinearRecurrence()
    state, start = None, np.zeros(ROWS)
    for begin, piece in zip(range(0, STEPS, window), tbptt.windows((x, y), window), strict=True):
        with tbptt.GradientTape() as tape:
            loss, state = model.training_step(piece, 0, state)
        found = [float(g) for g in tape.gradient(loss, model.parameters())]
        state = tbptt.detach(state)
        *expected, start = closed_form(A, B, x[:, begin : begin + window], y[:, begin : begin + window], start)
        np.testing.assert_allclose(found, expected, rtol=1e-11)
        np.testing.assert_allclose(ops.to_numpy(state), start, rtol=1e-13)


@pytest.mark.parametrize("window", [1, 5, STEPS])
def test_updates_of_the_trainer_equal_the_closed_form(backend: Backend, window: int) -> None:
    x, y = data()
    with tbptt.dtypes.dtype_scope("float64"):
        model = LinearRecurrence()
    trainer = tbptt.Trainer(max_epochs=1, truncated_bptt_steps=window, enable_progress_bar=False)
    trainer.fit(model, [(x, y)])
    a, b, start = A, B, np.zeros(ROWS)
    for begin in range(0, STEPS, window):
        gradient_a, gradient_b, start = closed_form(
            a, b, x[:, begin : begin + window], y[:, begin : begin + window], start
        )
        a, b = a - 1e-3 * gradient_a, b - 1e-3 * gradient_b
    np.testing.assert_allclose([float(ops.to_numpy(p)) for p in model.parameters()], [a, b], rtol=1e-12)
    assert trainer.global_step == -(-STEPS // window)


def test_one_parameter_times_the_state_before(backend: Backend) -> None:
    """h_t = w·h_{t−1}, h_0 = 0.9, w = 0.2, loss h_t, windows of one step: the updates' gradients are the states before."""
    with tbptt.dtypes.dtype_scope("float64"):
        w = nn.Parameter(np.array(0.2))
    h = ops.asarray(np.array([[0.9]]))
    for expected in (0.9, 0.18, 0.036):
        with tbptt.GradientTape() as tape:
            h = w * h
        np.testing.assert_allclose(float(tape.gradient(h, w)), expected, rtol=1e-14)
        h = tbptt.detach(h)


def test_windows_with_a_rate_of_zero_pass_through_the_states_of_one_run(backend: Backend) -> None:
    """The state after the last window is the state of an un-windowed run, for a real recurrent layer."""
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        lstm = nn.LSTM(2, 6, num_layers=2)
    x = np.random.default_rng(0).standard_normal((3, 40, 2))
    whole, final = lstm(ops.asarray(x))
    state, pieces = None, []
    for piece in tbptt.windows(x, 7):
        outputs, state = lstm(piece, state)
        pieces.append(ops.to_numpy(tbptt.stop_gradient(outputs)))
        state = tbptt.detach(state)
    np.testing.assert_allclose(np.concatenate(pieces, 1), ops.to_numpy(tbptt.stop_gradient(whole)), rtol=1e-12)
    for ours, theirs in zip(state, final, strict=True):
        np.testing.assert_allclose(ops.to_numpy(ours), ops.to_numpy(tbptt.stop_gradient(theirs)), rtol=1e-12)
