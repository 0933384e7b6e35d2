"""Every example runs, on both engines, in a small setting, and does what its text says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ENGINES = ("torch", "tensorflow")


def run(engine: str, script: str | Path, *arguments: str, cwd: Path = ROOT) -> str:
    environment = {**os.environ, "TBPTT_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=environment, cwd=cwd
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], str]]:
    """char_lm on both engines, on the same text."""
    folder = tmp_path_factory.mktemp("char_lm")
    text = folder / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog, twice; " * 200)
    small = (
        "--text",
        str(text),
        "--width",
        "32",
        "--layers",
        "2",
        "--window",
        "16",
        "--batch-size",
        "8",
        "--epochs",
        "1",
    )
    found = {}
    for engine in ENGINES:
        out, picture = folder / f"{engine}.json", folder / f"{engine}.png"
        printed = run(
            engine, "examples/char_lm.py", *small, "--sample", "40", "--json", str(out), "--plot", str(picture)
        )
        assert picture.read_bytes().startswith(b"\x89PNG")
        found[engine] = json.loads(out.read_text()), printed
    return found


def test_char_lm_prints_the_same_losses_on_both_engines(reports: dict[str, tuple[dict[str, Any], str]]) -> None:
    (first, before), (second, after) = (reports[engine] for engine in ENGINES)
    assert len(first["losses"]) == first["windows"] == -(-((10400 * 9 // 10 - 1) // 8) // 16)
    np.testing.assert_allclose(first["losses"], second["losses"], atol=1e-4)
    assert first["losses"][-1] < 0.8 * first["losses"][0]
    lines = [re.findall(r"(?:training|validation): .*", printed) for printed in (before, after)]
    assert lines[0] == lines[1] and len(lines[0]) == 2
    assert "bits" in lines[0][0]


def test_char_lm_reports_what_it_says_it_reports(reports: dict[str, tuple[dict[str, Any], str]]) -> None:
    for engine in ENGINES:
        report, printed = reports[engine]
        assert set(report) == {"backend", "train_loss", "val_loss", "losses", "windows", "seconds_per_window"}
        assert report["backend"] == engine
        assert 0 < report["seconds_per_window"] < 10
        assert f"TBPTT_BACKEND={engine}" in printed
        np.testing.assert_allclose(report["train_loss"], np.mean(report["losses"]), rtol=0.05)


def test_char_lm_in_double_precision_stops_after_the_steps_asked_for(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be " * 400)
    losses = []
    for engine in ENGINES:
        out = tmp_path / "report.json"
        run(
            engine, "examples/char_lm.py", "--text", str(text), "--width", "12", "--precision", "64", "--seed", "3",
            "--max-steps", "12", "--window", "8", "--batch-size", "4", "--sample", "0", "--json", str(out),
        )  # fmt: skip
        losses.append(json.loads(out.read_text())["losses"])
    assert len(losses[0]) == 12
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
def test_average_regression_learns(engine: str) -> None:
    code = (
        "import sys; sys.path.insert(0, 'examples'); import average_regression as e;"
        "print('first and last', e.main(epochs=1, sequences=60), e.main(epochs=3, sequences=60))"
    )
    environment = {**os.environ, "TBPTT_BACKEND": engine}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    first, last = map(float, done.stdout.split("first and last")[1].split())
    assert last < first < 2.5  # the targets' own variance is 2


@pytest.mark.parametrize("engine", ENGINES)
def test_the_own_loop_learns(engine: str) -> None:
    code = "import sys; sys.path.insert(0, 'examples'); import own_loop as e; m = e.main(batches=4); print('r', m[0], m[-1])"
    environment = {**os.environ, "TBPTT_BACKEND": engine}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
    first, last = map(float, done.stdout.rsplit("r ", 1)[1].split())
    assert last < 0.8 * first


def test_the_demo_lays_both_engines_side_by_side(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("she sells sea shells by the sea shore; " * 200)
    printed = run(
        "torch", "examples/demo.py", "--steps", "20", "--out", str(tmp_path), "--text", str(text), "--width", "16",
        "--window", "8", "--batch-size", "4", "--sample", "0",
    )  # fmt: skip
    assert "largest difference between the engines" in printed
    assert float(printed.split("largest difference between the engines: ")[1].split()[0]) < 1e-4
    assert (tmp_path / "char_lm.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_readmes_blocks_run(engine: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    (tmp_path / "corpus.txt").write_text("a rose is a rose is a rose. " * 100)
    for number, block in enumerate(blocks):
        script = tmp_path / f"block{number}.py"
        script.write_text(block)
        run(engine, script, cwd=tmp_path)
