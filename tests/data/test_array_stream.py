"""Array streams: order, last batches, seeded shuffles, rows cut from one series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbptt import ops
from tbptt.data import ArrayStream
from tbptt.errors import ConfigurationError, DataError, ShapeError
from tbptt.protocols import Backend

X = np.arange(10 * 6 * 2).reshape(10, 6, 2)
Y = np.arange(10)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_batches_come_in_order_as_views(drop_last: bool, sizes: list[int]) -> None:
    stream = ArrayStream({"x": X, "y": Y}, 4, drop_last=drop_last)
    parts = list(stream)
    assert len(stream) == len(parts)
    assert [len(part["y"]) for part in parts] == sizes
    np.testing.assert_array_equal(np.concatenate([part["y"] for part in parts]), Y[: sum(sizes)])
    assert all(np.shares_memory(part["x"], X) for part in parts)


def test_a_shuffle_is_a_function_of_seed_and_epoch_and_holds_every_sample_once() -> None:
    def orders(seed: int, epochs: list[int | None]) -> list[list[int]]:
        stream = ArrayStream((X, Y), 4, shuffle=True, seed=seed)
        found = []
        for epoch in epochs:
            if epoch is not None:
                stream.set_epoch(epoch)
            parts = list(stream)
            for x, y in parts:
                np.testing.assert_array_equal(x, X[y])
            found.append(np.concatenate([y for _, y in parts]).tolist())
        return found

    counted = orders(7, [None, None, None])
    assert all(sorted(order) == Y.tolist() for order in counted)
    assert len({tuple(order) for order in counted}) == 3
    assert orders(7, [2, 0, 1]) == [counted[2], counted[0], counted[1]]
    assert orders(8, [0]) != counted[:1]


def test_a_series_becomes_contiguous_rows_without_a_copy() -> None:
    series = np.arange(23 * 3).reshape(23, 3)
    (rows,) = ArrayStream.from_series(series, 4)
    assert rows.shape == (4, 5, 3)
    assert np.shares_memory(rows, series)
    for r in range(4):
        np.testing.assert_array_equal(rows[r], series[5 * r : 5 * r + 5])


def test_a_series_in_blocks_goes_on_in_every_row(tmp_path: Path) -> None:
    np.save(tmp_path / "series.npy", np.arange(40.0))
    mapped = np.load(tmp_path / "series.npy", mmap_mode="r")
    stream = ArrayStream.from_series({"x": mapped}, 2, block_steps=8)
    parts = [part["x"] for part in stream]
    assert len(stream) == 3
    assert [part.shape for part in parts] == [(2, 8), (2, 8), (2, 4)]
    assert all(np.shares_memory(part, mapped) for part in parts)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), np.arange(40.0).reshape(2, 20))


def test_tensors_are_taken_too(backend: Backend) -> None:
    parts = list(ArrayStream((ops.asarray(X), Y), 4, shuffle=True))
    assert len(parts) == 3
    for x, y in parts:
        np.testing.assert_array_equal(x, X[y])


MISUSE: dict[str, tuple[Any, type[Exception], str]] = {
    "lengths differ": (
        lambda: ArrayStream((X, Y[:9]), 4),
        ShapeError,
        r"axis 0, the samples; received arrays\[0\] \(10, 6, 2\), arrays\[1\] \(9,\)",
    ),
    "no arrays": (lambda: ArrayStream({}, 4), ShapeError, "a tree without arrays"),
    "a number": (lambda: ArrayStream((X, 3.0), 4), ShapeError, r"arrays\[1\] \(\)"),
    "no samples": (lambda: ArrayStream(X[:0], 4), DataError, "There are no samples"),
    "rows of zero": (lambda: ArrayStream(X, 0), ConfigurationError, "batch_size="),
    "nothing left": (lambda: ArrayStream(X, 11, drop_last=True), DataError, "leaves no batch: there are 10 samples"),
    "blocks of two batches": (lambda: ArrayStream(X, 4, block_steps=2), ConfigurationError, "Set batch_size=10"),
    "blocks in any order": (
        lambda: ArrayStream(X, 10, block_steps=2, shuffle=True),
        ConfigurationError,
        "shuffle=True",
    ),
    "blocks without time": (lambda: ArrayStream((X, Y), 10, block_steps=2), ShapeError, "axis 1, the time steps"),
    "a series too short": (lambda: ArrayStream.from_series(Y, 11), DataError, "10 time steps .* batch_size=11"),
}


@pytest.mark.parametrize("name", list(MISUSE))
def test_misuse_is_an_error_that_says_what_to_do(name: str) -> None:
    make, kind, message = MISUSE[name]
    with pytest.raises(kind, match=message):
        make()
