"""The loops: fit and validate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from tbptt import backends, optim, schedules, state, tree
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.trainer.callbacks import Callback, Callbacks
from tbptt.trainer.logs import LogBook, Place
from tbptt.trainer.progress import ProgressBar
from tbptt.trainer.step import ClipAlgorithm, Update, WindowStep
from tbptt.trainer.walk import Ground, StateCarry, count_batches, walk
from tbptt.types import Tree


class Trainer:
    """Trains a module window by window, on whichever engine its parameters belong to.

    Args:
        max_epochs: how often the data is gone through; None for no limit (then `max_steps` or `max_time` must end it).
        truncated_bptt_steps: time steps per window, or a schedule (`tbptt.schedules`); None makes every batch one window.
        state_carry: ``"batch"``: every batch starts from no state; ``"epoch"``: state flows from batch to batch and starts
            anew with the epoch, for data whose rows continue from one batch to the next.
        gradient_clip_val: upper bound of the gradient's global norm (or of each element), None for none.
        gradient_clip_algorithm: ``"norm"`` or ``"value"``.
        max_steps: end after so many optimizer steps; −1 for no limit.
        max_time: end at the first window after this time; a `timedelta`, or its keyword arguments as a dict.
        callbacks: `Callback` objects.
        compile: ``"auto"`` (TensorFlow compiles the step, torch runs eagerly), True, or False to step through it. Under compilation
            Python in the step runs at tracing only, `self.log` excepted, and `batch_idx` is a tensor.
        time_axis: axis of time in the leaves of a batch, or a tree of axes (`tbptt.windows`).
        enable_progress_bar: show epoch, batch, window and losses.

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
    >>> trainer = tbptt.Trainer(max_epochs=2, truncated_bptt_steps=5, enable_progress_bar=False)
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
        max_time: timedelta | dict[str, float] | None = None,
        callbacks: Sequence[Callback] | Callback = (),
        compile: bool | str = "auto",
        time_axis: Tree = 1,
        enable_progress_bar: bool = True,
    ) -> None:
        if state_carry not in ("batch", "epoch"):
            raise ConfigurationError(f"state_carry must be 'batch' or 'epoch'; received {state_carry!r}.")
        if compile not in (True, False, "auto"):
            raise ConfigurationError(f"compile must be 'auto', True or False; received {compile!r}.")
        if max_epochs is None and max_steps < 0 and max_time is None:
            raise ConfigurationError("Nothing ends this training: give max_epochs, max_steps or max_time.")
        self.max_epochs = max_epochs
        self.max_steps = max_steps
        self.max_time = timedelta(**max_time) if isinstance(max_time, dict) else max_time
        self.schedule = None if truncated_bptt_steps is None else schedules.as_schedule(truncated_bptt_steps)
        self.state_carry: StateCarry = state_carry
        self.gradient_clip_val = gradient_clip_val
        self.gradient_clip_algorithm: ClipAlgorithm = gradient_clip_algorithm
        self.compile = compile
        self.time_axis = time_axis
        self.callbacks: list[Callback] = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
        if enable_progress_bar and not any(isinstance(callback, ProgressBar) for callback in self.callbacks):
            self.callbacks.append(ProgressBar())
        self.callback_metrics: dict[str, float] = {}
        self.current_epoch = 0
        self.batch_idx = 0
        self.window_idx = 0
        self.global_step = 0
        self.num_windows = 0
        self.num_training_batches: int | None = None
        self.should_stop = False
        self.optimizer: optim.Optimizer | None = None
        self.train_step: WindowStep | None = None
        self._book = LogBook(step_default=True, epoch_default=False)

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """The latest fetched values of what was logged with ``prog_bar=True``."""
        return self._book.shown()

    def fit(self, model: Any, train_dataloaders: Any, val_dataloaders: Any = None) -> None:
        """Train.

        Args:
            model: anything with ``training_step`` and ``configure_optimizers``; with ``validation_step`` where there is validation.
            train_dataloaders: batches: `tbptt.data` streams, a torch DataLoader, a tf.data.Dataset, a list of trees, any iterable.
            val_dataloaders: likewise; validated after every epoch, with a state of its own.

        Raises:
            ModuleProtocolError: if the model lacks something or returns a wrong thing.
            NonFiniteError: if a loss becomes NaN or infinite.
        """
        for method in ("training_step", "configure_optimizers"):
            if not callable(getattr(model, method, None)):
                raise ModuleProtocolError(
                    f"{type(model).__name__} has no {method}(); a model to fit needs training_step(batch, batch_idx, hiddens) "
                    f"and configure_optimizers()."
                )
        if val_dataloaders is not None:
            _require_validation_step(model)
        optimizer = _one_optimizer(model)
        self.optimizer = optimizer
        self.current_epoch = self.global_step = 0
        self.should_stop = False
        call = Callbacks(self.callbacks, self, model)
        ground = self._ground(optimizer.parameters)
        with self._attached(model), backends.use_backend(ground.backend):
            try:
                call("on_fit_start")
                self._fit(model, optimizer, ground, call, train_dataloaders, val_dataloaders)
                call("on_fit_end")
            except BaseException as error:
                call("on_exception", error)
                raise

    def _fit(
        self, model: Any, optimizer: optim.Optimizer, ground: Ground, call: Callbacks, train: Any, validation: Any
    ) -> None:
        self._book = LogBook(step_default=True, epoch_default=False)
        update = Update(optimizer, self.gradient_clip_val, self.gradient_clip_algorithm)
        step = self.train_step = WindowStep(
            model.training_step, ground.backend, self.compile, self._book.options, self._carries(), update
        )
        validate = None if validation is None else self._validation(model, ground, call, validation)
        self.num_training_batches = count_batches(train)
        started = time.monotonic()
        call("on_train_start")
        while not self.should_stop and (self.max_epochs is None or self.current_epoch < self.max_epochs):
            _set_mode(model, training=True)
            call("on_train_epoch_start")
            self._epoch(step, ground, call, train, started)
            self.callback_metrics |= self._book.epoch_metrics()
            if validate:
                validate()
            call("on_train_epoch_end")
            self.current_epoch += 1
        call("on_train_end")

    def _epoch(self, step: WindowStep, ground: Ground, call: Callbacks, train: Any, started: float) -> None:
        hiddens: Tree = None
        for stretch in walk(train, ground, self.current_epoch):
            self.batch_idx, self.num_windows = stretch.batch_idx, len(stretch)
            hiddens = None if stretch.fresh else hiddens
            state.check_batch(hiddens, stretch.windowed.batch_size)
            call("on_train_batch_start", stretch.batch, stretch.batch_idx)
            for self.window_idx, window, origin in stretch.windows():
                call("on_window_start", window, self.window_idx)
                hiddens, loss, logged = step(window, hiddens, origin, stretch.batch_idx)
                self.global_step += 1
                self._book.add(Place(self.current_epoch, self.batch_idx, self.window_idx), loss, logged)
                outputs = {name: value for name, (value, _) in logged.items()} | {"loss": loss}
                call("on_window_end", outputs, window, self.window_idx)
                if self._is_over(started):
                    break
            call("on_train_batch_end", stretch.batch, stretch.batch_idx)
            if self.should_stop:
                break

    def _is_over(self, started: float) -> bool:
        out_of_steps = 0 <= self.max_steps <= self.global_step
        out_of_time = self.max_time is not None and time.monotonic() - started >= self.max_time.total_seconds()
        self.should_stop = self.should_stop or out_of_steps or out_of_time
        return self.should_stop

    def validate(self, model: Any, dataloaders: Any) -> list[dict[str, float]]:
        """Run ``validation_step`` over the data without gradients, with a state of its own.

        Returns:
            Epoch means of what was logged, by name, in a list of one (as in Lightning); in `callback_metrics` too.
        """
        _require_validation_step(model)
        ground = self._ground(_parameters(model))
        with self._attached(model), backends.use_backend(ground.backend):
            return [self._validation(model, ground, Callbacks(self.callbacks, self, model), dataloaders)()]

    def _validation(self, model: Any, ground: Ground, call: Callbacks, source: Any) -> Callable[[], dict[str, float]]:
        """A function that validates once and can be called again; it compiles once."""
        book = LogBook(step_default=False, epoch_default=True)
        step = WindowStep(model.validation_step, ground.backend, self.compile, book.options, self._carries())

        def run() -> dict[str, float]:
            was_training = getattr(model, "training", False)
            _set_mode(model, training=False)
            call("on_validation_start")
            hiddens: Tree = None
            for stretch in walk(source, ground, self.current_epoch):
                hiddens = None if stretch.fresh else hiddens
                state.check_batch(hiddens, stretch.windowed.batch_size)
                call("on_validation_batch_start", stretch.batch, stretch.batch_idx)
                for window_idx, window, origin in stretch.windows():
                    hiddens, loss, logged = step(window, hiddens, origin, stretch.batch_idx)
                    book.add(Place(self.current_epoch, stretch.batch_idx, window_idx), loss, logged)
                call("on_validation_batch_end", stretch.batch, stretch.batch_idx)
            metrics = book.epoch_metrics()
            self.callback_metrics |= metrics
            call("on_validation_end")
            _set_mode(model, was_training)
            return metrics

        return run

    def _carries(self) -> bool:
        return self.schedule is not None or self.state_carry == "epoch"

    def _ground(self, parameters: Sequence[Any]) -> Ground:
        backend = backends.backend_of(*parameters[:1])
        first = next((p for p in parameters if backend.tensors.isdtype(p.dtype, "real floating")), None)
        return Ground(
            backend=backend,
            device=backends.current_device(backend) if first is None else backend.devices.device_of(first),
            float_dtype="float32" if first is None else backend.tensors.dtype(first),
            schedule=self.schedule,
            carry=self.state_carry,
            time_axis=self.time_axis,
        )

    @contextmanager
    def _attached(self, model: Any) -> Iterator[None]:
        model._trainer = self
        try:
            yield
        finally:
            model._trainer = None


def _one_optimizer(model: Any) -> optim.Optimizer:
    found = model.configure_optimizers()
    several = list(found) if isinstance(found, list | tuple) else [found]
    if len(several) != 1 or not isinstance(several[0], optim.Optimizer):
        raise ModuleProtocolError(
            f"{type(model).__name__}.configure_optimizers() must return one optimizer of tbptt.optim; received "
            f"{tree.structure(found) if len(several) != 1 else type(several[0]).__name__}. "
            f"For example: return tbptt.optim.Adam(self.parameters(), lr=1e-3)."
        )
    return several[0]


def _require_validation_step(model: Any) -> None:
    if not callable(getattr(model, "validation_step", None)):
        raise ModuleProtocolError(
            f"{type(model).__name__} has no validation_step(), which validation data needs. Define "
            f"validation_step(self, batch, batch_idx, hiddens), or leave the validation data out."
        )


def _parameters(model: Any) -> list[Any]:
    if callable(getattr(model, "parameters", None)):
        return list(model.parameters())
    return [value for _, value in backends.current_backend().interop.named_parameters(model)]


def _set_mode(model: Any, training: bool) -> None:
    if callable(getattr(model, "train", None)):
        model.train(training)
