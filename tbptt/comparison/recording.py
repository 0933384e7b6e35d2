"""A run written down: what it was run on, then one record a window. As objects, and as bytes in a file or a pipe.

The bytes are a first line, ``tbptt recording 1``, and blocks: eight bytes with the length of what follows (little endian), then a
safetensors file of that length. The first block holds texts alone, each further one a window, its arrays under ``moment/name``.
A recording that breaks off in the middle of a block is damaged; one that ends between two blocks is shorter.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import IO

import numpy as np

from tbptt.backends import requirements_of
from tbptt.errors import RecordingError
from tbptt.protocols import Backend
from tbptt.types import Array

FIRST_LINE = b"tbptt recording 1\n"
_LONGEST = 1 << 36
"""Bytes of a block, at most: what a damaged length must not make us ask the system for."""


@dataclass(frozen=True)
class Head:
    """What a run was run on."""

    backend: str
    versions: dict[str, str] = field(default_factory=dict)
    """Of tbptt, Python, NumPy and what the engine stands on."""
    elements: int | None = None
    """Of each array at most so many are kept (`thinned`); None for all."""
    windows: int | None = None
    """The run was ended after so many; None: it came to its own end."""
    script: str = ""
    """What was run, and its arguments."""

    @classmethod
    def of(cls, backend: Backend, elements: int | None = None, windows: int | None = None, script: str = "") -> Head:
        """For a run on that engine, here and now."""
        names = ["tbptt", "numpy", *requirements_of(backend.name)]
        versions = {"python": platform.python_version()}
        for name in names:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        return cls(backend.name, versions, elements, windows, script)

    def __str__(self) -> str:
        return f"{self.backend} ({', '.join(f'{name} {version}' for name, version in self.versions.items())})"


@dataclass(frozen=True)
class Place:
    """Where in a run a window is, everything counted from 0."""

    window: int
    """Of all windows trained on."""
    epoch: int
    batch: int
    window_of_batch: int
    step: int
    """Optimizer steps done when it ended."""
    fit: int = 0

    def __str__(self) -> str:
        fit = f"fit {self.fit}, " if self.fit else ""
        return (
            f"window {self.window} ({fit}epoch {self.epoch}, batch {self.batch}, window {self.window_of_batch} of it)"
        )


@dataclass(frozen=True)
class Record:
    """One window."""

    place: Place
    moments: dict[str, dict[str, Array]]
    """Moment to name to array; a moment that did not come (no clipping, no update) is not there."""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Of arrays of which only some elements are kept, by ``moment/name``."""
    arithmetic: str = ""
    """The dtype that layers computed in, where it is shorter than the parameters' (mixed precision)."""


def thinned(array: Array, elements: int | None) -> Array:
    """At most so many elements of it, spread evenly and always the same ones; a flat array then.

    >>> import numpy as np
    >>> from tbptt.comparison.recording import thinned
    >>> thinned(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    if elements is None or array.size <= elements:
        return array
    return array.reshape(-1)[places_kept(array.size, elements)]


def places_kept(size: int, elements: int) -> Array:
    """Flat places of the elements that `thinned` keeps."""
    return np.linspace(0, size - 1, elements).astype(np.int64)


class Writer:
    """Writes a recording into an open binary file. Without a head it goes on with one that has been begun.

    >>> import io
    >>> from tbptt.comparison.recording import Head, Reader, Writer
    >>> file = io.BytesIO()
    >>> Writer(file, Head("torch"))
    <Writer of 0 windows>
    >>> _ = file.seek(0)
    >>> Reader(file, "a file").head.backend
    'torch'
    """

    def __init__(self, file: IO[bytes], head: Head | None) -> None:
        self._file, self._windows = file, 0
        if head is not None:
            file.write(FIRST_LINE)
            self._block({}, {"head": json.dumps(asdict(head))})

    def __call__(self, record: Record) -> None:
        """Write one window."""
        arrays = {
            f"{moment}/{name}": array for moment, entries in record.moments.items() for name, array in entries.items()
        }
        texts = {
            "place": asdict(record.place),
            "order": list(arrays),
            "shapes": record.shapes,
            "arithmetic": record.arithmetic,
        }
        self._block(arrays, {name: json.dumps(value) for name, value in texts.items()})
        self._windows += 1

    def _block(self, arrays: dict[str, Array], texts: dict[str, str]) -> None:
        from safetensors.numpy import save

        block = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, texts)
        self._file.write(len(block).to_bytes(8, "little"))
        self._file.write(block)
        self._file.flush()

    def __repr__(self) -> str:
        return f"<Writer of {self._windows} windows>"


class Reader:
    """Reads a recording from an open binary file or a pipe: its `head`, then its windows, one by one as they come.

    Args:
        file: binary; read from where it stands.
        name: of the recording, for errors.
        head: if it is known already, and only windows come.

    Raises:
        RecordingError: at once if it is none; while reading, if it is damaged.
    """

    def __init__(self, file: IO[bytes], name: str | os.PathLike[str], head: Head | None = None) -> None:
        self._file, self.name = file, os.fspath(name)
        self.head = self._read_head() if head is None else head

    def _read_head(self) -> Head:
        file = self._file
        line = file.read(len(FIRST_LINE))
        if line != FIRST_LINE:
            raise RecordingError(
                f"{self.name!r} is no recording of this version: it begins with {line[:20]!r}, not {FIRST_LINE!r}. Make one with "
                f"tbptt compare SCRIPT --record FILE, or tbptt.comparison.Recorder."
            )
        first = self._block()
        if first is None:
            raise RecordingError(f"The recording {self.name!r} ends before it says what was run.")
        with self._damage_told():
            return Head(**json.loads(first[1]["head"]))

    def __iter__(self) -> Iterator[Record]:
        while (block := self._block()) is not None:
            with self._damage_told():
                record = _record(*block)
            yield record

    def _block(self) -> tuple[dict[str, Array], dict[str, str]] | None:
        from safetensors.numpy import load

        size = self._file.read(8)
        if not size:
            return None
        length = int.from_bytes(size, "little")
        block = self._file.read(length) if len(size) == 8 and length < _LONGEST else b""
        with self._damage_told():
            if len(block) != length:
                raise ValueError(f"a block of {length} bytes has {len(block)}")
            header = json.loads(block[8 : 8 + int.from_bytes(block[:8], "little")])
            return load(block), header["__metadata__"]

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        """What goes wrong in decoding, as an error of ours."""
        from safetensors import SafetensorError

        try:
            yield
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(
                f"The recording {self.name!r} is damaged or breaks off: {error}. Make it again with tbptt compare SCRIPT --record "
                f"FILE."
            ) from error


def _record(arrays: dict[str, Array], texts: dict[str, str]) -> Record:
    """A window of what a block holds."""
    moments: dict[str, dict[str, Array]] = {}
    for name in json.loads(texts["order"]):
        moment, _, entry = name.partition("/")
        moments.setdefault(moment, {})[entry] = arrays[name]
    shapes = {name: tuple(shape) for name, shape in json.loads(texts["shapes"]).items()}
    arithmetic = json.loads(texts.get("arithmetic", '""'))  # which recordings of earlier versions lack
    return Record(Place(**json.loads(texts["place"])), moments, shapes, arithmetic)
