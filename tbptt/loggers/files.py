"""Text files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tbptt import files


@contextmanager
def replacing(target: Path) -> Iterator[TextIO]:
    """A text file to write the new content to; it takes the place of `target` when the block ends well."""
    with files.replacing(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file
