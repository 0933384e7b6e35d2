"""``tbptt compare`` where something goes wrong: the status is 2, which is never that of a difference, and the reason is said."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tbptt.command import main
from tbptt.comparison import Reader

BEGINNING = f"""
import os, sys
sys.path.append({str(Path(__file__).parent)!r})
import tbptt
from small import Small, data, trainer
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """One that trains four windows, and what a test puts after them."""
    path = tmp_path / "train.py"
    path.write_text(f"{BEGINNING}trainer().fit(Small(), data())\n")
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of that script, on torch."""
    folder = tmp_path_factory.mktemp("golden")
    path = folder / "train.py"
    path.write_text(f"{BEGINNING}trainer().fit(Small(), data())\n")
    assert compare(path, "--record", str(folder / "golden")) == 0
    return folder / "golden"


@pytest.fixture
def golden(recording: Path, tmp_path: Path) -> Path:
    """A copy of it, to be written over."""
    return Path(shutil.copy(recording, tmp_path))


def compare(script: Path, *arguments: str) -> int:
    return main(["compare", str(script), "--backends", "torch", *arguments])


def windows_of(path: Path) -> int:
    with path.open("rb") as file:
        return len(list(Reader(file, path)))


def test_a_place_where_nothing_can_be_written(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--record", "--report"):
        assert compare(script, "--record", str(script.parent / "run"), option, f"{script}/inside") == 2
        assert "train.py" in capsys.readouterr().err
    assert compare(script, "--record", str(script.parent)) == 2
    assert "--record needs the name of a file; received the folder" in capsys.readouterr().err


def test_a_run_that_fails_says_how_far_it_was_the_same_and_leaves_the_recording_that_was_there(
    script: Path, golden: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    report = tmp_path / "report"
    content = golden.read_bytes()
    script.write_text(
        f"{BEGINNING}trainer(max_steps=2).fit(Small(), data())\nos.kill(os.getpid(), 9)\n"  # as the system does without memory
    )
    assert compare(script, "--against", str(golden), "--record", str(golden), "--report", str(report)) == 2
    said = capsys.readouterr()
    assert "One run failed. Up to there:" in said.out
    assert "torch computed the same over 2 windows" in said.out
    assert "The script was ended on torch by SIGKILL. It printed nothing." in said.err
    assert (report / "summary.json").is_file()
    assert golden.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["golden", "report", "train.py"]


def test_against_a_recording_the_run_is_kept_and_not_the_recording_again(script: Path, golden: Path) -> None:
    before = golden.read_bytes()
    assert compare(script, "--against", str(golden), "--record", str(golden), "--seed", "1") == 1
    assert golden.read_bytes() != before
    assert windows_of(golden) == 4
    assert compare(script, "--against", str(golden), "--seed", "1", "--rtol", "0", "--atol", "0") == 0


def test_scripts_that_read_print_save_log_and_catch_everything(
    script: Path, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script.write_text(f"""{BEGINNING}
assert sys.stdin.read() == ""
print("x" * 1_000_000)
best = tbptt.callbacks.ModelCheckpoint(dirpath="checkpoints", save_last=True)
running = trainer(callbacks=best, logger=True)
running.fit(Small(), data())
assert os.path.isfile(best.best_model_path) and os.path.isdir(running.logger.log_dir)
try:
    running.fit(Small(), data())
except BaseException:
    pass
sys.exit(0)
""")
    assert compare(script, "--against", str(golden), "--steps", "4", "--lockstep") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["golden", "train.py"]  # nothing saved, nothing logged


def test_an_interrupt_leaves_no_process_behind(script: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script.write_text(
        f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    )
    arguments = ["compare", str(script), "--backends", "torch", "--record", str(tmp_path / "run")]
    running = subprocess.Popen([sys.executable, "-m", "tbptt", *arguments], stderr=subprocess.PIPE, text=True)
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted" in said
    assert not Path("/proc", pid.read_text()).exists()


def test_nobody_who_reads_what_is_printed(script: Path, tmp_path: Path) -> None:
    arguments = ["compare", str(script), "--backends", "torch", "--record", str(tmp_path / "run")]
    running = subprocess.Popen(
        [sys.executable, "-m", "tbptt", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(timeout=120) not in (0, 1)
