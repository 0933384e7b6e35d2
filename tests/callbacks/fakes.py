"""A trainer that only has what callbacks are offered, and calls their moments in the order of `tbptt.hooks`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import tbptt
from tbptt import nn


class FakeTrainer:
    def __init__(self, *callbacks: Any, has_validation: bool = False, module: Any = None, **settings: Any) -> None:
        self.callbacks = list(callbacks)
        self.module = module
        self.has_validation = has_validation
        self.callback_metrics: dict[str, float] = {}
        self.progress_bar_metrics: dict[str, float] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.saved: list[str] = []
        self.optimizers: list[Any] = []
        self.loggers: list[Any] = []
        self.default_root_dir: Any = "nowhere"
        self.max_epochs: int | None = 10
        self.current_epoch = self.global_step = self.batch_idx = self.window_idx = 0
        self.num_windows: int | None = None
        self.num_training_batches: int | None = None
        self.num_evaluation_batches: int | None = None
        self.should_stop = self.sanity_checking = self.fast_dev_run = False
        vars(self).update(settings)

    def __call__(self, moment: str, *arguments: Any) -> None:
        for late in (False, True):
            for callback in self.callbacks:
                if callback.after_module is late:
                    getattr(callback, moment)(self, self.module, *arguments)

    def log_metrics(self, metrics: dict[str, float]) -> None:
        self.logged.append((self.global_step, dict(metrics)))
        self.callback_metrics |= metrics

    def save_checkpoint(self, path: str) -> None:
        """The weights if there is a module, else the counters, so that a test can tell which moment is in a file."""
        self.saved.append(path)
        if self.module is None:
            Path(path).write_text(f"{self.current_epoch} {self.global_step}")
        else:
            self.module.save_weights(path)

    def start(self) -> FakeTrainer:
        self("on_fit_start")
        self("setup", "fit")
        self("on_train_start")
        return self

    def window(self, **metrics: float) -> None:
        """A window that ends in an update."""
        self("on_window_start", None, self.window_idx)
        self.global_step += 1
        self.callback_metrics |= metrics
        self("on_window_end", {"loss": 0.5}, None, self.window_idx)
        self.window_idx += 1

    def validate(self, **metrics: float) -> None:
        self("on_validation_start")
        self.callback_metrics |= metrics
        self("on_validation_end")

    def epoch(self, windows: int = 1, validation: dict[str, float] | None = None, **metrics: float) -> None:
        """An epoch; `metrics` are the means of training, known after the validation inside it."""
        self.window_idx = 0
        self("on_train_epoch_start")
        for _ in range(windows):
            self.window()
        if validation is not None:
            self.validate(**validation)
        self.callback_metrics |= metrics
        self("on_train_epoch_end")
        self.current_epoch += 1

    def end(self) -> None:
        self("on_train_end")
        self("on_fit_end")
        self("teardown", "fit")


class Loop:
    """Real training of a small layer on the current engine: loss ½Σ(weight − target)²-like steps by an optimizer of ours."""

    def __init__(self, make: Any, seed: int = 0) -> None:
        tbptt.seed_everything(seed)
        self.module = nn.Linear(3, 2)
        self.optimizer = make(self.module.parameters())
        generator = np.random.default_rng(seed)
        self.inputs = generator.standard_normal((50, 4, 3)).astype("float32")
        self.step = 0

    def gradients(self) -> list[Any]:
        x = tbptt.ops.asarray(self.inputs[self.step % 50])
        with tbptt.GradientTape() as tape:
            loss = tbptt.ops.mean(tbptt.ops.square(tbptt.ops.subtract(self.module(x), 1.0)))
        return list(tape.gradient(loss, self.module.parameters()))

    def update(self) -> None:
        self.optimizer.apply(self.gradients())
        self.step += 1

    def weights(self) -> list[np.ndarray]:
        return [np.array(tbptt.ops.to_numpy(parameter)) for parameter in self.module.parameters()]


def optimizer_of(name: str, lr: float = 0.1, groups: int = 1, **hyperparameters: Any) -> Any:
    """What monitors read of an optimizer, under a class name of choice."""
    kind = type(name, (SimpleNamespace,), {"rates": lambda self: [group["lr"] for group in self.param_groups]})
    return kind(param_groups=[{"lr": lr * (i + 1), **hyperparameters} for i in range(groups)])
