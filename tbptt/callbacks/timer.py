"""How long a run takes, and its end when the time is up."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from tbptt.callbacks.base import Callback
from tbptt.errors import ConfigurationError
from tbptt.types import Tree

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer

_STAGES = ("train", "validate", "test", "predict")


class Timer(Callback):
    """Measures each stage, and stops training once it has taken `duration`.

    >>> import tbptt
    >>> timer = tbptt.callbacks.Timer("00:12:00:00")  # twelve hours
    >>> timer.time_remaining(), timer.time_elapsed("validate")
    (43200.0, 0.0)

    Args:
        duration: a `timedelta`, its keyword arguments as a dict, or a string ``"DD:HH:MM:SS"``; None only measures. A resumed run
            has what the saved one left of it.
        interval: where the time is looked at: after every ``"window"``, ``"batch"`` or ``"epoch"``.
        verbose: print when the time is up.

    Raises:
        ConfigurationError: for a duration or an interval that is none of these.

    Source: `lightning.pytorch.callbacks.Timer`.
    """

    def __init__(
        self,
        duration: timedelta | dict[str, float] | str | None = None,
        interval: Literal["window", "batch", "epoch"] = "window",
        verbose: bool = False,
    ) -> None:
        if interval not in ("window", "batch", "epoch"):
            raise ConfigurationError(f"interval must be 'window', 'batch' or 'epoch'; received {interval!r}.")
        self.interval = interval
        self.duration = _seconds(duration)
        self.verbose = verbose
        self._started: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._before = 0.0  # seconds of training in the run that this one resumes

    def time_elapsed(self, stage: str = "train") -> float:
        """Seconds of ``"train"``, or of the latest ``"validate"``, ``"test"`` or ``"predict"``; 0 before its start."""
        if stage not in _STAGES:
            raise ConfigurationError(f"There is no stage {stage!r}; expected one of {', '.join(_STAGES)}.")
        before = self._before if stage == "train" else 0.0
        if stage not in self._started:
            return before
        return before + self._ended.get(stage, time.monotonic()) - self._started[stage]

    def time_remaining(self) -> float | None:
        """Seconds of training left, less than 0 after the end; None without a duration."""
        return None if self.duration is None else self.duration - self.time_elapsed()

    def state_dict(self) -> dict[str, Any]:
        """Seconds of training so far."""
        return {"time_elapsed": self.time_elapsed()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting from there."""
        self._before = state["time_elapsed"]

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Start; a resumed run's time may be up already."""
        self._start("train")
        self._look(trainer)

    def on_window_end(self, trainer: Trainer, module: Any, outputs: Any, window: Tree, window_idx: int) -> None:
        """Look at the time, if it is to be here."""
        if self.interval == "window":
            self._look(trainer)

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Tree, batch_idx: int) -> None:
        """Look at the time, if it is to be here."""
        if self.interval == "batch":
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """Look at the time, if it is to be here."""
        if self.interval == "epoch":
            self._look(trainer)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """Stop counting."""
        self._end("train")

    def on_validation_start(self, trainer: Trainer, module: Any) -> None:
        """Start counting this validation."""
        self._start("validate")

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """Stop counting it."""
        self._end("validate")

    def on_test_start(self, trainer: Trainer, module: Any) -> None:
        """Start counting this test."""
        self._start("test")

    def on_test_end(self, trainer: Trainer, module: Any) -> None:
        """Stop counting it."""
        self._end("test")

    def on_predict_start(self, trainer: Trainer, module: Any) -> None:
        """Start counting this prediction."""
        self._start("predict")

    def on_predict_end(self, trainer: Trainer, module: Any) -> None:
        """Stop counting it."""
        self._end("predict")

    def _start(self, stage: str) -> None:
        self._started[stage] = time.monotonic()
        self._ended.pop(stage, None)

    def _end(self, stage: str) -> None:
        self._ended[stage] = time.monotonic()

    def _look(self, trainer: Trainer) -> None:
        remaining = self.time_remaining()
        if remaining is None or remaining > 0:
            return
        if self.verbose and not trainer.should_stop:
            print(f"Timer: the time is up after {timedelta(seconds=round(self.time_elapsed()))}.")
        trainer.should_stop = True


def _seconds(duration: timedelta | dict[str, float] | str | None) -> float | None:
    if isinstance(duration, str):
        parts = re.fullmatch(r"\s*(\d+):(\d\d):(\d\d):(\d\d)\s*", duration)
        if parts is None:
            raise ConfigurationError(
                f"duration is {duration!r}; expected days, hours, minutes and seconds as 'DD:HH:MM:SS', like '00:12:00:00'."
            )
        days, hours, minutes, seconds = map(int, parts.groups())
        duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    elif isinstance(duration, dict):
        try:
            duration = timedelta(**duration)
        except TypeError as error:
            raise ConfigurationError(
                f"duration is {duration!r}; expected keyword arguments of datetime.timedelta, like {{'hours': 12}}."
            ) from error
    return None if duration is None else duration.total_seconds()
