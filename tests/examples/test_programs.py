"""The programs a person writes first run on both engines, learn, and print the same.

They run small and in double precision, where equal means equal in everything that is printed; each engine runs all of them in one
process of its own, chosen by TBPTT_BACKEND.
"""

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

SMALL: dict[str, dict[str, Any]] = {  # two of them compiled, which takes seconds on an engine that compiles
    "lightning_recipe": {"epochs": 2, "sequences": 32, "steps": 20, "hidden_size": 6},
    "manual_optimization": {"epochs": 2, "sequences": 20},
    "average_regression": {"epochs": 2, "sequences": 20},
    "text_model": {"epochs": 2, "words": 3500, "width": 8, "compile": False},
    "last_step": {"epochs": 3, "sequences": 40, "width": 8, "compile": False},
    "last_step without the other targets": {"epochs": 3, "sequences": 40, "width": 8, "compile": False},
    "two_optimizers": {"epochs": 2, "sequences": 64, "width": 4},
    "warmup": {"epochs": 3, "sequences": 64, "steps": 40, "width": 6, "warmup_steps": 20, "compile": False},
    "variable_length": {"epochs": 3, "sequences": 40, "width": 6, "compile": False},
}

RUNNER = """
import contextlib, importlib, io, json, sys, traceback
import numpy as np
import tbptt

def blind(make_data):  # every target that is not at the end of a window of 20 is NaN
    def data(*sizes):
        inputs, targets = make_data(*sizes)
        return inputs, np.where(np.arange(targets.shape[1])[:, None] % 20 == 19, targets, np.nan)
    return data

sys.path.insert(0, "examples")
tbptt.set_default_dtype("float64")
found = {}
for name, sizes in json.loads(sys.argv[1]).items():
    printed, result, error = io.StringIO(), None, None
    try:
        module = importlib.import_module(name.split()[0])
        make_data = getattr(module, "make_data", None)
        if "without" in name:
            module.make_data = blind(make_data)
        with contextlib.redirect_stdout(printed):
            result = module.main(**sizes)
    except BaseException:
        error = traceback.format_exc()
    found[name] = {"printed": printed.getvalue(), "result": result, "error": error}
print("FOUND" + json.dumps(found))
"""


class Runs:
    """What every program printed and returned, an entry for each engine in order."""

    def __init__(self) -> None:
        self._found = [self._run(engine) for engine in ENGINES]

    @staticmethod
    def _run(engine: str) -> dict[str, Any]:
        environment = {**os.environ, "TBPTT_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", RUNNER, json.dumps(SMALL)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.split("FOUND")[1])
        return found

    def of(self, name: str) -> list[dict[str, Any]]:
        for engine, found in zip(ENGINES, self._found, strict=True):
            assert found[name]["error"] is None, f"{name} on {engine}: {found[name]['error']}"
        return [found[name] for found in self._found]

    def numbers(self, name: str, label: str) -> list[list[float]]:
        """The numbers that follow a label, in the order printed."""
        return [[float(x) for x in re.findall(rf"{label} ([\d.]+\d)", run["printed"])] for run in self.of(name)]


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs()


@pytest.mark.parametrize("name", SMALL)
def test_a_program_prints_and_returns_the_same_on_both_engines(runs: Runs, name: str) -> None:
    first, second = runs.of(name)
    assert first["printed"] == second["printed"] and first["printed"].strip()
    np.testing.assert_allclose(first["result"], second["result"], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "label", "share"),
    [
        ("lightning_recipe", "loss", 0.9),
        ("manual_optimization", "loss", 0.99),
        ("text_model", "perplexity", 0.95),
        ("text_model", "in validation", 0.95),
        ("last_step", "loss", 0.6),
        ("two_optimizers", "predictor", 0.8),
        ("two_optimizers", "critic", 0.5),
        ("warmup", "loss", 0.95),
        ("variable_length", "loss", 0.6),
    ],
)
def test_what_a_program_minimizes_falls(runs: Runs, name: str, label: str, share: float) -> None:
    for values in runs.numbers(name, label):
        assert len(values) >= SMALL[name]["epochs"]
        assert values[SMALL[name]["epochs"] - 1] < share * values[0]


def test_windows_of_two_steps_make_an_update_for_every_two_steps(runs: Runs) -> None:
    batches, windows = 2 * 32 // 16, 20 // 2
    for run in runs.of("lightning_recipe"):
        assert f"\n{batches * windows} updates" in run["printed"]


def test_the_loop_by_hand_is_the_trainers_own(runs: Runs) -> None:
    for manual, automatic in zip(runs.of("manual_optimization"), runs.of("average_regression"), strict=True):
        assert manual["result"] == pytest.approx(automatic["result"], rel=1e-12)
        assert "40 updates in 4 batches" in manual["printed"]


def test_only_the_last_output_of_a_window_counts(runs: Runs) -> None:
    for all_targets, only_last in zip(
        runs.of("last_step"), runs.of("last_step without the other targets"), strict=True
    ):
        assert np.isfinite(only_last["result"]) and only_last["result"] == all_targets["result"]


def test_one_optimizer_steps_every_second_batch_the_other_every_fourth(runs: Runs) -> None:
    batches, windows = 64 // 8, 3
    for run in runs.of("two_optimizers"):
        assert run["result"] == [2 * windows * batches // 2, 2 * windows * batches // 4]


def test_the_rate_rises_in_a_line_to_its_peak(runs: Runs) -> None:
    updates_an_epoch = 64 // 16 * 2
    expected = [0.02 * min(1.0, updates_an_epoch * epochs / 20) for epochs in (1, 2, 3)]
    for rates in runs.numbers("warmup", "rate of the last update"):
        assert rates == expected


def test_padding_counts_for_nothing(runs: Runs) -> None:
    for zero, nan in zip(
        runs.numbers("variable_length", "padded with zero:"),
        runs.numbers("variable_length", "padded with NaN:"),
        strict=True,
    ):
        assert zero == nan and len(zero) == 1
