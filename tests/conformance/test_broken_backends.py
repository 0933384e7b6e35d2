"""The suite can fail: every mistake of `broken` fails the tests that are about it, and all others pass."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tbptt.testing import AutodiffConformance
from tbptt.testing.conformance.recurrence import STACKS
from tbptt.testing.conformance.recurrence_problems import KINDS

THROUGH_THE_STATE = [
    f"test_gradients_go_back_through_the_state_that_enters[{window}-{kind}]"
    for window in (*STACKS, "resets", "two-calls", "two-tapes")
    for kind in KINDS
]

BACKENDS = {
    "TestForgetsToDetach": [
        "test_stop_gradient_cuts_one_path_exactly",
        "test_targets_that_depend_on_nothing_give_none_instead_of_a_list",
        "test_two_windows_are_joined_by_an_output_gradient",
    ],
    "TestDetachesTooEarly": THROUGH_THE_STATE,
    # whatever asks twice for the gradient of one parameter
    "TestAccumulatesGradients": [
        "test_nothing_accumulates_from_tape_to_tape",
        "test_a_persistent_tape_answers_the_same_again",
        "test_a_gradient_is_no_part_of_a_later_record",
        "test_two_windows_are_joined_by_an_output_gradient",
        "test_a_tape_and_a_parameter_work_in_what_is_compiled[False]",
        "test_a_tape_and_a_parameter_work_in_what_is_compiled[auto]",
        "test_deterministic_operations_give_the_same_bits[False]",
        "test_deterministic_operations_give_the_same_bits[True]",
    ],
    "TestSumsWhereItShouldAverage": ["test_numbers[mean]", "test_single_precision[mean]"],
    "TestSwapsTwoGates": ["test_one_step_is_the_formula_gate_by_gate[lstm]"],
    "TestAddsEpsilonInTheWrongPlace": [
        f"test_epsilon_is_added_where_the_rule_says[{case}]" for case in ("adam", "adam-amsgrad", "adam-decoupled")
    ],
    "TestIsExcused": [],
    "TestIsExcusedForNothing": ["test_a_parameter_has_no_shell"],
}

ON_TENSORFLOW = {
    # a tape records what happens inside it: the past of a state is out of reach, and is asked for without an error, cut or not
    "TestForgetsToDetach": BACKENDS["TestForgetsToDetach"][:2],
    "TestAccumulatesGradients": [*BACKENDS["TestAccumulatesGradients"][:4], "test_a_past_window_is_not_reached_again"],
}

SCHEDULES = {
    "TestByFours": [],
    "TestOneStepShort": ["test_every_step_is_in_a_window"],
    "TestOneStepOverlapping": ["test_no_step_is_in_two_windows"],
    "TestOneStepBeyondTheEnd": ["test_no_window_leaves_the_sequence"],
    "TestReachesOneStepTooFar": ["test_the_gradient_reaches_no_further_back_than_the_run"],
    "TestRunsFromOneStepTooEarly": ["test_a_run_begins_where_its_window_does_or_where_a_state_was_kept"],
}


def failures(folder: Path, engine: str, mistakes: Iterable[str], *options: str) -> dict[str, list[str]]:
    """The names of the tests that fail, by class."""
    report = folder / "report.xml"
    # thousands of short tests: half the time is pytest's own, and a fifth of that is collecting what they log
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:logging",
        "--tb=no",
    ]
    suites = Path(__file__).with_name("broken.py")
    command += [f"--junitxml={report}", *options, *(f"{suites}::{mistake}" for mistake in mistakes)]
    # more threads only wait for each other over tensors of this size
    environment = os.environ | {"BROKEN_ENGINE": engine, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failed = found.setdefault(case.attrib["classname"].rpartition(".")[2], [])
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.attrib["name"])
    return found


@pytest.fixture(scope="module")
def on_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return failures(tmp_path_factory.mktemp("torch"), "torch", [*BACKENDS, *SCHEDULES])


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Of the suite, the class that these mistakes are in: the whole takes minutes there."""
    names = [name for name in vars(AutodiffConformance) if name.startswith("test_")]
    return failures(tmp_path_factory.mktemp("tensorflow"), "tensorflow", ON_TENSORFLOW, "-k", " or ".join(names))


@pytest.mark.parametrize("mistake", BACKENDS)
def test_a_broken_backend_fails_what_is_about_its_mistake(on_torch: dict[str, list[str]], mistake: str) -> None:
    assert_same(on_torch[mistake], BACKENDS[mistake])


@pytest.mark.parametrize("mistake", SCHEDULES)
def test_a_broken_schedule_fails_what_is_about_its_mistake(on_torch: dict[str, list[str]], mistake: str) -> None:
    assert_same(on_torch[mistake], SCHEDULES[mistake])


@pytest.mark.parametrize("mistake", ON_TENSORFLOW)
def test_on_tensorflow_too(on_tensorflow: dict[str, list[str]], mistake: str) -> None:
    assert_same(on_tensorflow[mistake], ON_TENSORFLOW[mistake])


def assert_same(found: Iterable[str], expected: Iterable[str]) -> None:
    assert sorted(found) == sorted(expected)
