"""The examples of truncation schedules run on both engines, and what their texts say is so.

Everything runs small; each engine runs all of it in one process, chosen by TBPTT_BACKEND.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ENGINES = ("torch", "tensorflow")
BALANCE = ["--steps", "1200"]
MEMORY = ["--steps", "300", "--width", "8", "--rows", "4"]
COPY = ["--steps", "150", "--batch", "8", "--lr", "0.02"]

RUNS: dict[str, list[str]] = {
    "balance fixed": ["influence_balancing", *BALANCE, "--schedule", "fixed:100"],
    "balance long": ["influence_balancing", *BALANCE, "--schedule", "200"],
    "balance overlap": ["influence_balancing", *BALANCE, "--schedule", "fixed:60,180", "--plot", "balance.png"],
    "balance artbp": ["influence_balancing", *BALANCE, "--schedule", "artbp:3,40", "--seed", "1"],
    "balance full": ["influence_balancing", "--steps", "300", "--schedule", "checkpointed:70"],
    "balance lost": ["influence_balancing", "--steps", "900", "--schedule", "30", "--lr", "10"],
    "balance depth 40": ["influence_balancing", "--steps", "40", "--schedule", "fixed:40", "--losses", "last"],
    "balance depth 41": ["influence_balancing", "--steps", "41", "--schedule", "fixed:41", "--losses", "last"],
    "copy": ["copy_task", *COPY, "--m", "2", "--schedule", "fixed:5", "--epochs", "3"],
    "memory": ["long_memory", *MEMORY, "--window", "50", "--slots", "3"],
    "memory plain": ["long_memory", *MEMORY, "--plain"],
}

RUNNER = """
import contextlib, importlib, io, json, os, sys, traceback
import tbptt

folder = sys.argv[2]
sys.path.insert(0, "examples")
found = {}
for name, (module, *arguments) in json.loads(sys.argv[1]).items():
    arguments = [os.path.join(folder, a) if a.endswith(".png") else a for a in arguments]
    printed, result, error, out = io.StringIO(), None, None, os.path.join(folder, "report.json")
    tbptt.set_default_dtype("float64" if "copy" in name else "float32")
    try:
        with contextlib.redirect_stdout(printed):
            result = importlib.import_module(module).main([*arguments, "--json", out])
        assert json.load(open(out)) == json.loads(json.dumps(result))
    except BaseException:
        error = traceback.format_exc()
    found[name] = {"printed": printed.getvalue(), "result": result, "error": error}
print("FOUND" + json.dumps(found))
"""


class Runs:
    """What every run printed and returned, an entry for each engine in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found = [self._run(engine) for engine in ENGINES]

    def _run(self, engine: str) -> dict[str, Any]:
        environment = {**os.environ, "TBPTT_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", RUNNER, json.dumps(RUNS), str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.split("FOUND")[1])
        return found

    def of(self, name: str) -> list[dict[str, Any]]:
        """The reports of a run."""
        for engine, found in zip(ENGINES, self._found, strict=True):
            assert found[name]["error"] is None, f"{name} on {engine}: {found[name]['error']}"
        return [found[name]["result"] for found in self._found]

    def printed(self, name: str) -> list[str]:
        """What it printed."""
        self.of(name)
        return [found[name]["printed"] for found in self._found]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("schedules"))


def units(
    steps: int, theta: float, start: Any = None, n: int = 23, p: int = 10
) -> tuple[list[float], list[float], Any]:
    """Of influence balancing, step by step: the first unit, its derivative by theta within these steps, and the last state."""
    u = np.where(np.arange(n) < p, 1.0, -1.0)
    state, sensitivity = np.ones(n) if start is None else start, np.zeros(n)
    first, slopes = [], []
    for _ in range(steps):
        state, sensitivity = (
            (x + np.append(x[1:], 0.0)) / 2 + add for x, add in ((state, theta * u), (sensitivity, u))
        )
        first.append(state[0])
        slopes.append(sensitivity[0])
    return first, slopes, state


@pytest.mark.parametrize(("name", "length"), [("balance fixed", 100), ("balance long", 200)])
def test_theta_moves_by_the_rate_times_the_sum_of_the_windows_gradients(runs: Runs, name: str, length: int) -> None:
    theta, state, expected = 0.5, None, []
    for _ in range(1200 // length):
        first, slopes, state = units(length, theta, state)
        theta -= 1e-4 * float(np.dot(np.subtract(first, 1.0), slopes))
        expected.append(theta)
    for report in runs.of(name):
        np.testing.assert_allclose(report["trajectory"], expected, rtol=1e-12)
        assert report["theta"] == report["trajectory"][-1] and report["updates"] == len(expected)


def test_windows_of_100_move_theta_away_and_those_of_200_towards_the_best(runs: Runs) -> None:
    for short, long in zip(runs.of("balance fixed"), runs.of("balance long"), strict=True):
        assert short["best"] == pytest.approx(-1 / 6)
        assert short["trajectory"][-5] < short["trajectory"][-3] < short["theta"]  # while the state settles it swings
        assert abs(long["theta"] + 1 / 6) < 0.4 * abs(0.5 + 1 / 6)


def test_the_gradient_of_a_last_loss_turns_its_sign_between_depth_40_and_41(runs: Runs) -> None:
    moves = []
    for depth in (40, 41):
        first, slopes, _ = units(depth, 0.5)
        expected = -1e-4 * (first[-1] - 1) * slopes[-1]
        for report in runs.of(f"balance depth {depth}"):
            assert report["theta"] - 0.5 == pytest.approx(expected, rel=1e-9)
            moves.append(math.copysign(1, slopes[-1]))
    assert moves == [1, 1, -1, -1]


def test_the_whole_sequences_gradient_makes_one_update(runs: Runs) -> None:
    first, slopes, _ = units(300, 0.5)
    expected = 0.5 - 1e-4 * float(np.dot(np.subtract(first, 1.0), slopes))
    for report in runs.of("balance full"):
        assert report["updates"] == 1 and report["theta"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["balance overlap", "balance artbp"])
def test_both_engines_draw_and_move_alike(runs: Runs, name: str) -> None:
    first, second = runs.of(name)
    np.testing.assert_allclose(first["trajectory"], second["trajectory"], rtol=1e-10)
    assert first["updates"] == second["updates"] == len(first["trajectory"]) > 3


def test_a_theta_that_is_lost_ends_the_run_and_says_so(runs: Runs) -> None:
    for report, printed in zip(runs.of("balance lost"), runs.printed("balance lost"), strict=True):
        assert "it has run away" in printed and abs(report["theta"]) > 1e6 and report["updates"] < 30


def test_the_picture_is_one(runs: Runs) -> None:
    runs.of("balance overlap")
    assert (runs.folder / "balance.png").read_bytes().startswith(b"\x89PNG")


def test_a_copier_learns_the_same_on_both_engines(runs: Runs) -> None:
    first, second = runs.of("copy")
    for key in ("test_perplexity", "train_perplexity"):
        np.testing.assert_allclose(first[key], second[key], rtol=1e-6)
    assert first["schedule"] == "Fixed(5)" and len(first["train_perplexity"]) == 3
    assert first["train_perplexity"][-1] < first["train_perplexity"][0] < 6  # six tokens


def test_the_stored_states_give_the_losses_of_a_plain_pass(runs: Runs) -> None:
    for stored, plain in zip(runs.of("memory"), runs.of("memory plain"), strict=True):
        assert len(stored["losses"]) == 3
        np.testing.assert_allclose(stored["losses"], plain["losses"], rtol=2e-4)
        assert stored["plain_estimate"] == 300 * 4 * 6 * 8 * 4 and stored["peak_growth"] >= 0
    assert "Checkpointed(50, 3)" in runs.printed("memory")[0]


@pytest.fixture
def copy_task(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return __import__("copy_task")


def test_what_the_copy_task_asks_for_is_its_input_m_steps_before(copy_task: Any) -> None:
    inputs, targets = copy_task.streams(rows=5, steps=400, m=10, seed=0)
    np.testing.assert_array_equal(targets[:, 10:], inputs[:, :-10])
    assert len({tuple(row[:40]) for row in inputs}) == 5
    for tokens in (inputs, targets):  # of 20 steps one is a mark, nine are letters, ten are blank
        assert np.bincount(tokens.reshape(-1)).tolist()[:2] == [1000, 100]
        assert tokens.max() == 5 and np.all(np.bincount(tokens[tokens > 1])[2:] > 180)


def test_the_floor_of_the_copy_task_is_the_entropy_of_letters_nobody_remembers(copy_task: Any) -> None:
    _, targets = copy_task.streams(rows=5, steps=400, m=10, seed=0)
    assert copy_task.floor(targets) == pytest.approx(math.exp(9 / 20 * math.log(4)), rel=1e-12)
    assert copy_task.floor(targets) == pytest.approx(1.8661, abs=1e-4)


def test_the_floor_of_the_published_streams_is_the_published_perplexity_for_k_5(copy_task: Any) -> None:
    inputs, targets = copy_task.streams(rows=64, steps=1000, m=10, seed=1, kind="published")
    assert copy_task.floor(targets) == pytest.approx(1.646, rel=0.03)
    moved_on = targets[:, 10:] == inputs[:, :-10]
    assert moved_on[-1].all() and 0.6 < moved_on.mean() < 0.95  # the last row was moved on once, the first 64 times
    input_is_symbol = inputs > 0
    assert np.all(targets[input_is_symbol] == 0) and np.all(targets[~input_is_symbol] > 0)


@pytest.mark.parametrize("text", ["k:5", "fixed:5,9"])
def test_k_is_short_for_a_reach_of_at_least_k(copy_task: Any, text: str) -> None:
    assert repr(copy_task.schedule(text)) == "Fixed(5, 9)"


def test_adaptive_truncation_begins_with_windows_of_15_steps(copy_task: Any) -> None:
    schedule = copy_task.schedule("adaptive:0.9")
    assert [window.steps for window in schedule.plan(400)][:26] == [15] * 26
    asked = [bool(schedule.probes(4000)) for _ in range(334)]
    assert asked.index(True) == 333  # before the window that comes after so many


@pytest.mark.parametrize("script", ["influence_balancing", "copy_task"])
@pytest.mark.parametrize("text", ["artb:16", "fixed:", "fixed:0", "artbp:16,8,3,2", "random:x", "adaptive:-1"])
def test_a_wrong_schedule_is_answered_with_the_forms(
    script: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    with pytest.raises(SystemExit):
        __import__(script).main(["--schedule", text])
    said = capsys.readouterr().err
    for form in ("fixed:100", "random:70", "artbp:16,8", "adaptive:0.9", "checkpointed:50", repr(text)):
        assert form in said
