"""The trainer while it runs: its counters and metrics, and what modules and callbacks ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from tbptt.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from tbptt.errors import ModuleProtocolError
from tbptt.nn.native import backend_of_model, parameters_of
from tbptt.trainer import logs
from tbptt.trainer.automatic import Automatic
from tbptt.trainer.logs import LogBook
from tbptt.trainer.manual import Manual
from tbptt.trainer.optimization import Clip, ClipAlgorithm, OptimizerHandle, checked_clip
from tbptt.trainer.profiler import Profiler
from tbptt.trainer.step import Step
from tbptt.types import Tensor, Tree

Item = TypeVar("Item")


class Running:
    """What changes during a run; `Trainer` is this and what a person sets."""

    callbacks: list[Any]
    loggers: list[Any]
    log_every_n_steps: int
    profiler: Profiler | None
    clip: Clip | None
    gradient_clip_algorithm: ClipAlgorithm
    overfit_batches: int | float | None
    parameter_dtype: str | None
    _precision: str | int | None

    def __init__(self) -> None:
        self.callback_metrics: dict[str, float] = {}
        self.logged_metrics: dict[str, float] = {}
        self.current_epoch = self.batch_idx = self.window_idx = self.global_step = 0
        self.num_windows = 0
        self.hiddens: Tree = None
        self.num_training_batches: int | None = None
        self.num_evaluation_batches: int | None = None
        self.validation_every: int | None = None
        self.has_validation = False
        self.should_stop = False
        self.sanity_checking = False
        self.in_batch = False
        self.model: Any = None
        self.optimizers: list[Any] = []
        self.handles: list[OptimizerHandle] = []
        self.lr_scheduler_configs: list[Any] = []
        self.optimization: Automatic | Manual | None = None
        self.train_step: Step | None = None
        self.place: Any = None
        self.book = LogBook(step_default=True, epoch_default=False)

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """The latest fetched values of what was logged with ``prog_bar=True``."""
        return self.book.shown()

    @property
    def progress_bar(self) -> Any:
        """The callback that shows progress; None without one."""
        return next((callback for callback in self.callbacks if isinstance(callback, ProgressBar)), None)

    @property
    def checkpoint_callback(self) -> Any:
        """The first `ModelCheckpoint`; None without one."""
        return next((callback for callback in self.callbacks if isinstance(callback, ModelCheckpoint)), None)

    @property
    def early_stopping_callback(self) -> Any:
        """The first `EarlyStopping`; None without one."""
        return next((callback for callback in self.callbacks if isinstance(callback, EarlyStopping)), None)

    @property
    def logger(self) -> Any:
        """The first logger; None without one."""
        return self.loggers[0] if self.loggers else None

    @property
    def precision(self) -> str:
        """Of parameters and arithmetic: ``"32-true"``, ``"64-true"``, ``"bf16-mixed"`` or ``"16-mixed"``."""
        if self._precision in ("bf16-mixed", "16-mixed"):
            return str(self._precision)
        dtypes = {self.parameter_dtype} if self.parameter_dtype else set()
        if not dtypes and self.model is not None:
            dtypes = {backend_of_model(self.model).tensors.dtype(value) for value in parameters_of(self.model)}
        return "64-true" if dtypes == {"float64"} else "32-true"

    @property
    def optimizer_in_turn(self) -> OptimizerHandle:
        """The optimizer whose step is at hand."""
        return self.handles[self.optimization.in_turn if self.optimization else 0]

    @property
    def data_epoch(self) -> int:
        """The epoch as the data is told it: with `overfit_batches` always the first, so that batches stay the same."""
        return 0 if self.overfit_batches else self.current_epoch

    def log(self, name: str, value: Tensor | float, **options: Any) -> None:
        """`Module.log`, for models that are no `tbptt.Module`, as ``self.trainer.log(...)``."""
        weight = options.pop("batch_size", None)
        chosen = logs.Options(**options)
        if not logs.record(name, value, chosen, weight):
            self.note(name, value, chosen, weight)

    def note(self, name: str, value: Any, options: logs.Options, weight: Any = None) -> None:
        """Take a value logged in a hook."""
        on_step = self.in_batch if options.on_step is None else options.on_step
        on_epoch = not self.in_batch if options.on_epoch is None else options.on_epoch
        self.book.note(name, value, options._replace(on_step=on_step, on_epoch=on_epoch), weight)

    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Send numbers to all loggers now, and keep them in `callback_metrics`."""
        self.callback_metrics |= metrics
        self.send(metrics)

    def send(self, metrics: dict[str, float], step: int | None = None) -> None:
        """To the loggers alone, under an optimizer step (from 0; the last one by default), with the epoch beside it."""
        if not metrics:
            return
        self.logged_metrics |= metrics
        for logger in () if self.sanity_checking else self.loggers:
            row = {"epoch": self.current_epoch, **metrics}
            logger.log_metrics(row, max(self.global_step - 1, 0) if step is None else step)

    def step_to_log(self, before: int) -> int | None:
        """The optimizer step under which the window at hand is logged, since there were `before`; None if it is not its turn."""
        every = self.log_every_n_steps
        return self.global_step - 1 if self.loggers and self.global_step // every > before // every else None

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """The backward pass of the step at hand (``module.backward``, ``module.manual_backward``)."""
        if self.optimization is None:
            raise ModuleProtocolError(
                "A backward pass was asked for outside training. Call it from a step or its hooks."
            )
        self.optimization.backward(loss, retain_graph)

    def clip_gradients(self, optimizer: OptimizerHandle, value: float | None, algorithm: str | None) -> None:
        """Clip what an optimizer holds (``module.clip_gradients``)."""
        if value is None and self.clip is not None:
            value = self.clip[0]
        optimizer.clip(checked_clip(value, algorithm or self.gradient_clip_algorithm))

    def stepped(self) -> None:
        """Count an optimizer step."""
        self.global_step += 1

    def profiled(self, action: str) -> AbstractContextManager[Any]:
        """Count a block's time towards an action, if there is a profiler."""
        return self.profiler.profile(action) if self.profiler else nullcontext()

    def timed(self, action: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, the time it takes to get each counted towards an action, if there is a profiler."""
        if self.profiler is None:
            yield from items
            return
        iterator = iter(items)
        while True:
            with self.profiler.profile(action):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
