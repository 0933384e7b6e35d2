"""Runs a training script in a process of its own and writes what happens in it to where its standard output was.

    python -m tbptt.comparison.child OPTIONS_AS_JSON SCRIPT ARGUMENTS...

A run that is to follow another one reads that one's windows from its standard input. The script is changed in nothing; of each
trainer it makes, the precision may be set, a `Recorder` is added, and what loggers and checkpoints write, for which two processes
would have one place, goes into a folder of this run's own.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import IO, Any

import tbptt
from tbptt.callbacks import ModelCheckpoint
from tbptt.comparison.recorder import Recorder
from tbptt.comparison.recording import Head, Reader, Writer
from tbptt.errors import ConfigurationError
from tbptt.loggers import CSVLogger
from tbptt.nn.native import backend_of_model
from tbptt.trainer import everywhere
from tbptt.trainer.trainer import Trainer


class _OfOneBackend(Recorder):
    """Writes down runs on the backend that was asked for, and accepts no others."""

    asked: str

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        found = backend_of_model(module).name
        if found != self.asked:
            raise ConfigurationError(
                f"The script trains on {found}, although {self.asked} was asked for: it chooses an engine itself. Leave the choice "
                f"to TBPTT_BACKEND."
            )
        super().on_train_start(trainer, module)


def main(options: dict[str, Any], script: str, arguments: list[str]) -> None:
    """Run the script."""
    with os.fdopen(os.dup(1), "wb") as stream:
        os.dup2(2, 1)  # what the script prints goes where errors go
        sys.argv = [script, *arguments]
        if not sys.flags.safe_path:
            sys.path.pop(0)  # the current folder, which is there for -m; a script finds what is beside it
        sys.path.insert(0, str(Path(script).resolve().parent))
        tbptt.seed_everything(options["seed"])
        if options["precision"] is not None:
            tbptt.set_default_dtype(f"float{options['precision']}")
        everywhere.before_fit.append(_preparation(stream, options, " ".join(sys.argv)))
        runpy.run_path(script, run_name="__main__")


def _preparation(stream: IO[bytes], options: dict[str, Any], script: str) -> Any:
    elements, windows = options["elements"], options["windows"]
    head = Head.of(tbptt.current_backend(), elements, windows, script)
    follow = Reader(_standard_input(), "the run to follow", head) if options["follows"] else None
    recorder = _OfOneBackend(Writer(stream, head), windows, elements, follow)
    recorder.asked = head.backend

    def prepare(trainer: Trainer) -> None:
        if options["precision"] is not None:
            trainer.set_precision(f"{options['precision']}-true")
        trainer.default_root_dir = options["folder"]
        trainer.loggers = [CSVLogger(options["folder"])] if trainer.loggers else []
        for number, callback in enumerate(trainer.callbacks):
            if isinstance(callback, ModelCheckpoint):
                callback.dirpath = os.path.join(options["folder"], f"checkpoints {number}")
        trainer.callbacks = [each for each in trainer.callbacks if not isinstance(each, Recorder)]
        trainer.callbacks.append(recorder)

    return prepare


def _standard_input() -> IO[bytes]:
    """As it is now. To the script, which may read it too, it is empty from here on."""
    stream = os.fdopen(os.dup(0), "rb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return stream


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:])
