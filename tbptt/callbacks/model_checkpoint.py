"""Checkpoints on disk: the best ones by a metric, or the latest."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbptt.callbacks.base import Callback
from tbptt.callbacks.checkpoint_names import DEFAULT_NAME, SUFFIX, fill_name, free_path, names_in
from tbptt.callbacks.monitor import Mode, Occasion, check_mode, is_better, watched_value, worst
from tbptt.callbacks.weight_averaging import WeightAveraging
from tbptt.errors import ConfigurationError
from tbptt.types import Tree

if TYPE_CHECKING:
    import os

    from tbptt.trainer.trainer import Trainer

_ELSEWHERE = {
    "every_n_train_steps": "every_n_windows, which counts windows",
    "train_time_interval": "every_n_windows or every_n_epochs",
    "every_n_val_epochs": "every_n_epochs",
    "period": "every_n_epochs",
}
"""What Lightning's users may write, and what it is called here."""


class ModelCheckpoint(Callback):
    """Saves with ``trainer.save_checkpoint`` at the end of epochs, or every so many windows, and keeps the best `save_top_k`.

    A file that is no longer among the best goes only after the new one is written. Nothing is saved in the sanity validation and
    with ``fast_dev_run``. Beside an `EMAWeightAveraging` the averages are saved, which are what was validated.

    >>> import tbptt
    >>> best = tbptt.callbacks.ModelCheckpoint(monitor="val_loss", filename="{epoch}-{val_loss:.2f}", save_top_k=3)
    >>> trainer = tbptt.Trainer(max_epochs=10, callbacks=best)

    Args:
        dirpath: folder; None: ``checkpoints`` in the first logger's folder, or in the trainer's ``default_root_dir``.
        filename: template: ``{name}`` and ``{name:.2f}`` become ``name=value`` of a logged metric, of ``epoch`` (from 0) or
            ``step`` (optimizer steps done). None: ``"{epoch}-{step}"``. A name another file has gets ``-v1``, ``-v2``, ...
        monitor: the metric that makes one checkpoint better than another; None: the latest is the best.
        save_last: also keep ``last.safetensors``, written with every checkpoint and at the end.
        save_top_k: how many to keep; −1: all, 0: none. Without `monitor` −1, 0 or 1.
        mode: ``"min"`` or ``"max"``: whether less or more of the metric is better.
        save_weights_only: a checkpoint has weights, hyperparameters and counters; False, with the optimizers' state, there is not.
        every_n_epochs: of the epochs, save every n-th. None: every one, unless `every_n_windows` is given.
        every_n_windows: save after every n-th window instead.
        save_on_train_epoch_end: save after the training epoch rather than after validation. None: after validation where the run
            has any and the metric is known by then, otherwise after the training epoch.
        auto_insert_metric_name: write ``name=`` before the value in file names.
        verbose: print what is saved.

    Attributes:
        best_model_path, best_model_score: the best file and its metric; ``""`` and None before there is one.
        last_model_path: the file of `save_last`.
        best_k_models: the files kept, each with its metric, 0 without `monitor`.
        kth_best_model_path: the worst of these, the next to go.

    Raises:
        ConfigurationError: for arguments that are out of range or exclude each other; during the run, if the metric, or one of the
            file's name, was not logged.

    Source: `lightning.pytorch.callbacks.ModelCheckpoint`.
    """

    after_module = True

    def __init__(
        self,
        dirpath: str | os.PathLike[str] | None = None,
        filename: str | None = None,
        monitor: str | None = None,
        save_last: bool = False,
        save_top_k: int = 1,
        mode: Mode = "min",
        save_weights_only: bool = True,
        every_n_epochs: int | None = None,
        every_n_windows: int | None = None,
        save_on_train_epoch_end: bool | None = None,
        auto_insert_metric_name: bool = True,
        verbose: bool = False,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            hint = f"Here it is {_ELSEWHERE[name]}." if name in _ELSEWHERE else "See help(ModelCheckpoint)."
            raise ConfigurationError(f"ModelCheckpoint has no argument {name!r}. {hint}")
        check_mode(mode)
        if not save_weights_only:
            raise ConfigurationError(
                "save_weights_only=False is not possible: a checkpoint has weights, hyperparameters and counters, and not the "
                "optimizers' state. Leave it out."
            )
        if save_top_k < -1 or (monitor is None and save_top_k > 1):
            raise ConfigurationError(
                f"save_top_k is {save_top_k!r} with monitor={monitor!r}; expected how many to keep, -1 for all or 0 for none, and "
                f"at most 1 without a metric to rank them by."
            )
        if every_n_epochs is not None and every_n_windows is not None:
            raise ConfigurationError("every_n_epochs and every_n_windows exclude each other; use two ModelCheckpoints.")
        for name, count in (("every_n_epochs", every_n_epochs), ("every_n_windows", every_n_windows)):
            if count is not None and count < 1:
                raise ConfigurationError(f"{name} is {count!r}; expected 1 or more, or None.")
        self.dirpath = None if dirpath is None else str(dirpath)
        self.filename = (filename or DEFAULT_NAME).removesuffix(SUFFIX)
        self.monitor = monitor
        self.save_last = save_last
        self.save_top_k = save_top_k
        self.mode: Mode = mode
        self.every_n_epochs = 1 if every_n_epochs is None and every_n_windows is None else every_n_epochs
        self.every_n_windows = every_n_windows
        self.save_on_train_epoch_end = save_on_train_epoch_end
        self.auto_insert_metric_name = auto_insert_metric_name
        self.verbose = verbose
        self.best_model_path = ""
        self.best_model_score: float | None = None
        self.last_model_path = ""
        self.best_k_models: dict[str, float] = {}
        self.kth_best_model_path = ""
        self._directory: Path | None = None
        self._windows = 0
        self._saved_at: tuple[int, int] | None = None
        self._saving = False
        self._occasion = Occasion(save_on_train_epoch_end, monitor)

    @property
    def state_key(self) -> str:
        """Names what sets this one apart: a run may have several."""
        return (
            f"ModelCheckpoint(monitor={self.monitor!r}, mode={self.mode!r}, every_n_epochs={self.every_n_epochs}, "
            f"every_n_windows={self.every_n_windows})"
        )

    def state_dict(self) -> dict[str, Any]:
        """The files and their scores."""
        return {
            "best_model_path": self.best_model_path,
            "best_model_score": self.best_model_score,
            "last_model_path": self.last_model_path,
            "best_k_models": dict(self.best_k_models),
            "kth_best_model_path": self.kth_best_model_path,
            "windows": self._windows,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the files of the saved run."""
        self.best_model_path = state["best_model_path"]
        self.best_model_score = state["best_model_score"]
        self.last_model_path = state["last_model_path"]
        self.best_k_models = dict(state["best_k_models"])
        self.kth_best_model_path = state["kth_best_model_path"]
        self._windows = state["windows"]

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        """Only a fit is ever saved."""
        self._saving = stage == "fit" and not trainer.fast_dev_run
        self._occasion = Occasion(self.save_on_train_epoch_end, self.monitor)
        self._saved_at = None
        if self._saving:
            self._directory = Path(self.dirpath) if self.dirpath is not None else _default_directory(trainer)

    def on_window_end(self, trainer: Trainer, module: Any, outputs: Any, window: Tree, window_idx: int) -> None:
        """Save, if it is this window's turn."""
        self._windows += 1
        if self.every_n_windows is None or self._windows % self.every_n_windows:
            return
        metrics = dict(trainer.callback_metrics)
        for name in {self.monitor or "", *names_in(self.filename)} & set(outputs or ()):
            metrics[name] = float(outputs[name])  # what this window has logged is not among the trainer's metrics yet
        # in the first epoch a metric of validation, or a mean over the epoch, is yet to come
        if self.monitor is None or self.monitor in metrics or trainer.current_epoch:
            self._save(trainer, metrics)

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """Save, if it is to be here."""
        if self._saving and not trainer.sanity_checking and self._occasion.is_after_validation(trainer):
            self._save_epoch(trainer)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """Save, if it is to be here."""
        if self._saving and self._occasion.is_after_epoch(trainer):
            self._save_epoch(trainer)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """Write ``last.safetensors``: averaging may just have given the model other weights."""
        if not self._saving:
            return
        if self.monitor is not None and self.monitor not in trainer.callback_metrics:
            warnings.warn(
                f"ModelCheckpoint watches {self.monitor!r}, which was never logged, so it has saved no best checkpoint. There is: "
                f"{', '.join(sorted(trainer.callback_metrics)) or 'nothing'}.",
                stacklevel=2,
            )
        if self.save_last:
            self._save_last(trainer)

    def format_checkpoint_name(self, metrics: dict[str, float]) -> str:
        """The file's name for these metrics.

        >>> import tbptt
        >>> checkpoint = tbptt.callbacks.ModelCheckpoint(filename="{epoch:02d}-{val_loss:.2f}")
        >>> checkpoint.format_checkpoint_name({"epoch": 3, "val_loss": 0.1234})
        'epoch=03-val_loss=0.12.safetensors'
        """
        return fill_name(self.filename, metrics, self.auto_insert_metric_name) + SUFFIX

    def _save_epoch(self, trainer: Trainer) -> None:
        if self.every_n_epochs is not None and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._save(trainer, trainer.callback_metrics)

    def _save(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        moment = (trainer.current_epoch, trainer.global_step)
        if not self._saving or self._saved_at == moment:
            return
        if self.save_top_k:
            self._save_ranked(trainer, metrics)
        if self.save_last:
            self._save_last(trainer)
        self._saved_at = moment

    def _save_ranked(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Save, if it is good enough, in place of the worst one kept."""
        score = self._score(metrics)
        full = 0 < self.save_top_k <= len(self.best_k_models)
        leaving = self.kth_best_model_path if full else ""
        if leaving and self.monitor is not None and not is_better(score, self.best_k_models[leaving], self.mode):
            return
        counters = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        path = free_path(self._in_directory(self.format_checkpoint_name({**metrics, **counters})), leaving)
        self._write(trainer, path)
        if leaving:
            del self.best_k_models[leaving]
            if leaving != path:
                Path(leaving).unlink(missing_ok=True)
        self.best_k_models[path] = score
        self._rank(trainer)
        if self.verbose:
            print(f"ModelCheckpoint: {path}" + (f", {self.monitor} = {score:.6g}" if self.monitor else ""))

    def _score(self, metrics: dict[str, float]) -> float:
        if self.monitor is None:
            return 0.0
        value = watched_value(metrics, self.monitor, "ModelCheckpoint")
        return worst(self.mode) if value != value else value  # NaN is no better than anything

    def _rank(self, trainer: Trainer) -> None:
        if self.monitor is None:  # the latest is the best
            self.kth_best_model_path, self.best_model_path = (
                next(iter(self.best_k_models)),
                next(reversed(self.best_k_models)),
            )
            return
        pick_best, pick_worst = (min, max) if self.mode == "min" else (max, min)
        self.best_model_path = pick_best(self.best_k_models, key=self.best_k_models.__getitem__)
        self.best_model_score = self.best_k_models[self.best_model_path]
        self.kth_best_model_path = pick_worst(self.best_k_models, key=self.best_k_models.__getitem__)

    def _save_last(self, trainer: Trainer) -> None:
        path = free_path(self._in_directory("last" + SUFFIX), self.last_model_path)
        self._write(trainer, path)
        if self.last_model_path not in ("", path):
            Path(self.last_model_path).unlink(missing_ok=True)
        self.last_model_path = path

    def _in_directory(self, name: str) -> Path:
        assert self._directory is not None  # setup has run
        return self._directory / name

    def _write(self, trainer: Trainer, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with _evaluated_weights(trainer):
            trainer.save_checkpoint(path)


@contextmanager
def _evaluated_weights(trainer: Trainer) -> Iterator[None]:
    """A scope in which the model has the weights it is validated with."""
    with ExitStack() as stack:
        for callback in trainer.callbacks:
            if isinstance(callback, WeightAveraging) and callback.evaluates_averages:
                stack.enter_context(callback.averaged_weights())
        yield


def _default_directory(trainer: Trainer) -> Path:
    folders = [logger.log_dir for logger in trainer.loggers[:1]]
    return Path(folders[0] if folders and folders[0] else trainer.default_root_dir) / "checkpoints"
