"""Anonymous memory does not grow with the length of the text, neither to build a stream nor to walk through it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ENGINES = ("torch", "tensorflow")
SCRIPT = """
import gc, sys
import numpy as np
import tbptt
from tbptt.memory import anonymous_memory

def walk(path):
    peak = 0
    stream = tbptt.data.TextStream(path, batch_size=32)
    peak = max(peak, anonymous_memory())
    steps = 0
    for batch in stream:
        for index, (tokens, targets) in enumerate(tbptt.windows(batch, 512)):
            steps += int(tokens.shape[1])
            if index % 100 == 0:
                peak = max(peak, anonymous_memory())
    assert steps == stream.steps
    return max(peak, anonymous_memory())

tbptt.use_backend(sys.argv[1])
walk(sys.argv[2])  # the engine warms up
gc.collect()
print(walk(sys.argv[2]), walk(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    page = ("To be, or not to be, that is the question: ä ∀ " * 22_000)[:1_000_000]
    for name, pages in (("short.txt", 1), ("long.txt", 50)):
        with (folder / name).open("w", encoding="utf-8") as file:
            for _ in range(pages):
                file.write(page)
    return folder / "short.txt", folder / "long.txt"


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is told apart on Linux only")
@pytest.mark.parametrize("engine", ENGINES)
def test_fifty_million_characters_take_no_more_anonymous_memory_than_one(engine: str, texts: tuple[Path, Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, engine, *map(str, texts)], capture_output=True, text=True, check=True
    )
    short, long = map(int, done.stdout.split())
    assert long <= 1.05 * short, f"{short / 1e6:.1f} MB for 1 M characters, {long / 1e6:.1f} MB for 50 M"
