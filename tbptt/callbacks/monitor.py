"""What callbacks that watch one metric share: its direction, and what they say when it is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from tbptt.errors import ConfigurationError

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer

Mode: TypeAlias = Literal["min", "max"]
"""Whether less or more of the metric is better."""


def check_mode(mode: str) -> None:
    """Raise ConfigurationError for anything but ``"min"`` and ``"max"``."""
    if mode not in ("min", "max"):
        raise ConfigurationError(
            f"mode must be 'min' (less is better, as of a loss) or 'max' (more is better); received {mode!r}."
        )


def is_better(value: float, best: float, mode: Mode) -> bool:
    """Whether `value` beats `best`; NaN beats nothing.

    >>> from tbptt.callbacks.monitor import is_better
    >>> is_better(0.1, 0.2, "min"), is_better(0.1, 0.2, "max"), is_better(float("nan"), 0.2, "min")
    (True, False, False)
    """
    return value < best if mode == "min" else value > best


def worst(mode: Mode) -> float:
    """What every finite value beats."""
    return math.inf if mode == "min" else -math.inf


def watched_value(metrics: Mapping[str, float], name: str, who: str) -> float:
    """The latest value of a metric.

    Raises:
        ConfigurationError: listing what there is, if nothing of that name was logged.
    """
    if name not in metrics:
        raise ConfigurationError(
            f"{who} watches {name!r}, and nothing of that name has been logged. There is: "
            f"{', '.join(sorted(metrics)) or 'nothing yet'}. Log it with self.log({name!r}, value) in the step, or watch another."
        )
    return float(metrics[name])


class Occasion:
    """Whether a metric's time is after validations or after training epochs.

    A mean over a training epoch is known after the validation inside that epoch. So by default the time is after validations,
    where the run has any, unless the metric is not there yet after the first one, or is there before it.

    Args:
        after_epochs: the answer, if it is given; None decides as above.
        monitor: the metric; None for no particular one.
    """

    def __init__(self, after_epochs: bool | None, monitor: str | None) -> None:
        self._after_epochs = after_epochs
        self._monitor = monitor

    def is_after_validation(self, trainer: Trainer) -> bool:
        """Whether it is now; asked at the end of every validation of a fit."""
        if self._after_epochs is None:
            self._after_epochs = self._monitor is not None and self._monitor not in trainer.callback_metrics
        return not self._after_epochs

    def is_after_epoch(self, trainer: Trainer) -> bool:
        """Whether it is now; asked at the end of every training epoch."""
        if self._after_epochs is None:  # nothing has been validated so far
            known = self._monitor is not None and self._monitor in trainer.callback_metrics
            self._after_epochs = True if known or not trainer.has_validation else None
        return bool(self._after_epochs)
