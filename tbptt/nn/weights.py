"""Weight files: safetensors under engine-neutral names, read all or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from tbptt.backends import backend_of
from tbptt.errors import WeightsError
from tbptt.files import replacing
from tbptt.types import Array

Shape: TypeAlias = tuple[int, ...]


def save(named: list[tuple[str, Any]], path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write tensors under their names, and texts beside them; the file appears whole or not at all."""
    save_arrays({name: backend_of(value).tensors.to_numpy(value) for name, value in named}, path, metadata)


def save_arrays(
    arrays: Mapping[str, Array], path: str | os.PathLike[str], metadata: dict[str, str] | None = None
) -> None:
    """`save` for what is NumPy already."""
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with replacing(Path(path)) as partial:
        save_file(ordered, partial, metadata={"format": "tbptt", **(metadata or {})})


def metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts beside the tensors.

    Raises:
        WeightsError: if there is no such file, or it is none of ours.
    """
    _check_exists(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path, error) from error


def _check_exists(path: str | os.PathLike[str]) -> None:
    if not Path(path).is_file():
        raise WeightsError(f"There is no weight file {os.fspath(path)!r}. Write one with module.save_weights(path).")


def _damaged(path: str | os.PathLike[str], error: Exception) -> WeightsError:
    return WeightsError(
        f"{os.fspath(path)!r} is no safetensors file, or a damaged one: {error}. "
        f"Expected a file written by module.save_weights(path)."
    )


def load(named: list[tuple[str, Any]], path: str | os.PathLike[str]) -> None:
    """Read a file into tensors of the same names and shapes.

    Raises:
        WeightsError: listing every entry that is missing, unexpected or of another shape; nothing is loaded then.
    """
    arrays = load_arrays(path)
    expected = {name: tuple(value.shape) for name, value in named}
    refuse(
        f"The weights in {os.fspath(path)!r}",
        faults(expected, {name: array.shape for name, array in arrays.items()}, "the file"),
        "Build the module with the sizes it was saved with.",
    )
    for name, value in named:
        backend_of(value).interop.write(value, arrays[name])


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Array]:
    """All arrays of a file.

    Raises:
        WeightsError: if there is no such file, or it is none of ours.
    """
    _check_exists(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error


def faults(expected: Mapping[str, Shape], received: Mapping[str, Shape], source: str) -> list[str]:
    """What is missing from the received entries, unexpected, or of another shape, a line each.

    >>> from tbptt.nn import weights
    >>> weights.faults({"a": (2,), "b": (1, 3)}, {"b": (3, 1), "c": ()}, "the file")
    ['missing: a (2,)', 'unexpected: c ()', 'shape: b is (3, 1) in the file and (1, 3) in the module']
    """
    found = [f"missing: {name} {shape}" for name, shape in expected.items() if name not in received]
    found += [f"unexpected: {name} {shape}" for name, shape in received.items() if name not in expected]
    return found + [
        f"shape: {name} is {received[name]} in {source} and {shape} in the module"
        for name, shape in expected.items()
        if received.get(name, shape) != shape
    ]


def refuse(what: str, faults: Sequence[str], advice: str) -> None:
    """One error that lists every fault, if there is any.

    Raises:
        WeightsError: if there is one.
    """
    if faults:
        lines = "\n  ".join(faults)
        raise WeightsError(f"{what} do not fit this module, and nothing was loaded:\n  {lines}\n{advice}")
