"""A model whose gradients are all one, so that what an update takes off a parameter is the rate it used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tbptt
from tbptt import nn, ops


class Slope(tbptt.Module):
    """loss = first + second: under plain descent p(n + 1) = p(n) − rate(n). Its state counts windows.

    Args:
        configure: given the module, what ``configure_optimizers`` returns.
    """

    def __init__(self, configure: Callable[[Any], Any]) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(np.zeros(1)), nn.Parameter(np.zeros(1))
        self.configure = configure

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        seen = ops.zeros_like(batch[:, 0]) if hiddens is None else hiddens
        loss = ops.sum(self.first) + ops.sum(self.second)
        self.log("level", ops.mean(seen))
        return {"loss": loss, "hiddens": seen + 1.0, "seen": seen}

    def configure_optimizers(self) -> Any:
        return self.configure(self)


class Weights(tbptt.Callback):
    """Both parameters at the start and after every window."""

    def __init__(self) -> None:
        self.values: list[list[float]] = []

    def _look(self, module: Any) -> None:
        self.values.append([float(ops.to_numpy(p).reshape(-1)[0]) for p in (module.first, module.second)])

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self._look(module)

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self._look(module)

    @property
    def taken(self) -> np.ndarray:
        """What each window took off each parameter (windows, 2)."""
        return -np.diff(np.array(self.values), axis=0)


def batches(count: int = 2, steps: int = 6) -> list[np.ndarray]:
    return [np.ones((2, steps, 1)) for _ in range(count)]


def quiet(**options: Any) -> tbptt.Trainer:
    """A trainer of windows of two steps that says nothing."""
    return tbptt.Trainer(
        **{
            "max_epochs": 1,
            "truncated_bptt_steps": 2,
            "compile": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )


def descend(model: Callable[[], Any], data: Any = None, callbacks: Sequence[Any] = (), **options: Any) -> Any:
    """Fit a fresh float64 model on batches of three windows; what each window took off, the trainer and the model."""
    weights = Weights()
    with tbptt.dtypes.dtype_scope("float64"):
        module = model()
    trainer = quiet(callbacks=[weights, *callbacks], **options)
    trainer.fit(module, batches() if data is None else data)
    return weights.taken, trainer, module
