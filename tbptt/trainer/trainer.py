"""The trainer: what a person sets, and the four things it does with a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from tbptt import schedules
from tbptt.callbacks import Callback, ProgressBar
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.loggers import as_loggers
from tbptt.trainer import arguments, checkpoint, everywhere
from tbptt.trainer.arguments import limit, whole
from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.optimization import ClipAlgorithm, checked_clip
from tbptt.trainer.profiler import Profiler, as_profiler
from tbptt.trainer.running import Running
from tbptt.trainer.stages import Evaluating, Fitting
from tbptt.trainer.walk import StateCarry
from tbptt.types import Tree


class Trainer(Running):
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
        detach_fn: ``detach_fn(state)``, in place of `tbptt.detach`, for states only the model knows how to cut.
        reset_fn: ``reset_fn(state, mask)``, in place of `tbptt.reset_rows`; the mask is a boolean tensor (rows,).
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
        hiddens: the state that left the last window of training, cut from its past; ``on_window_end`` may set another.
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
        detach_fn: Callable[[Tree], Tree] | None = None,
        reset_fn: Callable[[Tree, Any], Tree] | None = None,
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
        super().__init__()
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
        self.detach_fn, self.reset_fn = detach_fn, reset_fn
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
        self.set_precision(precision)
        self.deterministic = deterministic
        self.detect_anomaly = detect_anomaly
        self.profiler = as_profiler(profiler)
        self.callbacks: list[Any] = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        if enable_progress_bar and not any(isinstance(callback, ProgressBar) for callback in self.callbacks):
            self.callbacks.append(ProgressBar())
        if self.fast_dev_run:
            self._shorten(self.fast_dev_run)

    def _shorten(self, batches: int) -> None:
        self.max_epochs, self.max_steps, self.num_sanity_val_steps = 1, -1, 0
        self.limits = dict.fromkeys(self.limits, batches)
        self.loggers = []
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1

    def fit(
        self,
        model: Any,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        **unknown: Any,
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
        arguments.refuse_in_call("fit", unknown)
        for prepare in everywhere.before_fit:
            prepare(self)
        Fitting(self, model, train_dataloaders, val_dataloaders, datamodule).run()

    def validate(
        self,
        model: Any = None,
        dataloaders: Any = None,
        ckpt_path: Any = None,
        datamodule: Any = None,
        **unknown: Any,
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
        arguments.refuse_in_call("validate", unknown)
        return Evaluating(self, "validate", model, dataloaders, ckpt_path, datamodule).run()[0]

    def test(
        self,
        model: Any = None,
        dataloaders: Any = None,
        ckpt_path: Any = None,
        datamodule: Any = None,
        **unknown: Any,
    ) -> list[dict[str, float]]:
        """Run ``test_step``: `validate`'s arguments and answer.

        After a fit of this model with a `ModelCheckpoint`, the weights are the best ones unless `ckpt_path` says otherwise.
        """
        arguments.refuse_in_call("test", unknown)
        return Evaluating(self, "test", model, dataloaders, ckpt_path, datamodule).run()[0]

    def predict(
        self,
        model: Any = None,
        dataloaders: Any = None,
        ckpt_path: Any = None,
        datamodule: Any = None,
        **unknown: Any,
    ) -> list[Tree]:
        """Run ``predict_step``: by default the module called on each batch.

        A ``predict_step`` that takes ``hiddens`` returns ``(prediction, hiddens)``, and sees windows.

        Returns:
            The predictions of each batch, a tree of tensors: those of its windows joined in the order of time.
        """
        arguments.refuse_in_call("predict", unknown)
        return Evaluating(self, "predict", model, dataloaders, ckpt_path, datamodule).run()[1]

    def set_precision(self, precision: str | int | None) -> None:
        """Choose the precision of what runs next, as the argument of that name.

        Raises:
            ConfigurationError: for an unknown one.
        """
        self.parameter_dtype = arguments.parameter_dtype(precision)
        self.compute_dtype = arguments.COMPUTE_DTYPES.get(precision)  # type: ignore[arg-type]
        self._precision = precision

    def save_checkpoint(self, filepath: str | os.PathLike[str]) -> None:
        """Write weights, hyperparameters and counters of the model, to be read by ``load_from_checkpoint`` on either engine."""
        counters = {"epoch": self.current_epoch, "global_step": self.global_step}
        checkpoint.save(filepath, self._model(), Hooks(self, self.model, self.callbacks), counters)

    def export(self, path: str | os.PathLike[str], inputs: Any = None, state: Any = None) -> None:
        """Write the model that was fitted last as a program that runs without this library (`Module.export`).

        Args:
            path: ``model.onnx``, ``model.pt2``, or a folder (SavedModel).
            inputs: an example of what ``forward`` takes before the state. None: the model's ``example_input_array``, or what it was
                called with first in training.
            state: an example of the state. None: what ``forward`` makes of no state.

        Raises:
            ModuleProtocolError: if there is no model yet, or it cannot be exported.
            ConfigurationError: if there are no inputs, or for a path that names no format.
        """
        from tbptt.export import export  # here: nothing else needs it

        export(self._model(), path, inputs, state)

    def _model(self) -> Any:
        if self.model is None:
            raise ModuleProtocolError("There is no model yet: call fit(model, ...) first, or pass the model.")
        return self.model
