"""Every Python block of the documentation runs, on both engines; the blocks of a page are one script, in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def script_of(page: Path) -> str:
    """The page's blocks at their own lines, so that an error names the line of the page."""
    text = page.read_text()
    script = ""
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        missing = text.count("\n", 0, block.start(1)) - script.count("\n")
        script += "\n" * missing + block.group(1)
    return script


def test_there_are_blocks_to_run() -> None:
    assert sum(bool(script_of(page)) for page in PAGES) >= 2


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_the_documentations_blocks_run(engine: str, tmp_path: Path) -> None:
    names = []
    for page in PAGES:
        if script := script_of(page):
            (tmp_path / f"{page.stem}.md").write_text(script)
            names.append(f"{page.stem}.md")
    code = "import sys\nfor name in sys.argv[1:]: exec(compile(open(name).read(), name, 'exec'), {'__name__': name})"
    environment = {**os.environ, "TBPTT_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code, *names],
        capture_output=True, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
