"""Text of any length as token streams for language models, in memory that does not grow with it.

The text is read in pieces and written as token ids into a file without a name (in the system's folder for temporary
files; ``TMPDIR`` chooses another), which is mapped into memory: its pages come and go as they are used. A single file
of bytes is mapped as it is.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from tbptt.data.rows import blocks, cut_into_rows, whole_number
from tbptt.errors import ConfigurationError, DataError
from tbptt.types import Array

_PIECE = 1 << 20  # characters or bytes read at a time
_CODE_POINTS = 0x110000


class TextStream:
    """Batches ``(tokens, targets)`` of a text, each (batch, steps); targets are one step ahead.

    The text is dealt out in `batch_size` contiguous rows: row r goes on where row r − 1 ends, and one epoch reads every
    row once from its first to its last step. By default this is a single batch, as long as the corpus allows, and
    windows are cut out of it lazily; with `block_steps` it arrives in several pieces, in order, each row going on where
    it stopped. Batches are views of the mapped file, in its unsigned integer dtype.

    >>> import pathlib, tempfile, tbptt
    >>> path = pathlib.Path(tempfile.mkdtemp(), "corpus.txt")
    >>> _ = path.write_text("abcabcabc")
    >>> stream = tbptt.data.TextStream(path, batch_size=2)
    >>> for tokens, targets in stream:
    ...     print(stream.decode(tokens[0]), stream.decode(targets[0]))
    abca bcab

    Args:
        source: a file, or a directory whose files matching `pattern` are read in the sorted order of their names,
            nothing put between them.
        batch_size: rows.
        unit: a token is a ``"character"`` or a ``"byte"`` of the file.
        vocabulary: the characters in the order of their ids; None: those of the text, sorted.
        block_steps: time steps a batch; None: all there are.
        encoding: of the files. Line ends are kept as they are.
        pattern: which files of a directory, as `pathlib.Path.glob` reads it.
        limit: stop after this many tokens; None: read all.

    Raises:
        DataError: if nothing is there to read, it cannot be decoded, it holds a character the vocabulary lacks, or is
            too short for `batch_size` rows.
        ConfigurationError: for wrong arguments.
    """

    vocabulary: str | bytes
    """The tokens in the order of their ids: a string of characters, or all 256 bytes."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        batch_size: int = 32,
        *,
        unit: Literal["character", "byte"] = "character",
        vocabulary: str | Sequence[str] | None = None,
        block_steps: int | None = None,
        encoding: str = "utf-8",
        pattern: str = "**/*.txt",
        limit: int | None = None,
    ) -> None:
        self.batch_size = whole_number("batch_size", batch_size)
        self.block_steps = None if block_steps is None else whole_number("block_steps", block_steps)
        limit = None if limit is None else whole_number("limit", limit)
        if unit not in ("character", "byte"):
            raise ConfigurationError(f"unit= is 'character' or 'byte'; received {unit!r}.")
        if unit == "byte" and vocabulary is not None:
            raise ConfigurationError(
                "A vocabulary was given, but with unit='byte' it is always the 256 bytes. Leave it."
            )
        self.unit = unit
        self.encoding = encoding
        files = _find(Path(source), pattern)
        if unit == "byte":
            self.vocabulary = bytes(range(256))
            self._tokens = _map_bytes(files, limit)
        else:
            pieces = _Pieces(files, encoding, limit)
            self.vocabulary = pieces.characters() if vocabulary is None else _checked_vocabulary(vocabulary)
            self._table = _id_table(self.vocabulary)
            self._tokens = _encode_to_file(pieces, self._table, self.vocabulary)
        self._check_length("The text")

    @property
    def vocabulary_size(self) -> int:
        """How many different tokens there are."""
        return len(self.vocabulary)

    @property
    def length(self) -> int:
        """Tokens in the text."""
        return len(self._tokens)

    @property
    def steps(self) -> int:
        """Time steps of each row in an epoch."""
        return (self.length - 1) // self.batch_size

    def __len__(self) -> int:
        """Batches in an epoch."""
        return 1 if self.block_steps is None else -(-self.steps // self.block_steps)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        tokens = cut_into_rows(self._tokens[:-1], self.batch_size)
        targets = cut_into_rows(self._tokens[1:], self.batch_size)
        for start, stop in blocks(self.steps, self.block_steps):
            yield tokens[:, start:stop], targets[:, start:stop]

    def encode(self, text: str | bytes) -> Array:
        """The ids of a text, int32, (length,).

        Raises:
            DataError: if the vocabulary lacks a character of it.
        """
        if isinstance(self.vocabulary, bytes):
            raw = text if isinstance(text, bytes) else text.encode(self.encoding)
            return np.frombuffer(raw, np.uint8).astype(np.int32)
        characters = text.decode(self.encoding) if isinstance(text, bytes) else text
        return _look_up(characters, self._table, self.vocabulary, "The text").astype(np.int32)

    def decode(self, ids: Any) -> str:
        """The text of ids, any integer sequence or array of one axis.

        Raises:
            DataError: if an id is outside the vocabulary.
        """
        numbers = np.asarray(ids).reshape(-1)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.vocabulary_size:
            raise DataError(
                f"Ids from {numbers.min()} to {numbers.max()} were given to decode; this vocabulary has "
                f"{self.vocabulary_size} tokens, 0 to {self.vocabulary_size - 1}."
            )
        if isinstance(self.vocabulary, bytes):
            return numbers.astype(np.uint8).tobytes().decode(self.encoding, errors="replace")
        return "".join([self.vocabulary[number] for number in numbers.tolist()])

    def split(self, validation: float = 0.1) -> tuple[TextStream, TextStream]:
        """Two streams, training and validation: the last part of the text is for validation. Nothing is copied.

        >>> train, validation = stream.split(validation=0.1)  # doctest: +SKIP

        Raises:
            ConfigurationError: if `validation` is no fraction between 0 and 1.
            DataError: if either part is too short for `batch_size` rows.
        """
        if isinstance(validation, bool) or not isinstance(validation, int | float) or not 0 < validation < 1:
            raise ConfigurationError(
                f"validation= is the fraction of the text, between 0 and 1; received {validation!r}."
            )
        cut = int(self.length * (1 - validation))
        parts = []
        for name, tokens in (("training", self._tokens[:cut]), ("validation", self._tokens[cut:])):
            part = copy.copy(self)
            part._tokens = tokens
            part._check_length(f"The {name} part")
            parts.append(part)
        return parts[0], parts[1]

    def _check_length(self, what: str) -> None:
        if self.length < self.batch_size + 1:
            raise DataError(
                f"{what} has {self.length} tokens, too few for batch_size={self.batch_size}: every row needs a step "
                f"and the last one a target, {self.batch_size + 1} tokens in all. Lower batch_size or add text."
            )

    def __repr__(self) -> str:
        return (
            f"TextStream({self.length} {self.unit}s, vocabulary of {self.vocabulary_size}, "
            f"{self.batch_size} rows of {self.steps} steps)"
        )


class _Pieces:
    """The text of some files, piece by piece; can be gone through any number of times."""

    def __init__(self, files: Sequence[Path], encoding: str, limit: int | None) -> None:
        self._files, self._encoding, self._limit = files, encoding, limit

    def __iter__(self) -> Iterator[tuple[Path, str]]:
        left = self._limit
        for path in self._files:
            try:
                # newline="" keeps line ends as they are, so that a decoded stream is the file
                with path.open(encoding=self._encoding, newline="") as file:
                    while piece := file.read(_PIECE if left is None else min(_PIECE, left)):
                        yield path, piece
                        left = None if left is None else left - len(piece)
            except UnicodeError as error:
                raise DataError(
                    f"{path} is not {self._encoding} text: {getattr(error, 'reason', error)}. "
                    f"Give its encoding=, leave it out with pattern=, or read bytes with unit='byte'."
                ) from error
            except LookupError as error:
                raise ConfigurationError(f"There is no encoding {self._encoding!r}. Use one Python knows.") from error

    def characters(self) -> str:
        found: set[str] = set()
        for _, piece in self:
            found.update(piece)
        return "".join(sorted(found))


def _find(source: Path, pattern: str) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(
            f"There is no file or directory {str(source)!r}. Check the path; relative ones start at {Path.cwd()}."
        )
    files = sorted((path for path in source.glob(pattern) if path.is_file()), key=lambda path: path.as_posix())
    if not files:
        endings = sorted({path.suffix or path.name for path in source.iterdir() if path.is_file()})
        raise DataError(
            f"No file in {str(source)!r} matches pattern={pattern!r}. Files there end in "
            f"{', '.join(endings[:8]) or 'nothing: it holds no files itself'}. Give another pattern=, as in '**/*.py'."
        )
    return files


def _checked_vocabulary(vocabulary: str | Iterable[str]) -> str:
    characters = list(vocabulary)
    wrong = [c for c in characters if not isinstance(c, str) or len(c) != 1]
    if wrong or not characters or len(set(characters)) < len(characters):
        problem = f"{wrong[0]!r} is not one character" if wrong else "one comes twice" if characters else "it is empty"
        raise ConfigurationError(
            f"A vocabulary is a string, or a list of single characters, each once; in the one given {problem}."
        )
    return "".join(characters)


def _code_points(text: str) -> Array:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _id_table(vocabulary: str) -> Array:
    """The id of every code point, and the vocabulary's size for those it lacks. At most 4.4 MB, whatever the text."""
    table = np.full(_CODE_POINTS, len(vocabulary), np.min_scalar_type(len(vocabulary)))
    table[_code_points(vocabulary)] = np.arange(len(vocabulary))
    return table


def _look_up(text: str, table: Array, vocabulary: str, where: str) -> Array:
    ids: Array = table[_code_points(text)]
    if (ids == len(vocabulary)).any():
        strange = sorted(set(text) - set(vocabulary))
        raise DataError(
            f"{where} holds {', '.join(map(repr, strange[:10]))}{', ...' if len(strange) > 10 else ''}, which the "
            f"vocabulary of {len(vocabulary)} characters lacks. Add them, or leave vocabulary= out."
        )
    return ids


def _encode_to_file(pieces: _Pieces, table: Array, vocabulary: str) -> Array:
    dtype = np.min_scalar_type(max(len(vocabulary) - 1, 0))
    with _nameless() as file:
        for path, piece in pieces:
            file.write(_look_up(piece, table, vocabulary, str(path)).astype(dtype, copy=False).data)
        return _map(file, dtype)


def _map_bytes(files: Sequence[Path], limit: int | None) -> Array:
    if len(files) == 1:
        with files[0].open("rb") as file:
            return _map(file, np.dtype(np.uint8))[:limit]
    with _nameless() as gathered:
        left = limit
        for path in files:
            with path.open("rb") as file:
                while piece := file.read(_PIECE if left is None else min(_PIECE, left)):
                    gathered.write(piece)
                    left = None if left is None else left - len(piece)
        return _map(gathered, np.dtype(np.uint8))


def _nameless() -> IO[bytes]:
    """A file that is gone when it is closed."""
    import tempfile  # here: it imports a dozen modules that `import tbptt` can do without

    return tempfile.TemporaryFile()


def _map(file: IO[bytes], dtype: np.dtype[Any]) -> Array:
    file.flush()
    if os.fstat(file.fileno()).st_size == 0:
        return np.zeros(0, dtype)  # an empty file cannot be mapped; the length check tells the user
    return np.memmap(file, dtype=dtype, mode="r")
