"""Metrics as a CSV file, hyperparameters as a JSON file."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping
from typing import Any

from tbptt.data.rows import whole_number
from tbptt.loggers.directory import DirectoryLogger
from tbptt.loggers.files import replacing
from tbptt.loggers.metrics_file import MetricsFile
from tbptt.loggers.values import checked, plain


class CSVLogger(DirectoryLogger):
    """Writes ``<save_dir>/<name>/version_N/metrics.csv`` and ``hparams.json`` beside it.

    A row per call of `log_metrics`; columns are `epoch`, `step`, then all names seen, sorted. What a row lacks is empty, what is
    not finite is ``nan``, ``inf`` or ``-inf``. Rows still held in memory are written when the logger or the process ends, too.

    >>> import pathlib, tempfile
    >>> from tbptt.loggers import CSVLogger
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     logger = CSVLogger(folder)
    ...     logger.log_hyperparams({"lr": 0.1})
    ...     logger.log_metrics({"epoch": 0, "train_loss": 0.5}, step=9)
    ...     logger.log_metrics({"epoch": 0, "val_loss": 0.25}, step=9)
    ...     logger.save()
    ...     print(pathlib.Path(folder, "tbptt_logs", "version_0", "metrics.csv").read_text(), end="")
    epoch,step,train_loss,val_loss
    0,9,0.5,
    0,9,,0.25

    Args:
        save_dir: the folder that holds the experiments.
        name: of the experiment, a folder in it; empty or None for none.
        version: of the run: a number N for the folder ``version_N``, a text for a folder of that name, None for the next
            free number. A folder that exists is written on.
        prefix: put before the names of all metrics, with a ``-`` between.
        flush_logs_every_n_steps: the number of rows that are held in memory before they are written.

    Raises:
        ConfigurationError: if `flush_logs_every_n_steps` is no whole number of at least 1.
    """

    def __init__(
        self,
        save_dir: str | os.PathLike[str],
        name: str | None = "tbptt_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        self._held_rows = whole_number("flush_logs_every_n_steps", flush_logs_every_n_steps)
        self._file: MetricsFile | None = None

    def _write(self, metrics: dict[str, int | float], step: int) -> None:
        if self._file is None:
            self._file = MetricsFile(self._make_log_dir() / "metrics.csv", self._held_rows)
            weakref.finalize(self, self._file.flush)
        self._file.append({"step": step, **metrics})

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Add to ``hparams.json`` at once; what JSON cannot say is kept as its text.

        Raises:
            ConfigurationError: if `params` is no mapping.
        """
        new = plain(checked(params))
        path = self._make_log_dir() / "hparams.json"
        earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        with replacing(path) as file:
            file.write(json.dumps(earlier | new, indent=2, ensure_ascii=False) + "\n")

    def save(self) -> None:
        """Write out the rows held in memory."""
        if self._file is not None:
            self._file.flush()
