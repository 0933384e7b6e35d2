"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tbptt.export.formats import Format


@contextmanager
def whole(path: Path, chosen: Format) -> Iterator[Path]:
    """Somewhere to write what is at `path` when the block ends well; folders above it are made.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tbptt.export.formats import of_path
    >>> from tbptt.export.writing import whole
    >>> path = Path(tempfile.mkdtemp(), "new", "model.onnx")
    >>> with whole(path, of_path(path)) as target:
    ...     _ = target.write_text("program")
    ...     path.exists()
    False
    >>> path.read_text()
    'program'
    """
    from tempfile import TemporaryDirectory  # here: it imports a dozen modules that `import tbptt` can do without

    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that it can be renamed into place; under its own name, which some formats write into the file.
    with TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        target = Path(folder, path.name)
        yield target
        if chosen.inside and path.is_dir():  # a folder that is not empty cannot be renamed over
            path.rename(Path(folder, "before"))
        os.replace(target, path)
