"""A scalar linear recurrence whose state is carried, what updates see of its gradients, and the oracle of any plan with resets.

h_t = a·h_(t−1) + b·x_t and ℓ_t = ½ Σ_rows (h_t − y_t)², with a learning rate of zero: states are those of one run over all steps.
Shapes: B rows, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import tbptt
from tbptt import nn, ops, optim
from tbptt.schedules import Schedule, as_schedule
from tbptt.schedules.base import preview

A, B, ROWS, STEPS = 0.8, 0.5, 3, 23


class Carrying(tbptt.Module):
    """The recurrence; batches are dicts (or whatever `read` takes apart) of x and y, (B, T).

    Args:
        initial: its ``initial_state``; None: it has none, and begins from zeros.
        read: x and y of a batch.
    """

    def __init__(
        self, initial: Any = None, read: Callable[[Any], Any] = lambda batch: (batch["x"], batch["y"])
    ) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(np.array(A)), nn.Parameter(np.array(B))
        if initial is not None:
            self.initial_state = initial
        self.read, self.steps = read, list[int]()

    def forward(self, x: Any, h: Any = None) -> Any:
        h = ops.zeros_like(x[:, 0:1]) if h is None else h
        states = []
        for t in range(x.shape[1]):
            h = self.a * h + self.b * x[:, t : t + 1]
            states.append(h)
        return ops.concat(states, axis=1), h

    def loss(self, batch: Any, hiddens: Any) -> Any:
        x, y = self.read(batch)
        states, hiddens = self(x, hiddens)
        return ops.multiply(ops.sum(ops.square(states - y)), 0.5), hiddens

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        self.steps.append(int(self.read(batch)[0].shape[1]))
        return self.loss(batch, hiddens)

    def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.loss(batch, hiddens)
        self.log("total", loss, reduce_fx="sum")
        return loss, hiddens

    def predict_step(self, batch: Any, batch_idx: int, hiddens: Any = None) -> Any:
        return self(self.read(batch)[0], hiddens)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


class Gradients(tbptt.Callback):
    """Of every update the gradients of all parameters, zeros where nothing depends on one."""

    def __init__(self) -> None:
        self.values: list[list[np.ndarray]] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any, optimizer_idx: int) -> None:
        pairs = zip(optimizer.gradients, module.parameters(), strict=True)
        self.values.append(
            [
                np.zeros(tuple(p.shape)) if gradient is None else np.array(ops.to_numpy(gradient))
                for gradient, p in pairs
            ]
        )


def quiet(schedule: Any = None, **options: Any) -> tbptt.Trainer:
    """A trainer that says nothing and compiles nothing."""
    said = {"enable_progress_bar": False, "enable_model_summary": False, "compile": False, "max_epochs": 1}
    return tbptt.Trainer(**{**said, "truncated_bptt_steps": schedule, **options})


def gradients(make: Callable[[], Any], batches: Any, schedule: Any = None, **options: Any) -> list[list[np.ndarray]]:
    """Of a fresh float64 model: of every update the gradients of its parameters."""
    with tbptt.dtypes.dtype_scope("float64"):
        module = make()
    watcher = Gradients()
    callbacks = [watcher, *options.pop("callbacks", ())]
    quiet(schedule, callbacks=callbacks, **options).fit(module, batches, options.pop("validation", None))
    return watcher.values


def numbers(values: Iterable[Iterable[np.ndarray]]) -> np.ndarray:
    """Gradients of parameters of one element, as (updates, parameters)."""
    return np.array([[float(value.reshape(())) for value in update] for update in values])


def data(seed: int = 0, rows: int = ROWS, steps: int = STEPS) -> dict[str, np.ndarray]:
    x, y = np.random.default_rng(seed).standard_normal((2, rows, steps))
    return {"x": x, "y": y}


def resets(rows: int = ROWS, steps: int = STEPS) -> np.ndarray:
    """Rows begin anew one by one and together, at the front of windows of 5 and inside them, twice running, at both ends; from
    step 11 to 18 none does.
    """
    mask = np.zeros((rows, steps), bool)
    for row, step in ((0, 0), (0, 3), (1, 3), (2, 4), (1, 5), (1, 6), (0, 10), (2, steps - 1), (0, 19)):
        mask[row, step] = True
    return mask


def states_before(x: np.ndarray, mask: np.ndarray, h_0: float | np.ndarray = 0.0) -> np.ndarray:
    """The state as it enters every step (B, T), and behind the last one: (B, T + 1)."""
    rows, steps = x.shape
    first = np.broadcast_to(np.asarray(h_0, dtype=float), (rows,))
    entering = np.empty((rows, steps + 1))
    h = first
    for t in range(steps):
        entering[:, t] = h = np.where(mask[:, t], first, h)
        h = A * h + B * x[:, t]
    entering[:, steps] = h
    return entering


def losses(x: np.ndarray, y: np.ndarray, mask: np.ndarray, h_0: float | np.ndarray = 0.0) -> np.ndarray:
    """ℓ_t of every row and step (B, T)."""
    return 0.5 * (A * states_before(x, mask, h_0)[:, :-1] + B * x - y) ** 2


def planned(schedule: int | Schedule, batch: Any, h_0: float | np.ndarray = 0.0) -> np.ndarray:
    """The gradients (windows that train, 3) of a, b and h_0 that the definition gives for the plan that comes next: the sum over
    losses t that count and steps i they reach, each path from t to i weighed by the factors it crosses. A path ends where its row
    begins.
    """
    x, y = batch["x"], batch["y"]
    rows, steps = x.shape
    mask = batch.get("resets", np.zeros((rows, steps), bool))
    entering = states_before(x, mask, h_0)
    error = A * entering[:, :-1] + B * x - y
    found = []
    for window in preview(as_schedule(schedule), steps):
        factors = dict(window.factors)
        total = np.zeros(3)
        for row in range(rows):
            for t in range(window.losses, window.stop):
                weight = 1.0
                for i in range(t, window.reach - 1, -1):
                    slope = error[row, t] * A ** (t - i) * weight
                    total[:2] += slope * entering[row, i], slope * x[row, i]
                    if i == 0 or mask[row, i]:
                        total[2] += slope * A
                        break
                    weight *= factors.get(i, 1.0)
        if window.trains:
            found.append(total)
    return np.array(found)
