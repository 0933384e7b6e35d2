"""The suite itself: no promise is left out, no test hides another, excuses must hold, failures say what was missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tbptt.protocols import Backend
from tbptt.testing import BackendConformance
from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_calls import Call
from tbptt.testing.conformance.tensor_checks import NAMES, check, function, run
from tbptt.testing.conformance.tensor_gradients import CASES, NOT_DIFFERENTIABLE
from tbptt.testing.conformance.tensor_table import TABLE
from tbptt.testing.conformance.tensors import CALLS

PARTS = [part for part in BackendConformance.__mro__ if issubclass(part, Conformance) and part is not Conformance]


def test_every_function_of_tensors_is_in_the_table() -> None:
    assert set(TABLE) == set(NAMES)
    empty = [name for name in NAMES if not CALLS[name]]
    assert empty == ["assign", "convert_parameter"]  # which answer nothing, and take parameters: tests of their own


def test_every_function_of_tensors_has_its_gradient_compared_or_has_none() -> None:
    compared = {name.partition("-")[0] for name in CASES}
    assert compared | NOT_DIFFERENTIABLE == set(NAMES)
    assert not compared & NOT_DIFFERENTIABLE


def test_no_class_of_the_suite_hides_what_another_has() -> None:
    owners: dict[str, str] = {}
    for part in PARTS:
        for name in vars(part):
            if not name.startswith("__"):
                assert owners.setdefault(name, part.__name__) == part.__name__, f"{name} is in {part} too"


def test_importing_the_suite_imports_no_engine() -> None:
    code = "import sys; from tbptt.testing import BackendConformance; print({'torch', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# --- what the checks see ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (np.float32([1.0, 2.0]), "expected the dtype float64, received float32"),
        (np.array([[1.0, 2.0]]), r"expected the shape \(2,\), received \(1, 2\)"),
        (np.array([1.0, 2.0 + 1e-9]), "Not equal to tolerance"),
        ([1.0, 2.0], "expected a tensor of numpy, received a list"),
    ],
)
def test_a_wrong_answer_is_told(answer: Any, said: str) -> None:
    check(numpy_backend(), np.array([1.0, 2.0]), Call((), {}, [1.0, 2.0], "float64"))
    with pytest.raises(AssertionError, match=said):
        check(numpy_backend(), answer, Call((), {}, [1.0, 2.0], "float64"))


def test_a_function_that_is_not_there_is_told() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"tensors of numpy have no function 'erf'.*`lacks`"):
        function(numpy_backend(), "erf")


def test_a_failure_names_the_call() -> None:
    call = Call((np.array([1.0, 2.0]),), {"axis": 0}, 4.0, "float64")
    with pytest.raises(AssertionError) as caught:
        run(numpy_backend(), "sum", call)
    assert caught.value.__notes__ == ["The call: sum(array([1., 2.]), axis=0) on numpy."]


def numpy_backend() -> Backend:
    """Just enough of one for `check`."""
    tensors: Any = SimpleNamespace(
        asarray=np.asarray,
        is_tensor=lambda x: isinstance(x, np.ndarray | np.generic),
        dtype=lambda x: x.dtype.name,
        shape=np.shape,
        to_numpy=lambda x: x,
        sum=np.sum,
    )
    return Backend("numpy", tensors, *[None] * 6)  # type: ignore[arg-type]


# --- excuses ----------------------------------------------------------------------------------------------------------

MODULE = """
import pytest
from tbptt.protocols import Backend
from tbptt.testing.conformance.base import Conformance

class Promises(Conformance):
    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_numbers_are_below_three(self, number):
        assert number < 3

    @pytest.mark.parametrize("number", [4, 5])
    def test_numbers_are_below_four(self, number):
        assert number < 4

    def test_the_backend_is_there(self):
        assert self.engine.name == "mine"

class TestMine(Promises):
    backend = Backend("mine", *[None] * 7)
    lacks = {lacks}
"""


def outcomes(tmp_path: Path, lacks: dict[str, str], *options: str) -> str:
    (tmp_path / "test_mine.py").write_text(MODULE.format(lacks=lacks))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", "-rxXf"]
    command += [*options, "test_mine.py"]
    wide = {**os.environ, "COLUMNS": "200"}  # the summary's lines are cut at the terminal's width
    return subprocess.run(command, cwd=tmp_path, env=wide, capture_output=True, text=True).stdout


def test_excuses_that_hold_are_expected_failures(tmp_path: Path) -> None:
    lacks = {"test_numbers_are_below_three[3]": "three is three", "test_numbers_are_below_four": "none of them is"}
    report = outcomes(tmp_path, lacks, "-W", "error")
    assert "XFAIL test_mine.py::TestMine::test_numbers_are_below_three[3] - three is three" in report
    assert report.count(" - none of them is") == 2
    assert "4 passed, 3 xfailed" in report


def test_an_excuse_fails_that_is_not_needed_or_names_nothing(tmp_path: Path) -> None:
    lacks = {
        "test_numbers_are_below_three": "only one of them needs it",
        "test_the_backend_is_there": "it is",
        "test_numbers_are_below_four[6]": "there is no such case",
        "test_nothing": "there is no such test",
    }
    report = outcomes(tmp_path, lacks)
    assert "FAILED test_mine.py::TestMine::test_numbers_are_below_three[1] - [XPASS(strict)] only one" in report
    assert "FAILED test_mine.py::TestMine::test_the_backend_is_there - [XPASS(strict)] it is" in report
    assert "lacks names tests that do not exist: ['test_nothing', 'test_numbers_are_below_four[6]']" in report
    assert "6 failed, 1 xfailed" in report


def test_an_excuse_needs_a_reason_and_cases_left_out_of_a_run_are_no_matter(tmp_path: Path) -> None:
    lacks = {"test_numbers_are_below_three[3]": "", "test_numbers_are_below_four[4]": "it is not"}
    report = outcomes(tmp_path, lacks, "-k", "not four and not three")
    assert "an excuse needs a reason" in report
    assert "do not exist: [" not in report
    assert "1 failed, 1 passed" in report
