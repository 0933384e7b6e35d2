"""A CSV file that grows by rows, and by columns where a row brings a new one."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from tbptt.loggers.files import replacing

Row = dict[str, int | float]


class MetricsFile:
    """Rows of numbers by name, at most `held_rows` of them in memory.

    The file alone says which columns there are, so one that an earlier run has begun is continued. `epoch` and `step` are the
    first columns, the others are sorted. Numbers are written so that reading gives the same ones back, to the bit.
    """

    def __init__(self, path: Path, held_rows: int) -> None:
        self._path, self._held_rows = path, held_rows
        self._rows: list[Row] = []

    def append(self, row: Row) -> None:
        """Add a row; every `held_rows` of them are written out."""
        self._rows.append(row)
        if len(self._rows) >= self._held_rows:
            self.flush()

    def flush(self) -> None:
        """Write out the rows held. A new name rewrites the file, row by row and beside the old one, which it then replaces."""
        if not self._rows:
            return
        header = self._header()
        names = {name for row in self._rows for name in row}
        if names <= set(header):
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(self._missing_line_end())
                _write_rows(file, header, self._rows)
        else:
            with replacing(self._path) as file:
                columns = sorted(names.union(header), key=lambda name: (name != "epoch", name != "step", name))
                csv.writer(file, lineterminator="\n").writerow(columns)
                if header:
                    with self._path.open(encoding="utf-8", newline="") as old:
                        _write_rows(file, columns, csv.DictReader(old, restval=""))
                _write_rows(file, columns, self._rows)
        self._rows.clear()

    def _header(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                return next(csv.reader(file), [])
        except FileNotFoundError:
            return []

    def _missing_line_end(self) -> str:
        """What ends the last line of a run that was killed while it wrote."""
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return "" if file.read() == b"\n" else "\n"


def _write_rows(file: TextIO, columns: list[str], rows: Iterable[dict[str, int | float]] | csv.DictReader[str]) -> None:
    # csv writes floats with repr
    csv.DictWriter(file, columns, restval="", lineterminator="\n").writerows(rows)
