"""``tbptt compare`` on a real script: the same is the same, and each planted difference is named where it begins."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from tbptt.command import main
from tbptt.comparison import MOMENTS, Reader

SCRIPT = str(Path(__file__).with_name("planted.py"))
ARGUMENTS = ["compare", SCRIPT, "--precision", "64"]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run on torch that was kept."""
    path = tmp_path_factory.mktemp("golden") / "torch.tbptt"
    assert main([*ARGUMENTS, "--backends", "torch", "--record", str(path)]) == 0
    return str(path)


def test_both_engines_are_the_same_and_the_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "report"
    assert main([*ARGUMENTS, "--steps", "12", "--report", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "torch and tensorflow computed the same over 12 windows" in printed
    assert {path.name for path in folder.iterdir()} == {
        *("differences.csv", "summary.json", "losses.png", "differences.png", "parameters.png"),
        *("torch.log", "tensorflow.log"),
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verdict"] == "same"
    assert [run["backend"] for run in summary["runs"]] == ["torch", "tensorflow"]
    assert len(summary["losses"]) == 12
    with (folder / "differences.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["moment"] for row in rows} == set(MOMENTS)
    assert {int(row["window"]) for row in rows} == set(range(12))
    assert all(float(row["max_absolute"]) <= float(row["allowed"]) for row in rows)
    assert any(float(row["max_absolute"]) > 0 for row in rows)  # two engines are not one
    assert not list(tmp_path.glob("**/metrics.csv"))  # loggers of the script are left out


PLANTS = {
    "data": (0, "data", "batch[0]", "element [1, 2, 0]"),  # step 12 is step 2 of window 2: see below
    "start": (0, "start", "lstm.weight_hh_l0", "element [4, 1]"),
    "sum": (0, "loss", "loss", "its value"),
    "detach": (0, "gradient", "lstm.weight_ih_l0", "element"),
    "clip": (0, "clipping", "lstm.weight_ih_l0", "element"),
    "epsilon": (0, "update", "lstm.weight_ih_l0", "element"),
    "nudge": (3, "start", "head.weight", "element [0, 2]"),
}
"""Window, moment, name and element where each begins."""


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_difference_is_named_where_it_begins(
    plant: str, golden: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    window, moment, name, element = PLANTS[plant]
    if plant == "data":
        window = 2
    monkeypatch.setenv("PLANT", f"{plant}:torch")
    assert main([*ARGUMENTS, "--backends", "torch", "--against", golden]) == 1
    said = capsys.readouterr().out
    assert f"part in window {window} (" in said
    assert f"moment '{moment}'" in said
    assert f" {name}:\n  {element}" in said


def test_a_difference_on_the_other_engine_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANT", "epsilon:tensorflow")
    assert main([*ARGUMENTS, "--steps", "2"]) == 1
    assert "torch and tensorflow part in window 0 (epoch 0, batch 0, window 0 of it), moment 'update'" in (
        capsys.readouterr().out
    )


def test_against_itself_a_run_is_the_same_to_the_bit(golden: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, "--backends", "torch", "--against", golden, "--rtol", "0", "--atol", "0"]) == 0
    assert "the same over 16 windows: the largest difference of any two elements was 0.0e+00" in capsys.readouterr().out


def test_a_script_that_fails_is_no_difference(
    monkeypatch: pytest.MonkeyPatch, golden: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANT", "crash:torch")
    assert main([*ARGUMENTS, "--backends", "torch", "--against", golden]) == 2
    said = capsys.readouterr().err
    assert "failed on torch with status 1" in said
    assert "RuntimeError: something broke in the script" in said


def test_the_scripts_own_arguments_and_modules(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("import sys\nassert sys.argv[1:] == ['--width', '3', '--', 'x'], sys.argv\n")
    script = tmp_path / "train.py"
    script.write_text(
        f"import sys\nsys.path.append({str(Path(SCRIPT).parent)!r})\nimport beside, planted\nplanted.main(1)\n"
    )
    record = tmp_path / "run.tbptt"
    arguments = ["compare", str(script), "--backends", "torch", "--record", str(record), "--elements", "3"]
    assert main([*arguments, "--steps", "2", "--", "--width", "3", "--", "x"]) == 0
    with record.open("rb") as file:
        reader = Reader(file, record)
        assert reader.head.script == f"{script} --width 3 -- x"
        assert (reader.head.windows, reader.head.elements) == (2, 3)
        records = list(reader)
    assert len(records) == 2
    assert max(array.size for array in records[0].moments["update"].values()) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "nowhere.py"], "There is no script 'nowhere.py'"),
        (["compare", SCRIPT, "--backends", "jax,torch"], "There is no backend named 'jax'"),
        (["compare", SCRIPT, "--backends", "torch"], "nothing to compare torch with"),
        (["compare", SCRIPT, "--backends", "torch", "--against", "nothing.tbptt"], "no recording 'nothing.tbptt'"),
        (["compare", SCRIPT, "--backends", "torch", "--against", __file__], "is no recording"),
        (["compare", SCRIPT, "--atol", "-1"], "atol must be 0 or more"),
    ],
    ids=["script", "backend", "alone", "absent", "other file", "tolerance"],
)
def test_mistakes_end_with_status_2_and_a_message(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_script_that_trains_nothing_is_said_to_do_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "empty.py"
    script.write_text("import tbptt\n")
    assert main(["compare", str(script), "--backends", "torch", "--record", str(tmp_path / "run")]) == 2
    assert "trained no window with tbptt.Trainer.fit" in capsys.readouterr().err


def test_a_script_that_chooses_its_engine_itself_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(
        f"import sys\nsys.path.append({str(Path(SCRIPT).parent)!r})\nimport tbptt, planted\n"
        f"tbptt.use_backend('torch')\nplanted.main(1)\n"
    )
    assert main(["compare", str(script), "--backends", "tensorflow", "--record", str(tmp_path / "run")]) == 2
    assert "trains on torch, although tensorflow was asked for" in capsys.readouterr().err


def test_the_module_and_the_console_script_are_one(tmp_path: Path) -> None:
    import subprocess

    done = subprocess.run([sys.executable, "-m", "tbptt", "backends"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("torch 2.", "tensorflow 2.", "tbptt_torch:backend", "chosen: ", "cpu"):
        assert part in done.stdout


def test_in_lockstep_every_window_begins_from_the_first_runs_states(
    golden: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PLANT", "epsilon:torch")
    folder = tmp_path / "report"
    assert main([*ARGUMENTS, "--backends", "torch", "--against", golden, "--lockstep", "--report", str(folder)]) == 1
    with (folder / "differences.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if int(row["window"]) > 0]
    by_moment = {
        moment: max(float(row["max_absolute"]) for row in rows if row["moment"] == moment)
        for moment in ("forward", "loss", "gradient", "update")
    }
    assert (
        by_moment["forward"] == by_moment["loss"] == by_moment["gradient"] == 0.0
    )  # the same beginnings, the same engine
    assert by_moment["update"] > 1e-4  # another epsilon, in every window anew
