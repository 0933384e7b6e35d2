"""TensorBoard's event files, written with TensorBoard's own protocol buffers and no engine.

The usual writers will not do: `tensorboardX` and `torch.utils.tensorboard` import torch, TensorBoard's `EventFileWriter`
imports TensorFlow where it finds it. The modules named here import neither.
"""

from __future__ import annotations

import importlib
import itertools
import os
import platform
import time
from pathlib import Path
from typing import Any

from tbptt.errors import ConfigurationError

_count = itertools.count()


def tensorboard(module: str) -> Any:
    """A module of the package tensorboard.

    Raises:
        ConfigurationError: if it is not installed.
    """
    try:
        return importlib.import_module(f"tensorboard.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "tensorboard":
            raise
        raise ConfigurationError(
            "TensorBoardLogger needs the package tensorboard, which is not installed. "
            "Install it with:  pip install 'tbptt[tensorboard]'"
        ) from error


class EventFile:
    """One event file, written out every `flush_secs` seconds; closed, it is opened again by the next event."""

    def __init__(self, folder: Path, flush_secs: float) -> None:
        # TensorBoard reads the files of a folder in the order of their names, as texts, and writes them in this form
        name = f"events.out.tfevents.{int(time.time()):010d}.{platform.node()}.{os.getpid()}.{next(_count):06d}"
        self._path, self._flush_secs = folder / name, flush_secs
        self._event = tensorboard("compat.proto.event_pb2").Event
        self._record_writer = tensorboard("summary.writer.record_writer").RecordWriter
        self._records: Any = None
        self._flushed = time.monotonic()
        self.write(file_version="brain.Event:2")

    def write(self, **fields: Any) -> None:
        """Add an event of now with these fields."""
        if self._records is None:
            self._records = self._record_writer(self._path.open("ab"))
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
        if time.monotonic() - self._flushed >= self._flush_secs:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system."""
        if self._records is not None:
            self._records.flush()
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and let go of the file."""
        if self._records is not None:
            self._records.close()
            self._records = None
