"""The wheel, built and installed into an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_installs_exactly_three_top_level_packages(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name} == {
        "tbptt",
        "tbptt_torch",
        "tbptt_tensorflow",
    }
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=True)
    python = fresh / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    code = (
        "import importlib.metadata as m, pathlib; d = m.distribution('tbptt');"
        "print(sorted({f.parts[0] for f in d.files if f.parts[0] != '..' and not f.parts[0].endswith('.dist-info')}),"
        "      sorted(e.name for e in d.entry_points if e.group == 'tbptt.backends'),"
        "      any(f.name == 'py.typed' for f in d.files))"
    )
    seen = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert seen.stdout.strip() == "['tbptt', 'tbptt_tensorflow', 'tbptt_torch'] ['tensorflow', 'torch'] True"
