"""End the run when a metric no longer gets better."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tbptt.callbacks.base import Callback
from tbptt.callbacks.monitor import Mode, Occasion, check_mode, is_better, watched_value, worst

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class EarlyStopping(Callback):
    """Stops once `monitor` has not improved for `patience` checks. The trainer still keeps its min_epochs and min_steps.

    >>> import tbptt
    >>> stopping = tbptt.callbacks.EarlyStopping("val_loss", patience=5, min_delta=1e-3)
    >>> trainer = tbptt.Trainer(max_epochs=100, callbacks=stopping)

    Args:
        monitor: name of a logged metric.
        min_delta: an improvement is a change by more than this.
        patience: checks without improvement before the run ends.
        verbose: print every improvement, and why the run ends.
        mode: ``"min"`` or ``"max"``: whether less or more is better.
        strict: a metric that was not logged is an error; otherwise the check is passed over.
        check_finite: end when the metric is NaN or infinite.
        stopping_threshold: end when the metric is better than this.
        divergence_threshold: end when the metric is worse than this.
        check_on_train_epoch_end: check after training epochs rather than after validations. None: after validations where the
            run has any and the metric is known by then, otherwise after training epochs.

    Attributes:
        wait_count: checks since the last improvement.
        best_score: the best value so far.
        stopped_epoch: the epoch, from 0, in which it ended the run; 0 while it has not.
        stopping_reason: why it ended the run, in words; None while it has not.

    Raises:
        ConfigurationError: for another mode; during the run, if `strict` and the metric was not logged.

    Source: `lightning.pytorch.callbacks.EarlyStopping`; Prechelt 1998.
    """

    after_module = True

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: Mode = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
    ) -> None:
        check_mode(mode)
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode: Mode = mode
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.check_on_train_epoch_end = check_on_train_epoch_end
        self.wait_count = 0
        self.stopped_epoch = 0
        self.best_score = worst(mode)
        self.stopping_reason: str | None = None
        self._fitting = False
        self._occasion = Occasion(check_on_train_epoch_end, monitor)

    @property
    def state_key(self) -> str:
        """Names metric and mode: a run may have several."""
        return f"EarlyStopping(monitor={self.monitor!r}, mode={self.mode!r})"

    def state_dict(self) -> dict[str, Any]:
        """The best score and how long ago it was."""
        return {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on waiting where the saved run was."""
        self.wait_count = state["wait_count"]
        self.stopped_epoch = state["stopped_epoch"]
        self.best_score = state["best_score"]
        self.patience = state["patience"]

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        """Only a fit is ever stopped."""
        self._fitting = stage == "fit" and not trainer.fast_dev_run
        self._occasion = Occasion(self.check_on_train_epoch_end, self.monitor)

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """Check, if it is to be here."""
        if self._fitting and not trainer.sanity_checking and self._occasion.is_after_validation(trainer):
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """Check, if it is to be here."""
        if self._fitting and self._occasion.is_after_epoch(trainer):
            self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if not self.strict and self.monitor not in trainer.callback_metrics:
            return
        value = watched_value(trainer.callback_metrics, self.monitor, "EarlyStopping")
        reason = self._reason_to_stop(value)
        if reason:
            self.stopping_reason = reason
            self.stopped_epoch = trainer.current_epoch
            trainer.should_stop = True
            self._say(f"{reason} The run ends after epoch {trainer.current_epoch + 1}.")

    def _reason_to_stop(self, value: float) -> str | None:
        name, mode = self.monitor, self.mode
        margin = self.min_delta if mode == "min" else -self.min_delta
        if self.check_finite and not math.isfinite(value):
            return f"{name} is {value}; the best was {self.best_score:.6g}."
        if self.stopping_threshold is not None and is_better(value, self.stopping_threshold, mode):
            return f"{name} = {value:.6g} has reached stopping_threshold = {self.stopping_threshold:.6g}."
        if self.divergence_threshold is not None and is_better(self.divergence_threshold, value, mode):
            return f"{name} = {value:.6g} is past divergence_threshold = {self.divergence_threshold:.6g}."
        if is_better(value + margin, self.best_score, mode):
            self._say(f"{name} improved from {self.best_score:.6g} to {value:.6g}.")
            self.best_score = value
            self.wait_count = 0
            return None
        self.wait_count += 1
        if self.wait_count < self.patience:
            return None
        return f"{name} has not improved in the last {self.wait_count} checks; the best was {self.best_score:.6g}."

    def _say(self, text: str) -> None:
        if self.verbose:
            print(f"EarlyStopping: {text}")
