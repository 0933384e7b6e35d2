"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A file to write beside `target`, whose place it takes when the block ends well; nothing is left of it when it does not.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tbptt.files import replacing
    >>> target = Path(tempfile.mkdtemp(), "numbers.txt")
    >>> with replacing(target) as partial:
    ...     _ = partial.write_text("1, 2, 3")
    ...     target.exists()
    False
    >>> target.read_text()
    '1, 2, 3'
    """
    partial = target.with_name(target.name + ".partial")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
