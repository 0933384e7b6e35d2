"""The pytest plug-in in a pytest of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

TEST = "def test_engine(backend):\n    import tbptt\n    assert tbptt.current_backend().name == backend.name\n"


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v", *arguments)


def test_a_test_runs_once_on_each_engine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = run(pytester)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_engine?torch?*", "*test_engine?tensorflow?*"])


def test_one_engine_alone_if_it_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST + "    import sys\n    assert 'tensorflow' not in sys.modules\n")
    result = run(pytester, "--tbptt-backend", "torch")
    result.assert_outcomes(passed=1)
    pytester.makepyfile(mine="import tbptt_torch\nbackend = tbptt_torch.backend\n")
    pytester.syspathinsert()
    result = run(pytester, "--tbptt-backend", "mine:backend")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_engine?mine:backend?*"])


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_an_engine_that_is_named_and_absent_is_an_error(
    name: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(TEST)
    pytester.makeconftest(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'tensorflow' else find(name, *rest)\n"
    )
    monkeypatch.setenv("PYTEST_ADDOPTS", "")
    result = run(pytester, "--tbptt-backend", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--tbptt-backend {name}:*"])


def test_no_engine_at_all_is_an_error_and_no_skip(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makeconftest(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in ('torch', 'tensorflow') else find(name, *rest)\n"
    )
    result = run(pytester)
    assert result.ret != 0
    assert "passed" not in result.stdout.str() and "skipped" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*asks for an engine, and none is installed*"])


def test_a_projects_own_fixture_of_that_name_goes_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.fixture(params=['a', 'b', 'c'])\ndef backend(request):\n    return request.param\n"
        "def test_mine(backend):\n    assert backend in 'abc'\n"
    )
    run(pytester).assert_outcomes(passed=3)


def test_an_argument_that_the_project_parametrizes_goes_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('backend', ['a', 'b'])\ndef test_mine(backend):\n    assert backend in 'ab'\n"
        "@pytest.mark.parametrize('backend', ['torch'], indirect=True)\ndef test_chosen(backend):\n"
        "    assert backend.name == 'torch'\n"
    )
    run(pytester, "--tbptt-backend", "torch").assert_outcomes(passed=3)
    pytester.makeconftest(
        "def pytest_generate_tests(metafunc):\n    if 'backend' in metafunc.fixturenames:\n"
        "        metafunc.parametrize('backend', [1, 2, 3])\n"
    )
    pytester.makepyfile("def test_theirs(backend):\n    assert backend in (1, 2, 3)\n")
    run(pytester).assert_outcomes(passed=3)


def test_classes_ask_by_usefixtures_and_those_of_unittest_are_told_why_not(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import unittest\nimport pytest\nimport tbptt\nseen = []\n"
        "@pytest.mark.usefixtures('backend')\nclass TestMine:\n    def test_engine(self):\n"
        "        seen.append(tbptt.current_backend().name)\n        assert len(set(seen)) == len(seen)\n"
        "@pytest.mark.usefixtures('backend')\nclass TestUnit(unittest.TestCase):\n    def test_engine(self):\n        pass\n"
    )
    result = run(pytester)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*asks for the fixture 'backend' in a way in which pytest runs a test only once*"])


def test_pytest_starts_without_an_engine_and_without_the_plug_in_if_it_is_told_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_plain():\n    assert not {'torch', 'tensorflow', 'keras', 'rich'} & set(sys.modules)\n"
    )
    run(pytester).assert_outcomes(passed=1)
    pytester.makepyfile(TEST)
    result = run(pytester, "-p", "no:tbptt")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'backend' not found*"])


def test_the_choice_of_engines_reaches_xdists_processes(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(TEST)
    run(pytester, "-n", "2", "--tbptt-backend", "torch").assert_outcomes(passed=1)
