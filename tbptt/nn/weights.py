"""Weight files: safetensors under engine-neutral names, read all or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from tbptt.backends import backend_of
from tbptt.errors import WeightsError


def save(named: list[tuple[str, Any]], path: str | os.PathLike[str], metadata: dict[str, str] | None = None) -> None:
    """Write tensors under their names, and texts beside them; the file appears whole or not at all."""
    arrays = {name: np.asarray(backend_of(value).tensors.to_numpy(value), order="C") for name, value in named}
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    try:
        save_file(arrays, partial, metadata={"format": "tbptt", **(metadata or {})})
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


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
    _check_exists(path)
    try:
        arrays = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise _damaged(path, error) from error
    wanted = dict(named)
    faults = [f"missing: {name} {tuple(value.shape)}" for name, value in named if name not in arrays]
    faults += [f"unexpected: {name} {array.shape}" for name, array in arrays.items() if name not in wanted]
    faults += [
        f"shape: {name} is {arrays[name].shape} in the file and {tuple(value.shape)} in the module"
        for name, value in named
        if name in arrays and arrays[name].shape != tuple(value.shape)
    ]
    if faults:
        raise WeightsError(
            f"The weights in {os.fspath(path)!r} do not fit this module, and nothing was loaded:\n  "
            + "\n  ".join(faults)
            + "\nBuild the module with the sizes it was saved with."
        )
    for name, value in named:
        backend_of(value).interop.write(value, arrays[name])
