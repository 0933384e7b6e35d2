"""A folder for every run, ``<save_dir>/<name>/version_N``, and numbers that no two runs share."""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

from tbptt.loggers.base import Logger
from tbptt.loggers.values import scalars


class DirectoryLogger(Logger):
    """Base of the loggers that write files.

    Nothing is made on disk before something is logged, or before `version` or `log_dir` is asked for: a number that was
    told to anybody must be this run's own.

    Args:
        save_dir: the folder that holds the experiments.
        name: of the experiment, a folder in it; empty or None for none.
        version: of the run: a number N for the folder ``version_N``, a text for a folder of that name, None for the next
            free number. A folder that exists is written on.
        prefix: put before the names of all metrics, with a ``-`` between.
    """

    def __init__(
        self, save_dir: str | os.PathLike[str], name: str | None, version: int | str | None, prefix: str
    ) -> None:
        self._save_dir, self._name, self._version, self._prefix = os.fspath(save_dir), name or "", version, prefix
        self._next_step = 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep numbers by name. A metric named ``step`` is the step, None the one after the last; no metric is nothing.

        Raises:
            ConfigurationError: for a value that is no scalar number; nothing is kept then.
        """
        numbers = scalars(metrics)
        if numbers:
            step = int(numbers.pop("step", self._next_step if step is None else step))
            prefix = f"{self._prefix}-" if self._prefix else ""
            self._write({prefix + name: value for name, value in numbers.items()}, step)
            self._next_step = step + 1

    @abstractmethod
    def _write(self, metrics: dict[str, int | float], step: int) -> None:
        """Keep a step's numbers."""

    @property
    def name(self) -> str:
        """The experiment's folder in `save_dir`."""
        return self._name

    @property
    def save_dir(self) -> str:
        """The folder that holds the experiments."""
        return self._save_dir

    @property
    def version(self) -> int | str:
        """The run's number; asking for it takes the next free one, where none was given."""
        if self._version is None:
            self._version = next_version(Path(self._save_dir, self._name))
        return self._version

    @property
    def log_dir(self) -> str:
        """The run's folder."""
        version = self.version if isinstance(self.version, str) else f"version_{self.version}"
        return os.path.join(self._save_dir, self._name, version)

    def _make_log_dir(self) -> Path:
        folder = Path(self.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def next_version(folder: Path) -> int:
    """Make ``version_N`` with N above all that exist, and return N. Of processes that race, each gets its own."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [re.fullmatch(r"version_(\d+)", entry.name) for entry in folder.iterdir()]
    version = 1 + max((int(match[1]) for match in found if match), default=-1)
    while True:
        try:
            (folder / f"version_{version}").mkdir()
        except FileExistsError:  # another process was faster
            version += 1
        else:
            return version
