"""Formats of exported programs: which suffix chooses one, whose it is, and what it needs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

from tbptt import backends
from tbptt.errors import BackendNotInstalledError, ConfigurationError


class Format(NamedTuple):
    """One of them."""

    name: str
    engine: str
    """Whose export writes it."""
    packages: tuple[str, ...] = ()
    """What it needs beyond the engine, by import name."""
    extra: str = ""
    """Of this distribution, with these packages."""
    inside: str = ""
    """A file that says of a folder that it is such a program; empty where the program is a file."""


BY_SUFFIX = {
    ".onnx": Format("onnx", "torch", ("onnx", "onnxscript"), "onnx"),
    ".pt2": Format("pt2", "torch"),
    "": Format("saved_model", "tensorflow", inside="saved_model.pb"),
}
"""A path that ends in a slash is a folder's, whatever its name."""


def of_path(path: str | os.PathLike[str]) -> Format:
    """The format a path names.

    >>> from tbptt.export.formats import of_path
    >>> of_path("model.onnx").name, of_path("models/v1.2/").name
    ('onnx', 'saved_model')

    Raises:
        ConfigurationError: if it names none.
    """
    text = os.fspath(path)
    suffix = "" if text.endswith(("/", os.sep)) else Path(text).suffix
    if suffix not in BY_SUFFIX:
        raise ConfigurationError(
            f"The suffix of a path chooses the format of an export: 'model.onnx' (ONNX), 'model.pt2' (torch.export), 'model/', a "
            f"folder (SavedModel); received {text!r}. Weights alone are written by save_weights."
        )
    return BY_SUFFIX[suffix]


def check(path: str | os.PathLike[str], chosen: Format) -> None:
    """Nothing, if that format can be written there.

    Raises:
        BackendNotInstalledError: if it needs what is not installed.
        ConfigurationError: if there is something that it would be wrong to replace.
    """
    target = Path(path)
    backends.load(chosen.engine)
    missing = [name for name in chosen.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendNotInstalledError(
            f"Exporting to {target.name!r} needs {', '.join(missing)}, which is not installed. "
            f"Install it with:  pip install 'tbptt[{chosen.extra}]'"
        )
    if chosen.inside:
        strange = target.is_file() or (
            target.is_dir() and any(target.iterdir()) and not (target / chosen.inside).is_file()
        )
        if strange:
            raise ConfigurationError(
                f"{str(target)!r} exists and is not an exported program, so it is not replaced. Give the name of a folder that "
                f"is not there yet, is empty, or holds an earlier export."
            )
    elif target.is_dir():
        raise ConfigurationError(f"{str(target)!r} is a folder; expected the name of a file to write.")
