"""The trainer's argument `logger=`, in all its forms, as a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tbptt.errors import ConfigurationError
from tbptt.loggers.base import Logger
from tbptt.loggers.csv_logger import CSVLogger


class AdaptedLogger(Logger):
    """A user's object with `log_metrics`, and whatever else of a `Logger` it has.

    Args:
        logger: the object; it stays available under this name.
    """

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand on."""
        self.logger.log_metrics(metrics, step)

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Hand on, where the object takes them."""
        self._call("log_hyperparams", params)

    def save(self) -> None:
        """Hand on, where the object does so."""
        self._call("save")

    def finalize(self, status: str) -> None:
        """Hand on, where the object has an end."""
        self._call("finalize", status)

    @property
    def name(self) -> str | None:
        """The object's, or None."""
        return getattr(self.logger, "name", None)

    @property
    def version(self) -> int | str | None:
        """The object's, or None."""
        return getattr(self.logger, "version", None)

    @property
    def save_dir(self) -> str | None:
        """The object's, or None."""
        return getattr(self.logger, "save_dir", None)

    @property
    def log_dir(self) -> str | None:
        """The object's, or None."""
        return getattr(self.logger, "log_dir", None)

    def _call(self, method: str, *arguments: Any) -> None:
        function = getattr(self.logger, method, None)
        if function is not None:
            function(*arguments)


def as_loggers(
    logger: bool | Logger | Iterable[Logger] | None, default_root_dir: str | os.PathLike[str] | None = None
) -> list[Logger]:
    """The loggers of a trainer: none for None and False, a `CSVLogger` in `default_root_dir` for True, else those given.

    An object that is no `Logger` but has a method ``log_metrics(metrics, step)`` is adapted.

    >>> from tbptt.loggers import CSVLogger, as_loggers
    >>> as_loggers(False, None)
    []
    >>> as_loggers(True, "runs")[0].save_dir
    'runs'

    Raises:
        ConfigurationError: for anything else.
    """
    if logger is None or logger is False:
        return []
    if logger is True:
        return [CSVLogger("." if default_root_dir is None else default_root_dir)]
    if isinstance(logger, Iterable) and not _logs(logger):
        return [_as_logger(one) for one in logger]
    return [_as_logger(logger)]


def _logs(candidate: Any) -> bool:
    return not isinstance(candidate, type) and callable(getattr(candidate, "log_metrics", None))


def _as_logger(candidate: Any) -> Logger:
    if isinstance(candidate, Logger):
        return candidate
    if not _logs(candidate):
        kind = f"the class {candidate.__name__}" if isinstance(candidate, type) else repr(candidate)
        raise ConfigurationError(
            f"logger= expected True, False, a logger or a list of loggers, each an object with a method "
            f"log_metrics(metrics, step); received {kind}. Pass for example tbptt.loggers.CSVLogger('runs')."
        )
    return AdaptedLogger(candidate)
