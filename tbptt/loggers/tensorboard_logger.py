"""Metrics and hyperparameters as TensorBoard event files."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import Any

from tbptt.loggers.directory import DirectoryLogger
from tbptt.loggers.event_file import EventFile, tensorboard
from tbptt.loggers.values import checked, flat


class TensorBoardLogger(DirectoryLogger):
    """Writes an event file into ``<save_dir>/<name>/version_N``; ``tensorboard --logdir <save_dir>`` shows it.

    A scalar per metric and step, in float32 as TensorBoard keeps them; hyperparameters for its HPARAMS page. Needs the package
    tensorboard (``pip install 'tbptt[tensorboard]'``), whose parts it uses import no engine.

    >>> import tempfile
    >>> from tbptt.loggers import TensorBoardLogger
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     logger = TensorBoardLogger(folder, name="chars")
    ...     logger.log_hyperparams({"optimizer": {"lr": 0.1}})
    ...     logger.log_metrics({"epoch": 0, "train_loss": 0.5}, step=9)
    ...     logger.finalize("success")

    Args:
        save_dir: the folder that holds the experiments.
        name: of the experiment, a folder in it; empty or None for none.
        version: of the run: a number N for the folder ``version_N``, a text for a folder of that name, None for the next
            free number. A folder that exists gets one more event file, which TensorBoard reads as the same run.
        sub_dir: a folder in the run's own for the event file, such as ``"validation"``.
        prefix: put before the names of all metrics, with a ``-`` between.
        flush_secs: the seconds after which an event also writes out those before it.

    Raises:
        ConfigurationError: if the package tensorboard is not installed.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "tbptt_logs",
        version: int | str | None = None,
        sub_dir: str | None = None,
        prefix: str = "",
        flush_secs: float = 120,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        self._summary = tensorboard(
            "compat.proto.summary_pb2"
        ).Summary  # missing, it is missed before a run, not within
        self._sub_dir, self._flush_secs = sub_dir or "", flush_secs
        self._file: EventFile | None = None
        self._hparams: dict[str, bool | int | float | str] = {}

    @property
    def log_dir(self) -> str:
        """The folder of the event file."""
        return os.path.join(super().log_dir, self._sub_dir)

    def _events(self) -> EventFile:
        if self._file is None:
            self._file = EventFile(self._make_log_dir(), self._flush_secs)
            weakref.finalize(self, self._file.close)
        return self._file

    def _write(self, metrics: dict[str, int | float], step: int) -> None:
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._events().write(step=step, summary=self._summary(value=values))

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Keep the settings of the run, nested ones under names such as ``optimizer/lr``.

        TensorBoard shows the first it reads of a run, so log them together.

        Raises:
            ConfigurationError: if `params` is no mapping.
        """
        merged = self._hparams | flat(checked(params))
        if merged != self._hparams:
            self._hparams = merged
            self._events().write(summary=tensorboard("plugins.hparams.summary_v2").hparams_pb(merged))

    def save(self) -> None:
        """Write out the events held in memory."""
        if self._file is not None:
            self._file.flush()

    def finalize(self, status: str) -> None:
        """Write out and close; logging after it continues the same file."""
        if self._file is not None:
            self._file.close()
