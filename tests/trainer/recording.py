"""Everybody writes down every moment: a module and a callback that override all hooks, and the traces they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tbptt
from tbptt import nn, optim
from tbptt.hooks import MODULE_ONLY, MOMENTS

GOLDEN = Path(__file__).with_name("golden")
STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class Plain(tbptt.Module):
    """A recurrent regression without hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(1, 3), nn.Linear(3, 1)

    def forward(self, inputs: Any, state: Any = None) -> Any:
        features, state = self.rnn(inputs, state)
        return self.head(features), state

    def loss(self, batch: Any, hiddens: Any) -> Any:
        outputs, hiddens = self(batch[0], hiddens)
        return nn.functional.mse_loss(outputs, batch[1]), hiddens

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.loss(batch, hiddens)
        self.log("train_loss", loss)
        return {"loss": loss, "hiddens": hiddens}

    def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.loss(batch, hiddens)
        self.log("val_loss", loss)
        return {"hiddens": hiddens}

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        return self(batch[0], hiddens)

    def configure_optimizers(self) -> Any:
        return optim.Adam(self.parameters(), lr=1e-2)


def data(batches: int = 2, rows: int = 2, steps: int = 6, seed: int = 0) -> list[Any]:
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((batches, rows, steps, 1))
    return [(x, np.cumsum(x, axis=1)) for x in inputs]


class Trace:
    """What happened, a line each.

    Args:
        boundary: whether `on_window_boundary` is overridden, too, which lets every window run as one of pieces.
    """

    def __init__(self, boundary: bool = False) -> None:
        self.lines: list[str] = []
        self._boundary = boundary

    def module(self, base: type) -> Any:
        """A module of a subclass of `base` that overrides every hook and step."""
        lines = self.lines

        def overriding(name: str) -> Any:
            def hook(self: Any, *arguments: Any) -> Any:
                stage = f'("{arguments[0]}")' if name in ("setup", "teardown") else ""
                lines.append(f"module    {name}{stage}")
                return getattr(super(recording, self), name)(*arguments)

            return hook

        def step(name: str) -> Any:
            function = getattr(base, name)

            def run(self: Any, *arguments: Any) -> Any:
                lines.append(f"module    {name}")
                return function(self, *arguments)

            run.__signature__ = __import__("inspect").signature(function)  # type: ignore[attr-defined]
            run.__name__ = name
            return run

        names = [name for name in MOMENTS if hasattr(tbptt.Module, name) and not name.endswith("_step_end")]
        names = [name for name in names if self._boundary or name != "on_window_boundary"]
        methods = {name: overriding(name) for name in (*names, "configure_callbacks", "configure_optimizers")}
        methods |= {name: step(name) for name in STEPS}
        recording = type(base.__name__, (base,), methods)
        return recording()

    def callback(self) -> tbptt.Callback:
        """A callback that overrides every moment."""
        lines = self.lines

        def overriding(name: str) -> Any:
            def hook(self: Any, trainer: Any, module: Any, *arguments: Any) -> None:
                stage = f'("{arguments[0]}")' if name in ("setup", "teardown") else ""
                lines.append(f"callback  {name}{stage}")

            return hook

        names = [name for name in MOMENTS if name not in MODULE_ONLY and hasattr(tbptt.Callback, name)]
        return type("Recording", (tbptt.Callback,), {name: overriding(name) for name in names})()


def golden(name: str, compiled: bool) -> list[str]:
    """The trace of that name. In a compiled run the Python of a step runs when it is traced, so steps are left out."""
    lines = (GOLDEN / f"{name}.txt").read_text().splitlines()
    return without_steps(lines) if compiled else lines


def without_steps(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.endswith("_step") or line.endswith("optimizer_step")]
