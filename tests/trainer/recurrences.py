"""Linear recurrences whose truncated gradients can be written down, the oracle that does so, and what updates see of them.

Shapes: B rows, T steps, N units of the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import tbptt
from tbptt import nn, ops, optim
from tbptt.nn.functional import mse_loss

ROWS, STEPS = 3, 23
SCALAR = np.array([[0.8]]), np.array([0.5])
MATRIX = np.array([[0.7, 0.2, 0.0], [-0.3, 0.5, 0.4], [0.1, -0.2, 0.6]]), np.array([0.5, -1.0, 0.3])

LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda states, y: ops.multiply(ops.sum(ops.square(states - y)), 0.5),
    "own mean": lambda states, y: ops.mean(ops.square(states - y)),
    "noted mean": lambda states, y: mse_loss(states, y),
    "sum over time": lambda states, y: ops.sum(ops.mean(ops.square(states - y), axis=(0, 2))),
    "noted sum": lambda states, y: mse_loss(states, y, reduction="sum"),
}


def factor(loss: str, steps: float, rows: int = ROWS, units: int = 3) -> float:
    """Of such a loss over so many steps against ½ Σ (h − y)²."""
    sums = {"sum": 1.0, "noted sum": 2.0, "sum over time": 2 / (rows * units)}
    return sums[loss] if loss in sums else 2 / (rows * units * steps)


class Recurrence(tbptt.Module):
    """h_t = A h_(t−1) + b x_t from a given h_0; the loss compares every h_t with y_t."""

    def __init__(
        self,
        loss: str = "sum",
        weights: tuple[np.ndarray, np.ndarray] = MATRIX,
        configure: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(weights[0].copy()), nn.Parameter(weights[1].copy())
        self.loss = LOSSES[loss]
        self.configure = configure or (lambda module: optim.SGD(module.parameters(), lr=0.0))
        self.calls: list[int] = []
        """Steps of each call."""

    def initial_state(self, batch_size: int) -> Any:
        return ops.asarray(first_state(batch_size, self.b.shape[0]))

    def forward(self, x: Any, h: Any) -> Any:
        states = []
        for t in range(x.shape[1]):
            h = ops.matmul(h, ops.permute_dims(self.a, (1, 0))) + x[:, t, None] * self.b
            states.append(h)
        return ops.stack(states, axis=1), h

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x, y = batch
        self.calls.append(x.shape[1])
        states, hiddens = self(x, hiddens)
        self.log("x", ops.mean(x), on_step=False, on_epoch=True)
        return {"loss": self.loss(states, y), "hiddens": hiddens}

    def configure_optimizers(self) -> Any:
        return self.configure(self)


def first_state(rows: int = ROWS, units: int = 3) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((rows, units))


def data(rows: int = ROWS, steps: int = STEPS, units: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """x (B, T) and y (B, T, N)."""
    draw = np.random.default_rng(0)
    return draw.standard_normal((rows, steps)), draw.standard_normal((rows, steps, units))


class Truth(NamedTuple):
    """Of a run of some steps."""

    gradient: list[np.ndarray]
    """Of ½ Σ (h_t − y_t)² with respect to A and b."""
    states: np.ndarray
    """(B, T + 1, N): the one that enters, and that after every step."""


def closed_form(
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    losses: int = 0,
    reach: int = 0,
    factors: Mapping[int, float] | None = None,
) -> Truth:
    """∂h_t/∂A and ∂h_t/∂b as sums over A^(t−i), for the steps i that the gradient reaches, each with its weight.

    Args:
        weights: A and b.
        x, y: of the steps of this run.
        start: the state that enters, which is a constant.
        losses: first step (from 0) whose loss counts.
        reach: first step the gradient flows through.
        factors: what the gradient is multiplied by at the front of a step.
    """
    a, b = weights
    steps, factors = x.shape[1], factors or {}
    h = np.empty((len(x), steps + 1, len(b)))
    h[:, 0] = start
    for t in range(steps):
        h[:, t + 1] = h[:, t] @ a.T + x[:, t, None] * b
    powers = [np.linalg.matrix_power(a, n) for n in range(steps)]
    of_a, of_b = np.zeros_like(a), np.zeros_like(b)
    for t in range(losses, steps):
        error = h[:, t + 1] - y[:, t]
        for i in range(reach, t + 1):
            weight = np.prod([factors.get(step, 1.0) for step in range(i + 1, t + 1)])
            into_i = weight * error @ powers[t - i]
            of_a += into_i.T @ h[:, i]
            of_b += into_i.T @ x[:, i]
    return Truth([of_a, of_b], h)


def full_gradient(loss: str = "sum", steps: int = STEPS, units: int = 3) -> list[np.ndarray]:
    """Of the whole sequence; a mean is over all of it."""
    x, y = data(steps=steps, units=units)
    weights = MATRIX if units == 3 else SCALAR
    found = closed_form(weights, x, y, first_state(units=units)).gradient
    return [factor(loss, steps, units=units) * gradient for gradient in found]


class Updates(tbptt.Callback):
    """The gradients that each update is given, and the batch it was made in."""

    def __init__(self) -> None:
        self.gradients: list[list[np.ndarray]] = []
        self.batches: list[int] = []
        self.losses: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any, optimizer_idx: int) -> None:
        self.gradients.append([np.array(ops.to_numpy(gradient)) for gradient in optimizer.gradients])
        self.batches.append(trainer.batch_idx)

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))

    def total(self) -> list[np.ndarray]:
        """Of all updates."""
        return [np.sum(each, axis=0) for each in zip(*self.gradients, strict=True)]


def fit(module: Callable[[], Any], schedule: Any, batches: Any, **options: Any) -> tuple[Updates, Any, tbptt.Trainer]:
    """Train a fresh float64 module; the updates' gradients, the module and the trainer."""
    updates = Updates()
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        made = module()
    trainer = tbptt.Trainer(
        **{
            "max_epochs": 1,
            "truncated_bptt_steps": schedule,
            "compile": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
            "callbacks": [updates, *options.get("callbacks", ())],
        }
    )
    trainer.fit(made, batches)
    return updates, made, trainer


def values(module: Any) -> list[np.ndarray]:
    """Of the parameters, copied."""
    return [np.array(ops.to_numpy(parameter)) for parameter in module.parameters()]


def check_close(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float = 1e-11) -> None:
    """Each array to a relative tolerance of its largest entry."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())
