"""Recordings that are damaged, cut off or something else are told, and nothing is made of them."""

from __future__ import annotations

import io

import numpy as np
import pytest

from tbptt.comparison import Head, Place, Reader, Record, Writer
from tbptt.errors import RecordingError


@pytest.fixture
def content() -> bytes:
    file = io.BytesIO()
    write = Writer(file, Head("torch", {"tbptt": "1"}, windows=2, script="train.py"))
    for window in range(2):
        arrays = {"b": np.array(1.5), "a": np.zeros((2, 0)), "empty name": np.arange(3)}
        write(Record(Place(window, 0, 0, window, window), {"loss": {"loss": np.float32(2)}, "update": arrays}))
    return file.getvalue()


def read(content: bytes) -> list[Record]:
    return list(Reader(io.BytesIO(content), "run.tbptt"))


def test_what_was_written_is_read(content: bytes) -> None:
    reader = Reader(io.BytesIO(content), "run.tbptt")
    assert reader.head == Head("torch", {"tbptt": "1"}, None, 2, "train.py")
    records = list(reader)
    assert [record.place.window for record in records] == [0, 1]
    assert list(records[0].moments["update"]) == ["b", "a", "empty name"]
    assert records[0].moments["update"]["b"].shape == ()
    assert records[0].moments["update"]["a"].shape == (2, 0)
    assert records[0].moments["loss"]["loss"].dtype == np.float32


def test_cut_off_anywhere_it_is_shorter_or_an_error(content: bytes) -> None:
    lengths = set()
    for end in range(len(content)):
        try:
            lengths.add(len(read(content[:end])))
        except RecordingError as error:
            assert "run.tbptt" in str(error)
    assert lengths == {0, 1}


def test_with_any_byte_changed_it_is_read_or_an_error_says_that_it_is_damaged(content: bytes) -> None:
    generator = np.random.default_rng(0)
    told = 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= int(generator.integers(1, 256))
        try:
            read(bytes(changed))
        except RecordingError as error:
            assert "run.tbptt" in str(error)
            told += 1
    assert told > len(content) / 4


def test_a_length_that_cannot_be_is_no_reason_to_ask_for_memory(content: bytes) -> None:
    line = content.index(b"\n") + 1
    with pytest.raises(RecordingError, match="damaged"):
        read(content[:line] + b"\xff" * 8 + content[line + 8 :])


def test_another_file_is_no_recording() -> None:
    with pytest.raises(RecordingError, match="no recording of this version"):
        read(b"tbptt recording 2\n")
    with pytest.raises(RecordingError, match="no recording"):
        read(b"\x80\x04 a pickle")
