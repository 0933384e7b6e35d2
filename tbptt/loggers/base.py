"""What a trainer asks of a logger."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any


class Logger(ABC):
    """Keeps metrics and hyperparameters; names and habits are those of Lightning's loggers.

    Only `log_metrics` has to be written.

    >>> from tbptt.loggers import Logger
    >>> class Print(Logger):
    ...     def log_metrics(self, metrics, step=None):
    ...         print(step, metrics)
    >>> Print().log_metrics({"train_loss": 0.5}, step=3)
    3 {'train_loss': 0.5}
    """

    @abstractmethod
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep numbers by name; `step` is the optimizer step they belong to, None the one after the last."""

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # noqa: B027  (a logger may do without)
        """Keep the settings of the run; a later call adds to an earlier one."""

    def save(self) -> None:  # noqa: B027  (a logger may do without)
        """Write out what is still held in memory."""

    def finalize(self, status: str) -> None:
        """Write out and close, at the end of every run (``"success"`` or ``"failed"``); logging may go on after it."""
        self.save()

    @property
    def name(self) -> str | None:
        """The experiment, which groups versions."""
        return None

    @property
    def version(self) -> int | str | None:
        """The run within the experiment."""
        return None

    @property
    def save_dir(self) -> str | None:
        """The folder that holds the experiments."""
        return None

    @property
    def log_dir(self) -> str | None:
        """The folder of this run."""
        return None
