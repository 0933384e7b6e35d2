"""The four stages from beginning to end: data and model prepared, the loop run, everything closed again."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from tbptt import state
from tbptt.errors import ConfigurationError
from tbptt.nn import weights
from tbptt.nn.native import named_tensors_of, parameters_of
from tbptt.trainer import checkpoint, connection
from tbptt.trainer.automatic import Automatic
from tbptt.trainer.chain import Chain
from tbptt.trainer.combination import Combination
from tbptt.trainer.configuration import Configuration, configure
from tbptt.trainer.dispatch import Hooks, overridden
from tbptt.trainer.effects import Effects
from tbptt.trainer.evaluation import EvaluationLoop, Stage
from tbptt.trainer.fitting import FitLoop
from tbptt.trainer.logs import LogBook
from tbptt.trainer.manual import Manual
from tbptt.trainer.optimization import OptimizerHandle, Programs
from tbptt.trainer.scaling import LossScale
from tbptt.trainer.schedulers import Schedulers
from tbptt.trainer.step import Step
from tbptt.trainer.walk import Ground, count_batches, limited

_STAGES: dict[str, Stage] = {"validate": "validation", "test": "test", "predict": "predict"}


@contextmanager
def _run(trainer: Any, hooks: Callable[[], Hooks]) -> Iterator[None]:
    """What holds around every stage: an exception reaches the callbacks first; loggers are closed and told how it ended."""
    book = trainer.book
    try:
        yield
    except BaseException as error:
        trainer.in_batch = trainer.sanity_checking = False
        with suppress(Exception):  # what ended the run may have left values that cannot be fetched
            book.flush()
        try:
            hooks()("on_exception", error)
        finally:
            for logger in trainer.loggers:
                logger.finalize("failed")
        raise
    for logger in trainer.loggers:
        logger.finalize("success")


class Fitting:
    """``Trainer.fit``."""

    def __init__(self, trainer: Any, model: Any, train: Any, validation: Any, datamodule: Any) -> None:
        connection.check_model(model, "fit")
        self._train, self._datamodule = connection.as_datamodule(train, datamodule)
        self._validation = validation
        if validation is not None:
            connection.check_model(model, "validate")
        self._trainer, self._model = trainer, model
        self._hooks = Hooks(trainer, model, trainer.callbacks, self._datamodule, trainer.profiler)

    def run(self) -> None:
        """All of it."""
        trainer = self._trainer
        trainer.model = self._model
        trainer.current_epoch = trainer.global_step = 0
        trainer.should_stop = False
        trainer.callback_metrics, trainer.logged_metrics = {}, {}
        trainer.book = LogBook(step_default=True, epoch_default=False, send=trainer.send)
        with connection.surroundings(self._model, trainer), _run(trainer, lambda: self._hooks):
            self._hooks("prepare_data")
            trainer.callbacks = connection.with_models_callbacks(trainer.callbacks, self._model)
            hooks = self._hooks = Hooks(trainer, self._model, trainer.callbacks, self._datamodule, trainer.profiler)
            hooks("on_fit_start")
            hooks("setup", "fit")
            loop, validation = self._prepare(hooks)
            hooks("on_pretrain_routine_start")
            self._introduce()
            hooks("on_pretrain_routine_end")
            if validation is not None and trainer.num_sanity_val_steps:
                trainer.sanity_checking = True
                only = trainer.num_sanity_val_steps
                validation.run(only if only > 0 else None, keep=False)
                trainer.sanity_checking = False
            with trainer.profiled("fit"):
                loop.run()
            trainer.optimization = None
            hooks("on_fit_end")
            hooks("teardown", "fit")
        if trainer.profiler:
            print(trainer.profiler.summary())

    def _prepare(self, hooks: Hooks) -> tuple[FitLoop, EvaluationLoop | None]:
        trainer, model = self._trainer, self._model
        connection.prepare(model, trainer.parameter_dtype, trainer.device)
        ground = connection.ground_of(model, trainer)
        source = connection.source_of("fit", self._train, model, self._datamodule)
        limit = limited("limit_train_batches", trainer.limits["fit"], source)
        count = count_batches(source)
        trainer.num_training_batches = count if limit is None else limit if count is None else min(count, limit)
        trainer.validation_every = self._validation_every(trainer.num_training_batches)
        validation = self._validation_loop(hooks, ground)
        trainer.has_validation = validation is not None
        optimization, configuration, schedulers, ground = self._optimization(hooks, ground)
        trainer.optimization = optimization
        loop = FitLoop(
            trainer, model, hooks, ground, configuration, schedulers, optimization, source, limit, validation
        )
        return loop, validation

    def _optimization(
        self, hooks: Hooks, ground: Ground
    ) -> tuple[Automatic | Manual, Configuration, Schedulers, Ground]:
        """What runs a window, the optimizers it was made of, their schedulers, and how batches are cut for it."""
        trainer, model = self._trainer, self._model
        automatic = getattr(model, "automatic_optimization", True)
        configuration = configure(model, ground.backend, parameters_of(model), automatic)
        self._check(configuration)
        scale = LossScale() if trainer.compute_dtype == "float16" else None
        programs = [Programs(optimizer, ground.backend, trainer.compile) for optimizer in configuration.optimizers]
        handles = [
            OptimizerHandle(optimizer, program, trainer.clip, scale, trainer.stepped)
            for optimizer, program in zip(configuration.optimizers, programs, strict=True)
        ]
        schedulers = Schedulers(
            configuration.schedulers if automatic else [],  # in manual optimization they are the module's to step
            lambda: trainer.callback_metrics | trainer.book.step_metrics(),
            hooks.of_module("lr_scheduler_step"),
        )
        trainer.optimizers, trainer.handles = configuration.optimizers, handles
        trainer.lr_scheduler_configs = configuration.schedulers
        step, ground = self._step(hooks, ground, automatic, len(handles) > 1)
        trainer.train_step = step
        accumulates = trainer.accumulate_grad_batches > 1 or trainer.accumulate_grad_windows > 1
        optimization: Automatic | Manual
        if automatic:
            effects = Effects(model, ground.backend)
            chain = Chain(step, effects, Combination(step, effects))
            optimization = Automatic(
                step,
                handles,
                programs,
                trainer.clip,
                hooks,
                scale,
                accumulates,
                trainer.stepped,
                trainer.profiler,
                chain,
            )
        else:
            for handle in handles:
                handle.hold = math.inf if trainer.accumulate_grad_batches > 1 else trainer.accumulate_grad_windows
            optimization = Manual(step, handles, hooks, scale)
        return optimization, configuration, schedulers, ground

    def _step(self, hooks: Hooks, ground: Ground, automatic: bool, several: bool) -> tuple[Step, Ground]:
        trainer, model = self._trainer, self._model
        step = Step(
            model.training_step,
            end=overridden(model, "training_step_end"),
            backend=ground.backend,
            compile=trainer.compile if automatic else False,
            options=trainer.book.options,
            carries=ground.carries,
            time_axis=ground.time_axis,
            several=several and automatic,
            keeps_extras=hooks.any("training_epoch_end", "on_window_end", "on_train_batch_end"),
            compute_dtype=trainer.compute_dtype,
            begins=connection.beginning_of(model, trainer),
            detach=trainer.detach_fn or state.detach,
        )
        if not step.takes_hiddens:
            if automatic and ground.carries:
                raise connection.hiddens_not_taken(step)
            ground = ground.whole()
        return step, ground

    def _validation_loop(self, hooks: Hooks, ground: Ground) -> EvaluationLoop | None:
        trainer, model = self._trainer, self._model
        source = connection.source_of("validate", self._validation, model, self._datamodule, needed=False)
        if source is not None and not connection.has_step(model, "validation_step"):
            connection.warn_of_unused(model, source)
            return None
        limit = None if source is None else limited("limit_val_batches", trainer.limits["validate"], source)
        if source is None or limit == 0:
            return None
        return EvaluationLoop(trainer, model, hooks, ground, "validation", source, limit)

    def _validation_every(self, batches: int | None) -> int | None:
        """Batches between two validations; None for the end of the epoch."""
        given = self._trainer.val_check_interval
        if given == 1.0 and isinstance(given, float):
            return None
        if isinstance(given, int):
            if self._trainer.check_val_every_n_epoch is not None and batches is not None and given > batches:
                raise ConfigurationError(
                    f"val_check_interval={given} batches is more than an epoch has, {batches}: validation would never run. Lower "
                    f"it, or set check_val_every_n_epoch=None to count batches across epochs."
                )
            return given
        if batches is None or int(batches * given) < 1:
            raise ConfigurationError(
                f"val_check_interval={given} is a fraction of an epoch, and the data brings "
                f"{'an unknown number of' if batches is None else batches} batches. Give a whole number of batches, or bring the "
                f"data in more batches (block_steps= of a stream)."
            )
        return int(batches * given)

    def _check(self, configuration: Configuration) -> None:
        trainer = self._trainer
        if trainer.accumulate_grad_batches == trainer.accumulate_grad_windows == 1:
            return
        searching = [o for o in configuration.optimizers if getattr(o, "uses_closure", False)]
        if searching:
            raise ConfigurationError(
                f"{type(searching[0].native).__name__} computes the loss again as it searches along a line, and of an accumulation "
                f"only the last window is at hand then. Leave accumulate_grad_batches and accumulate_grad_windows at 1, or use "
                f"another optimizer."
            )
        if configuration.frequencies:
            raise ConfigurationError(
                "Optimizers that take turns ('frequency') do not accumulate gradients. Leave accumulate_grad_batches and "
                "accumulate_grad_windows at 1, or let every optimizer see every batch."
            )

    def _introduce(self) -> None:
        trainer, model = self._trainer, self._model
        hparams = dict(getattr(model, "hparams", {}) or {})
        if hparams:
            for logger in trainer.loggers:
                logger.log_hyperparams(hparams)
        if trainer.enable_model_summary:
            from tbptt.summary import ModelSummary  # here: rich takes a tenth of the time an import may take

            print(ModelSummary(model), file=sys.stderr)


class Evaluating:
    """``Trainer.validate``, ``Trainer.test`` and ``Trainer.predict``."""

    def __init__(
        self,
        trainer: Any,
        stage: Literal["validate", "test", "predict"],
        model: Any,
        data: Any,
        ckpt_path: Any,
        datamodule: Any,
    ) -> None:
        fitted = trainer.model
        model = trainer._model() if model is None else model
        data, self._datamodule = connection.as_datamodule(data, datamodule)
        connection.check_model(model, stage)
        callback = trainer.checkpoint_callback
        if (
            ckpt_path is None
            and stage == "test"
            and model is fitted
            and callback is not None
            and callback.best_model_path
        ):
            ckpt_path = "best"
        self._trainer, self._stage, self._model, self._data = trainer, stage, model, data
        self._path = self._resolved(ckpt_path)
        trainer.model = model

    def _resolved(self, ckpt_path: Any) -> Any:
        if ckpt_path not in ("best", "last"):
            return ckpt_path
        callback = self._trainer.checkpoint_callback
        path = getattr(callback, f"{ckpt_path}_model_path", None)
        if not path:
            raise ConfigurationError(
                f"ckpt_path={ckpt_path!r} needs a ModelCheckpoint among the callbacks that has saved one"
                f"{' (save_last=True)' if ckpt_path == 'last' else ''}. Add it before fit, or give a path."
            )
        return path

    def run(self) -> tuple[list[dict[str, float]], list[Any]]:
        """Metrics, in a list of one, and predictions."""
        trainer, model, stage = self._trainer, self._model, self._stage
        hooks = Hooks(trainer, model, trainer.callbacks, self._datamodule, trainer.profiler)
        with connection.surroundings(model, trainer), _run(trainer, lambda: hooks):
            hooks("prepare_data")
            trainer.callbacks = connection.with_models_callbacks(trainer.callbacks, model)
            hooks = Hooks(trainer, model, trainer.callbacks, self._datamodule, trainer.profiler)
            hooks("setup", stage)
            connection.prepare(model, trainer.parameter_dtype, trainer.device)
            ground = connection.ground_of(model, trainer)
            source = connection.source_of(stage, self._data, model, self._datamodule)
            limit = limited(f"limit_{stage.removesuffix('idate')}_batches", trainer.limits[stage], source)
            loop = EvaluationLoop(trainer, model, hooks, ground, _STAGES[stage], source, limit)
            with self._weights(hooks):
                metrics, predictions = loop.run()
            hooks("teardown", stage)
        return [metrics], predictions

    @contextmanager
    def _weights(self, hooks: Hooks) -> Iterator[None]:
        """Inside the block the model has the checkpoint's weights."""
        if self._path is None:
            yield
            return
        named = named_tensors_of(self._model)
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder, "own.safetensors")
            weights.save(named, own)
            checkpoint.load(self._path, self._model, hooks)
            try:
                yield
            finally:
                weights.load(named, own)
