"""Ctrl-C on a real terminal while a real process trains: callbacks hear of it, logs are whole, the terminal is as it was."""

from __future__ import annotations

import contextlib
import csv
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TRAINING = """
import fcntl, signal, sys, termios
import numpy as np
import tbptt
from tbptt import nn, optim
from tbptt.loggers import CSVLogger, TensorBoardLogger

signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests were started in the background
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # this terminal's ctrl-C is for this process


class Model(tbptt.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 1)

    def training_step(self, batch, batch_idx, hiddens):
        outputs, hiddens = self.rnn(batch, hiddens)
        loss = nn.functional.mse_loss(outputs, batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss, hiddens

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=1e-3)


class Watch(tbptt.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 150:  # more than loggers write at once
            print("ready", flush=True)

    def on_exception(self, trainer, module, exception):
        print(type(exception).__name__, trainer.global_step, flush=True)


loggers = [CSVLogger(sys.argv[1], "csv"), TensorBoardLogger(sys.argv[1], "board")]
bar = tbptt.ProgressBar(refresh_seconds=0.0)
trainer = tbptt.Trainer(None, max_steps=10**9, truncated_bptt_steps=1, logger=loggers, log_every_n_steps=1,
                        callbacks=[Watch(), bar], enable_model_summary=False, compile=False)
trainer.fit(Model(), [np.ones((2, 5, 1), "float32")] * 3)
"""


class Interrupted(NamedTuple):
    status: int
    said: list[str]
    screen: str
    folder: Path


@pytest.fixture(scope="module", params=["torch", "tensorflow"])
def interrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """A run on one engine, ended by ctrl-C after some dozen batches."""
    folder = tmp_path_factory.mktemp(request.param)
    terminal, inside = pty.openpty()
    environment = {
        **os.environ,
        "TBPTT_BACKEND": request.param,
        "COLUMNS": "120",
        "TERM": "xterm",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(folder)],
        stdin=inside,
        stdout=subprocess.PIPE,
        stderr=inside,
        text=True,
        env=environment,
        start_new_session=True,
    )
    os.close(inside)
    assert process.stdout is not None
    with process, process.stdout as output:
        screen, pressed, deadline = b"", 0.0, time.monotonic() + 150
        said = b""
        try:
            while process.poll() is None:
                ready, _, _ = select.select([terminal, output], [], [], 1.0)
                if terminal in ready:
                    with contextlib.suppress(OSError):  # the other end is closed
                        screen += os.read(terminal, 1 << 16)
                if output in ready:
                    said += os.read(output.fileno(), 1 << 16)
                if b"ready\n" in said and time.monotonic() - pressed > 30:
                    os.write(terminal, b"\x03")
                    pressed = time.monotonic()
                assert time.monotonic() < deadline, screen.decode()[-2000:]
        finally:
            process.kill()
        with contextlib.suppress(OSError):
            while part := os.read(terminal, 1 << 16):
                screen += part
        said += os.read(output.fileno(), 1 << 16)
    os.close(terminal)
    return Interrupted(process.returncode, said.decode().split("\n"), screen.decode(), folder)


def left_on_screen(output: str) -> list[str]:
    """The lines a person sees at the end: what of the terminal's language a progress bar speaks, spelled out."""
    lines, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", output):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif match := re.fullmatch(r"\x1b\[(\d*)A", token):
            row = max(0, row - int(match[1] or 1))
        elif token != "\r" and not token.startswith("\x1b"):
            lines[row] += token
    return lines


BAR = r"epoch \d+  batch [123]/3  window +[1-5]/5 .*loss \d\.\d{4}  train_loss \d\.\d{4}"


def test_the_process_ends_as_an_interrupted_one_and_callbacks_heard_of_it(interrupted: Interrupted) -> None:
    assert interrupted.status in (-2, 130)
    assert "KeyboardInterrupt" in interrupted.screen.splitlines()[-1]
    assert [line.split()[0] for line in interrupted.said if line] == ["ready", "KeyboardInterrupt"]


def test_both_logs_hold_every_window_up_to_then(interrupted: Interrupted) -> None:
    steps = int(interrupted.said[1].split()[1])
    assert steps >= 150
    with (interrupted.folder / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) in (steps, steps - 1)  # the last step may have been interrupted before it was logged
    assert [int(row["step"]) for row in rows] == list(range(len(rows)))
    folder = str(interrupted.folder / "board" / "version_0")
    events = EventAccumulator(folder, size_guidance={"scalars": 0}).Reload().Scalars("train_loss")
    assert [event.step for event in events] == list(range(len(events)))
    assert len(events) in (steps, steps - 1)
    for event, row in zip(events, rows, strict=False):
        assert event.value == pytest.approx(float(row["train_loss"]), rel=1e-6)


def test_the_bar_counted_windows_and_is_gone_again(interrupted: Interrupted) -> None:
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", interrupted.screen)
    for window in range(1, 6):
        assert re.search(rf"epoch \d+  batch [123]/3  window +{window}/5 ", drawn), window
    assert re.search(BAR, drawn)
    assert not [line for line in left_on_screen(interrupted.screen) if "batch" in line and "/3" in line]
    hidden, shown = interrupted.screen.rfind("\x1b[?25l"), interrupted.screen.rfind("\x1b[?25h")
    assert shown > hidden >= 0  # the cursor
