"""The trainer: what a person sets, and the four things it does with a model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

from tbptt import schedules
from tbptt.callbacks import Callback, ProgressBar
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.loggers import as_loggers
from tbptt.trainer import arguments, checkpoint, logs
from tbptt.trainer.arguments import limit, whole
from tbptt.trainer.automatic import Automatic
from tbptt.trainer.logs import LogBook
from tbptt.trainer.manual import Manual
from tbptt.trainer.optimization import ClipAlgorithm, OptimizerHandle, checked_clip
from tbptt.trainer.profiler import Profiler, as_profiler
from tbptt.trainer.stages import Evaluating, Fitting
from tbptt.trainer.step import Step
from tbptt.trainer.walk import StateCarry
from tbptt.types import Tensor, Tree

Item = TypeVar("Item")


class Trainer:
    """Trains a module window by window, on whichever engine its parameters belong to.

    Args:
        max_epochs: how often the data is gone through; None for no limit (then `max_steps` or `max_time` must end it).
        truncated_bptt_steps: time steps per window, or a schedule (`tbptt.schedules`); None makes every batch one window. An
            attribute of that name of the module comes before it.
        state_carry: ``"batch"``: every batch starts from no state; ``"epoch"``: state flows from batch to batch and starts
            anew with the epoch, for data whose rows continue from one batch to the next.
        gradient_clip_val: upper bound of the gradient's global norm (or of each element), None for none.
        gradient_clip_algorithm: ``"norm"`` or ``"value"``.
        max_steps: end after so many optimizer steps; −1 for no limit.
        max_time: end at the first window after this time; a `timedelta`, its keyword arguments as a dict, or ``"DD:HH:MM:SS"``.
        min_epochs, min_steps: a callback that wants to stop earlier waits until then.
        callbacks: `Callback` objects.
        compile: ``"auto"`` (TensorFlow compiles the step, torch runs eagerly), True, or False to step through it. Under compilation
            Python in the step runs at tracing only, `self.log` excepted, and `batch_idx` is a tensor.
        time_axis: axis of time in the leaves of a batch, or a tree of axes (`tbptt.windows`).
        accumulate_grad_batches: one update for all windows of so many batches: with the mean of their gradients, each weighted by
            the elements that counted.
        accumulate_grad_windows: likewise, for so many windows. What is left at the end of an epoch makes an update too.
        limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches: a number of batches, or a fraction.
        overfit_batches: train on so many batches (or that fraction), the same in every epoch, and validate on as many.
        fast_dev_run: True or a number: one epoch of that many batches of everything, without loggers and checkpoints.
        val_check_interval: validate so often within an epoch: a fraction of its batches, or a number of batches; 1.0: at its end.
        check_val_every_n_epoch: validate in every so many epochs; None: `val_check_interval` counts batches across epochs.
        num_sanity_val_steps: try validation before training on so many batches, of each so many windows; −1: on all of it.
        logger: a `tbptt.loggers.Logger`, several, True for a `CSVLogger` in `default_root_dir`, None for none.
        log_every_n_steps: send values of single windows to loggers at every so many optimizer steps.
        enable_progress_bar: show epoch, batch, window and losses.
        enable_model_summary: print a table of the model's layers before training.
        accelerator: ``"cpu"``, ``"gpu"``, or ``"auto"``: where the model's parameters are.
        devices: 1, or ``[index]``: one device a process.
        precision: ``"32-true"`` or ``"64-true"`` (parameters and arithmetic), ``"bf16-mixed"`` or ``"16-mixed"`` (parameters in 32
            bits, arithmetic of layers in 16, the latter with a loss scale); None: as the model is.
        deterministic: only algorithms that give the same bits every time.
        detect_anomaly: find the operation in which a NaN arose; slow, and not compiled.
        profiler: ``"simple"`` prints at the end where the time went.
        default_root_dir: where loggers and checkpoints write; the current directory by default.

    Attributes:
        callback_metrics: latest logged values and epoch means, by name, as floats.
        current_epoch, batch_idx, window_idx, global_step: the four counters; `global_step` counts optimizer steps.
        train_step: the window step of the last fit; ``train_step.compiled`` says how it runs and how often it was traced.

    >>> import numpy as np, tbptt
    >>> class Mean(tbptt.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn = tbptt.nn.RNN(1, 1)
    ...     def training_step(self, batch, batch_idx, hiddens):
    ...         outputs, hiddens = self.rnn(batch, hiddens)
    ...         loss = tbptt.nn.functional.mse_loss(outputs, batch)
    ...         self.log("train_loss", loss, on_epoch=True)
    ...         return loss, hiddens
    ...     def configure_optimizers(self):
    ...         return tbptt.optim.SGD(self.parameters(), lr=0.1)
    >>> trainer = tbptt.Trainer(max_epochs=2, truncated_bptt_steps=5, enable_progress_bar=False, enable_model_summary=False)
    >>> trainer.fit(Mean(), [np.ones((4, 20, 1), dtype="float32")])
    >>> trainer.global_step
    8
    """

    def __init__(
        self,
        max_epochs: int | None = 1000,
        *,
        truncated_bptt_steps: int | schedules.Schedule | None = None,
        state_carry: StateCarry = "batch",
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: ClipAlgorithm = "norm",
        max_steps: int = -1,
        max_time: timedelta | dict[str, float] | str | None = None,
        min_epochs: int | None = None,
        min_steps: int | None = None,
        callbacks: Sequence[Callback] | Callback | None = (),
        compile: bool | str = "auto",
        time_axis: Tree = 1,
        accumulate_grad_batches: int = 1,
        accumulate_grad_windows: int = 1,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0,
        fast_dev_run: bool | int = False,
        val_check_interval: int | float = 1.0,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int = 2,
        logger: Any = None,
        log_every_n_steps: int = 50,
        enable_progress_bar: bool = True,
        enable_model_summary: bool = True,
        accelerator: str = "auto",
        devices: Any = "auto",
        precision: str | int | None = None,
        deterministic: bool = False,
        detect_anomaly: bool = False,
        profiler: str | Profiler | None = None,
        default_root_dir: str | os.PathLike[str] | None = None,
        **unknown: Any,
    ) -> None:
        arguments.refuse(
            unknown, [name for name in Trainer.__init__.__annotations__ if name not in ("unknown", "return")]
        )
        if state_carry not in ("batch", "epoch"):
            raise ConfigurationError(f"state_carry must be 'batch' or 'epoch'; received {state_carry!r}.")
        if compile not in (True, False, "auto"):
            raise ConfigurationError(f"compile must be 'auto', True or False; received {compile!r}.")
        if max_epochs == -1:
            max_epochs = None
        if max_epochs is None and max_steps < 0 and max_time is None and not fast_dev_run:
            raise ConfigurationError("Nothing ends this training: give max_epochs, max_steps or max_time.")
        self.max_epochs = None if max_epochs is None else whole("max_epochs", max_epochs, 0)
        self.max_steps = whole("max_steps", max_steps, -1)
        self.max_time = arguments.duration(max_time)
        self.min_epochs = None if min_epochs is None else whole("min_epochs", min_epochs, 0)
        self.min_steps = None if min_steps is None else whole("min_steps", min_steps, 0)
        self.schedule = None if truncated_bptt_steps is None else schedules.as_schedule(truncated_bptt_steps)
        self.state_carry: StateCarry = state_carry
        self.clip = checked_clip(gradient_clip_val, gradient_clip_algorithm)
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm: ClipAlgorithm = gradient_clip_algorithm
        self.compile = False if detect_anomaly else compile
        self.time_axis = time_axis
        self.accumulate_grad_batches = whole("accumulate_grad_batches", accumulate_grad_batches, 1)
        self.accumulate_grad_windows = whole("accumulate_grad_windows", accumulate_grad_windows, 1)
        if self.accumulate_grad_batches > 1 and self.accumulate_grad_windows > 1:
            raise ConfigurationError(
                f"Gradients accumulate over batches or over windows; received accumulate_grad_batches={accumulate_grad_batches} "
                f"and accumulate_grad_windows={accumulate_grad_windows}. Give one of them."
            )
        self.limits = {
            "fit": limit("limit_train_batches", limit_train_batches),
            "validate": limit("limit_val_batches", limit_val_batches),
            "test": limit("limit_test_batches", limit_test_batches),
            "predict": limit("limit_predict_batches", limit_predict_batches),
        }
        self.overfit_batches = limit("overfit_batches", overfit_batches)
        if self.overfit_batches:
            self.limits |= {"fit": self.overfit_batches, "validate": self.overfit_batches}
        self.fast_dev_run = (
            int(fast_dev_run) if fast_dev_run in (True, False) else whole("fast_dev_run", fast_dev_run, 1)
        )
        self.val_check_interval = arguments.interval("val_check_interval", val_check_interval)
        self.check_val_every_n_epoch = (
            None if check_val_every_n_epoch is None else whole("check_val_every_n_epoch", check_val_every_n_epoch, 1)
        )
        if self.check_val_every_n_epoch is None and isinstance(val_check_interval, float):
            raise ConfigurationError(
                f"check_val_every_n_epoch=None counts batches across epochs and needs val_check_interval= as a whole number of "
                f"batches; received {val_check_interval}."
            )
        self.num_sanity_val_steps = whole("num_sanity_val_steps", num_sanity_val_steps, -1)
        self.default_root_dir = os.fspath(default_root_dir) if default_root_dir is not None else "."
        self.loggers = as_loggers(logger, default_root_dir)
        self.log_every_n_steps = whole("log_every_n_steps", log_every_n_steps, 1)
        self.enable_model_summary = enable_model_summary
        self.device = arguments.device_name(accelerator, devices)
        self.parameter_dtype = arguments.parameter_dtype(precision)
        self.compute_dtype = arguments.COMPUTE_DTYPES.get(precision)  # type: ignore[arg-type]
        self._precision = precision
        self.deterministic = deterministic
        self.detect_anomaly = detect_anomaly
        self.profiler = as_profiler(profiler)
        self.callbacks: list[Any] = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        if enable_progress_bar and not any(isinstance(callback, ProgressBar) for callback in self.callbacks):
            self.callbacks.append(ProgressBar())
        if self.fast_dev_run:
            self._shorten(self.fast_dev_run)
        self.callback_metrics: dict[str, float] = {}
        self.logged_metrics: dict[str, float] = {}
        self.current_epoch = self.batch_idx = self.window_idx = self.global_step = 0
        self.num_windows = 0
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

    def _shorten(self, batches: int) -> None:
        self.max_epochs, self.max_steps, self.num_sanity_val_steps = 1, -1, 0
        self.limits = dict.fromkeys(self.limits, batches)
        self.loggers = []
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1

    # --- what it does -------------------------------------------------------------------------------------------------

    def fit(
        self, model: Any, train_dataloaders: Any = None, val_dataloaders: Any = None, datamodule: Any = None
    ) -> None:
        """Train.

        Args:
            model: anything with ``training_step`` and ``configure_optimizers``; with ``validation_step`` where there is validation.
                A plain `torch.nn.Module` or `keras.Model` will do.
            train_dataloaders: batches: `tbptt.data` streams, a torch DataLoader, a tf.data.Dataset, a list of trees, any iterable;
                or a `DataModule`. None: those of the model's ``train_dataloader``.
            val_dataloaders: likewise; validated after every epoch, with a state of its own.
            datamodule: brings both.

        Raises:
            ModuleProtocolError: if the model lacks something or returns a wrong thing.
            DataError: if there is no data.
            NonFiniteError: if a loss becomes NaN or infinite.
        """
        Fitting(self, model, train_dataloaders, val_dataloaders, datamodule).run()

    def validate(
        self, model: Any = None, dataloaders: Any = None, ckpt_path: Any = None, datamodule: Any = None
    ) -> list[dict[str, float]]:
        """Run ``validation_step`` over the data without gradients, with a state of its own.

        Args:
            model: None: the one that was fitted last.
            dataloaders: None: those of the data module or of the model's ``val_dataloader``.
            ckpt_path: weights to validate: a checkpoint, ``"best"`` or ``"last"`` of the run's `ModelCheckpoint`. Afterwards the
                model has its own back.
            datamodule: brings the data.

        Returns:
            What was logged, reduced over the epoch, by name, in a list of one (as in Lightning); in `callback_metrics` too.
        """
        return Evaluating(self, "validate", model, dataloaders, ckpt_path, datamodule).run()[0]

    def test(
        self, model: Any = None, dataloaders: Any = None, ckpt_path: Any = None, datamodule: Any = None
    ) -> list[dict[str, float]]:
        """Run ``test_step``: `validate`'s arguments and answer.

        After a fit of this model with a `ModelCheckpoint`, the weights are the best ones unless `ckpt_path` says otherwise.
        """
        return Evaluating(self, "test", model, dataloaders, ckpt_path, datamodule).run()[0]

    def predict(
        self, model: Any = None, dataloaders: Any = None, ckpt_path: Any = None, datamodule: Any = None
    ) -> list[Tree]:
        """Run ``predict_step``: by default the module called on each batch.

        A ``predict_step`` that takes ``hiddens`` returns ``(prediction, hiddens)``, and sees windows.

        Returns:
            The predictions of each batch, a tree of tensors: those of its windows joined in the order of time.
        """
        return Evaluating(self, "predict", model, dataloaders, ckpt_path, datamodule).run()[1]

    def save_checkpoint(self, filepath: str | os.PathLike[str]) -> None:
        """Write weights, hyperparameters and counters of the model, to be read by ``load_from_checkpoint`` on either engine."""
        from tbptt.trainer.dispatch import Hooks

        counters = {"epoch": self.current_epoch, "global_step": self.global_step}
        checkpoint.save(filepath, self._model(), Hooks(self, self.model, self.callbacks), counters)

    # --- what modules and callbacks ask of it -------------------------------------------------------------------------

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
        from tbptt.callbacks import ModelCheckpoint

        return next((callback for callback in self.callbacks if isinstance(callback, ModelCheckpoint)), None)

    @property
    def early_stopping_callback(self) -> Any:
        """The first `EarlyStopping`; None without one."""
        from tbptt.callbacks import EarlyStopping

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
        from tbptt.nn.native import backend_of_model, parameters_of

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

    def _model(self) -> Any:
        if self.model is None:
            raise ModuleProtocolError("There is no model yet: call fit(model, ...) first, or pass the model.")
        return self.model
