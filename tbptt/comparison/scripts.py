"""A training script run on one engine in a process of its own, its windows read as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tbptt.comparison.recording import Head, Reader, Record, Writer
from tbptt.errors import RecordingError, ScriptError

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class Settings(NamedTuple):
    """What is the same for all engines of a comparison."""

    seed: int = 0
    precision: str | None = None
    """``"32"`` or ``"64"``; None: as the script says."""
    windows: int | None = None
    """End after so many; None: run to the script's end."""
    elements: int | None = None
    """Of each array compare at most so many; None: all."""
    follows: bool = False
    """Begin every window from another run's parameters and state, which are sent (`Script.send`)."""


class Script(AbstractContextManager["Script"]):
    """A run of a script under one backend; iterating gives its windows. Leaving the block ends the process.

    The process waits while nobody reads, so that several runs stay side by side and nothing piles up.

    Args:
        path: of the script.
        arguments: of the script.
        backend: for ``TBPTT_BACKEND``.
        settings: of the comparison.
        log: where what it prints goes; None for a temporary file.
        threads: for the engine, unless the environment says already; None: the engine's default.

    Raises:
        ScriptError: while reading, if the script fails.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        arguments: Sequence[str],
        backend: str,
        settings: Settings = Settings(),  # noqa: B008  (a tuple)
        log: Path | None = None,
        threads: int | None = None,
    ) -> None:
        self.name = backend
        environment = {**os.environ, "TBPTT_BACKEND": backend, "PYTHONHASHSEED": "0"}
        if threads is not None:
            environment = {**dict.fromkeys(_THREADS, str(threads)), **environment}
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._log = open(log, "w+b") if log is not None else tempfile.TemporaryFile()  # noqa: SIM115  (closed on leaving)
        options = json.dumps({**settings._asdict(), "folder": self._folder.name})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tbptt.comparison.child", options, os.fspath(path), *arguments],
            stdout=subprocess.PIPE,
            stderr=self._log,
            stdin=subprocess.PIPE if settings.follows else subprocess.DEVNULL,
            env=environment,
        )
        self._reader: Reader | None = None

    @property
    def head(self) -> Head:
        """What it runs on; waits until it is known."""
        if self._reader is None:
            assert self._process.stdout is not None
            try:
                self._reader = Reader(self._process.stdout, f"the run on {self.name}")
            except RecordingError:
                self._check()
                raise
        return self._reader.head

    def send(self, record: Record) -> None:
        """Give a window of the run that is followed. It is read when this run has come to the end of its own."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it has come to its end; why is said when it is read
                Writer(self._process.stdin, None)(record)

    def __iter__(self) -> Iterator[Record]:
        assert self.head and self._reader is not None
        yield from self._reader
        self._check()

    def _check(self) -> None:
        status = self._process.wait()
        if status:
            how = f"failed on {{}} with status {status}" if status > 0 else f"was ended on {{}} by {_signal(-status)}"
            printed = self.printed()
            printed = f"The end of what it printed:\n\n{printed}" if printed else "It printed nothing."
            raise ScriptError(f"The script {how.format(self.name)}. {printed}")

    def printed(self, lines: int = 30) -> str:
        """The last lines of what the script has printed."""
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-lines:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._log.close()
        self._folder.cleanup()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
