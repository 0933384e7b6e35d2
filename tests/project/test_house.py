"""The shape of the house: what may import what, and that the two adapters mirror each other."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tbptt import backends, protocols

ROOT = Path(__file__).parents[2]
FIELDS = ("recurrence", "autodiff", "optimizers", "devices", "compilation", "interop")
PROTOCOLS = {field: getattr(protocols, field.capitalize()) for field in FIELDS}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_tbptt_imports_no_engine() -> None:
    assert run("import sys, tbptt; print({'torch', 'tensorflow', 'keras'} & set(sys.modules))") == "set()"


@pytest.mark.alone
def test_importing_tbptt_takes_less_than_three_tenths_of_a_second() -> None:
    code = "import time; t = time.perf_counter(); import tbptt; print(time.perf_counter() - t)"
    run(code)  # the first import may have to compile
    assert min(float(run(code)) for _ in range(5)) < 0.3


def test_both_adapters_have_the_same_files() -> None:
    def files(name: str) -> set[str]:
        folder = ROOT / "backends" / name
        return {str(path.relative_to(folder)) for path in folder.rglob("*.py")}

    assert files("tbptt_torch") == files("tbptt_tensorflow")


@pytest.mark.parametrize("field", FIELDS)
def test_both_adapters_have_the_signatures_of_the_protocol(field: str) -> None:
    def shape(function: object) -> list[tuple[object, ...]]:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]

    promises = {name: f for name, f in vars(PROTOCOLS[field]).items() if not name.startswith("_") and callable(f)}
    for engine in ("torch", "tensorflow"):
        module = getattr(backends.load(engine), field)
        own = {
            name
            for name, f in vars(module).items()
            if inspect.isfunction(f) and f.__module__.startswith(f"tbptt_{engine}.{field}") and not name.startswith("_")
        }
        assert own == set(promises), f"tbptt_{engine}.{field} and its protocol name different functions"
        for name, promise in promises.items():
            assert shape(getattr(module, name)) == shape(promise), f"tbptt_{engine}.{field}.{name}"


def test_the_core_never_asks_which_engine_it_is_on() -> None:
    branch = re.compile(r"(backend|engine|name)\w*\s*(==|!=|in)\s*[\[({]?\s*[\"'](torch|tensorflow|keras)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "tbptt").rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if branch.search(line)
    ]
    assert not found


def test_the_lint_rule_against_engines_in_the_core_can_fail(tmp_path: Path) -> None:
    for line in ("import torch", "from tensorflow import keras", "import keras"):
        check = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                "check",
                "--config",
                str(ROOT / "pyproject.toml"),
                "--stdin-filename",
                "tbptt/x.py",
                "-",
            ],
            input=f"{line}\n",
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert "TID251" in check.stdout, line
