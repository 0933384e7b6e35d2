"""Text streams: every character once and in order, rows that go on, ids and back, views and not copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbptt.data import TextStream
from tbptt.errors import ConfigurationError, DataError

TEXT = "Ein Ruf weckt uns: läuft, lauft! ∀ε>0 ∃δ\r\nund so weiter.\n" * 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_bytes(TEXT.encode())
    return path


def rows_of(text: str, rows: int) -> list[tuple[str, str]]:
    """Tokens and targets of each row, by slicing the text."""
    steps = (len(text) - 1) // rows
    return [(text[r * steps : (r + 1) * steps], text[r * steps + 1 : (r + 1) * steps + 1]) for r in range(rows)]


@pytest.mark.parametrize("rows", [1, 2, 3, 7, len(TEXT) - 1])
def test_one_batch_an_epoch_whose_rows_go_on_where_the_one_before_ends(path: Path, rows: int) -> None:
    stream = TextStream(path, batch_size=rows)
    ((tokens, targets),) = list(stream)
    assert tokens.shape == targets.shape == (rows, stream.steps)
    assert [(stream.decode(a), stream.decode(b)) for a, b in zip(tokens, targets, strict=True)] == rows_of(TEXT, rows)
    assert len(stream) == 1


@pytest.mark.parametrize("block_steps", [1, 5, 17, 10_000])
def test_blocks_put_together_are_the_one_batch(path: Path, block_steps: int) -> None:
    ((tokens, targets),) = list(TextStream(path, batch_size=4))
    stream = TextStream(path, batch_size=4, block_steps=block_steps)
    parts = list(stream)
    assert len(stream) == len(parts) == -(-stream.steps // block_steps)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], axis=1), tokens)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts], axis=1), targets)


def test_batches_are_views_of_one_mapped_file_in_the_smallest_dtype(path: Path) -> None:
    stream = TextStream(path, batch_size=4, block_steps=9)
    for tokens, targets in stream:
        assert isinstance(tokens, np.memmap)
        assert tokens.dtype == targets.dtype == np.uint8
        assert tokens.base is not None
        if tokens.shape[1] > 1:
            assert np.shares_memory(tokens, targets)


def test_the_vocabulary_is_sorted_and_encode_and_decode_undo_each_other(path: Path) -> None:
    stream = TextStream(path)
    assert stream.vocabulary == "".join(sorted(set(TEXT)))
    assert stream.vocabulary_size == len(set(TEXT))
    assert stream.length == len(TEXT)
    ids = stream.encode(TEXT)
    assert ids.dtype == np.int32
    assert ids.tolist() == [sorted(set(TEXT)).index(character) for character in TEXT]
    assert stream.decode(ids) == stream.decode(ids.tolist()) == TEXT


def test_bytes_are_mapped_from_the_file_itself(path: Path) -> None:
    stream = TextStream(path, batch_size=3, unit="byte")
    raw = path.read_bytes()
    assert (stream.length, stream.vocabulary_size) == (len(raw), 256)
    ((tokens, _),) = list(stream)
    assert Path(tokens.filename) == path
    np.testing.assert_array_equal(tokens.reshape(-1), np.frombuffer(raw, np.uint8)[: tokens.size])
    assert stream.decode(stream.encode(TEXT)) == TEXT


def test_more_than_256_characters_take_two_bytes_and_astral_ones_count_as_one(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(300)) + "😀🜀"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    stream = TextStream(tmp_path / "a.txt", batch_size=1)
    ((tokens, _),) = list(stream)
    assert (stream.length, stream.vocabulary_size, tokens.dtype) == (302, 302, np.dtype(np.uint16))
    assert stream.decode(tokens[0]) == text[:-1]


@pytest.mark.parametrize("unit", ["character", "byte"])
def test_a_directory_is_read_in_sorted_order(tmp_path: Path, unit: Any) -> None:
    for name, text in {"b.txt": "bbb", "a/z.txt": "zz", "a/a.txt": "aä", "c.md": "never", "empty.txt": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    stream = TextStream(tmp_path, batch_size=1, unit=unit)
    ((tokens, targets),) = list(stream)
    assert stream.decode(np.append(tokens[0], targets[0, -1])) == "aäzzbbb"
    assert TextStream(tmp_path, batch_size=1, pattern="**/*.md").vocabulary == "".join(sorted(set("never")))


@pytest.mark.parametrize("unit", ["character", "byte"])
def test_a_limit_reads_the_first_tokens_across_files(tmp_path: Path, unit: Any) -> None:
    (tmp_path / "a.txt").write_text("abc")
    (tmp_path / "b.txt").write_text("defgh")
    stream = TextStream(tmp_path, batch_size=1, unit=unit, limit=5)
    assert stream.decode(next(iter(stream))[1][0]) == "bcde"
    assert TextStream(tmp_path / "b.txt", batch_size=1, unit=unit, limit=3).length == 3


def test_pieces_of_the_reader_leave_no_seam(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((whole, _),) = list(TextStream(path, batch_size=1))
    monkeypatch.setattr("tbptt.data.text._PIECE", 7)
    ((pieces, _),) = list(TextStream(path, batch_size=1))
    np.testing.assert_array_equal(whole, pieces)


def test_the_last_part_is_for_validation_with_the_same_ids(path: Path) -> None:
    stream = TextStream(path, batch_size=2)
    train, validation = stream.split(validation=0.1)
    assert train.length + validation.length == len(TEXT)
    assert validation.length == len(TEXT) - int(0.9 * len(TEXT))
    assert train.vocabulary == validation.vocabulary == stream.vocabulary
    ((first, _),), ((last, _),) = list(train), list(validation)
    assert train.decode(first.reshape(-1)) == TEXT[: first.size]
    assert validation.decode(last.reshape(-1)) == TEXT[train.length : train.length + last.size]
    assert len(validation.encode(TEXT)) == len(TEXT)


def test_a_given_vocabulary_fixes_the_ids(path: Path) -> None:
    order = "".join(sorted(set(TEXT), reverse=True)) + "Q"
    stream = TextStream(path, vocabulary=order)
    assert stream.vocabulary == order
    assert stream.encode("Q").tolist() == [len(order) - 1]
    assert TextStream(path, vocabulary=list(order)).vocabulary == order


def test_no_file_is_left_behind(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    stream = TextStream(path)
    assert list(folder.iterdir()) == []
    assert stream.decode(next(iter(stream))[0][0]) == rows_of(TEXT, 32)[0][0]


MISUSE: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no such file": ({"source": "nowhere.txt"}, DataError, "no file or directory 'nowhere.txt'"),
    "no such pattern": ({"source": ".", "pattern": "*.rst"}, DataError, r"'\*\.rst'.*\.txt"),
    "too short": ({"batch_size": len(TEXT)}, DataError, rf"{len(TEXT)} tokens, too few for batch_size={len(TEXT)}"),
    "rows of zero": ({"batch_size": 0}, ConfigurationError, "batch_size= is a whole number.*received 0"),
    "rows of a float": ({"batch_size": 2.0}, ConfigurationError, r"received 2\.0"),
    "blocks of zero": ({"block_steps": 0}, ConfigurationError, "block_steps="),
    "a boolean limit": ({"limit": True}, ConfigurationError, "limit=.*True"),
    "another unit": ({"unit": "word"}, ConfigurationError, "'character' or 'byte'; received 'word'"),
    "bytes with a vocabulary": ({"unit": "byte", "vocabulary": "ab"}, ConfigurationError, "always the 256 bytes"),
    "another encoding": ({"encoding": "utf-16"}, DataError, "is not utf-16 text"),
    "no encoding": ({"encoding": "utf-99"}, ConfigurationError, "no encoding 'utf-99'"),
    "a character that lacks": (
        {"vocabulary": "abc"},
        DataError,
        r"holds '\\n', '\\r', ' '.*vocabulary of 3 characters",
    ),
    "a character twice": ({"vocabulary": "aba"}, ConfigurationError, "one comes twice"),
    "words as vocabulary": ({"vocabulary": ["a", "bc"]}, ConfigurationError, "'bc' is not one character"),
    "an empty vocabulary": ({"vocabulary": ""}, ConfigurationError, "it is empty"),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_misuse_is_an_error_that_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    arguments, kind, message = MISUSE[name]
    monkeypatch.chdir(path.parent)
    with pytest.raises(kind, match=message):
        TextStream(**{"source": path, **arguments})


def test_misuse_of_a_stream_is_an_error_too(path: Path, tmp_path: Path) -> None:
    stream = TextStream(path, batch_size=20)
    with pytest.raises(DataError, match="'Q', 'ß', which the vocabulary"):
        stream.encode("Qß")
    with pytest.raises(DataError, match="Ids from 0 to 99"):
        stream.decode([0, 99])
    for fraction in (0, 1, 1.5, -0.1, True, "half"):
        with pytest.raises(ConfigurationError, match="fraction"):
            stream.split(validation=fraction)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="The validation part has"):
        stream.split(validation=0.01)
    (tmp_path / "empty.txt").touch()
    for unit in ("character", "byte"):
        with pytest.raises(DataError, match="has 0 tokens"):
            TextStream(tmp_path / "empty.txt", unit=unit)  # type: ignore[arg-type]
