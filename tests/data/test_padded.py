"""Sequences of different length: padded by hand, or out of the engines' own containers, rows in the caller's order."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

import tbptt
from tbptt import ops
from tbptt.data import ArrayStream, Padded, batches, pad
from tbptt.data.padded import with_padded
from tbptt.errors import DataError, ShapeError
from tbptt.protocols import Backend

DRAW = np.random.default_rng(0)
ROWS = [DRAW.normal(size=(steps, 2)) for steps in (3, 7, 0, 5)]
PACKABLE = [row for row in ROWS if len(row)]  # torch packs no empty row
Pair = collections.namedtuple("Pair", ["inputs", "targets"])


@dataclasses.dataclass
class Batch:
    inputs: Any


def packed(rows: list[np.ndarray]) -> Any:
    return pack_sequence([torch.tensor(row) for row in rows], enforce_sorted=False)


def ragged(rows: list[np.ndarray]) -> Any:
    make: Any = tf.RaggedTensor
    return make.from_row_lengths(np.concatenate(rows), [len(row) for row in rows])


def check(padded: Any, rows: list[np.ndarray]) -> None:
    assert type(padded) is Padded
    values, lengths = (x if isinstance(x, np.ndarray) else ops.to_numpy(x) for x in padded)
    assert lengths.tolist() == [len(row) for row in rows]
    assert values.shape == (len(rows), max(map(len, rows)), *rows[0].shape[1:])
    for row, value in zip(rows, values, strict=True):
        np.testing.assert_array_equal(value[: len(row)], row)
        assert not value[len(row) :].any()


def test_pad_puts_rows_at_the_start_and_zeros_after_them(backend: Backend) -> None:
    check(pad(ROWS), ROWS)
    check(pad([ops.asarray(row) for row in ROWS]), ROWS)
    assert pad([np.array([1], "int32"), np.array([1, 2])]).values.dtype == np.int64
    assert pad([[1, 2], [3]]).values.tolist() == [[1, 2], [3, 0]]


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        ([], DataError, "no sequence to pad"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], ShapeError, r"\(2, 3\), \(2, 4\)"),
        ([1.0, 2.0], ShapeError, r"\(\), \(\)"),
    ],
    ids=["none", "features differ", "no time"],
)
def test_what_cannot_be_padded_is_an_error_that_shows_shapes(rows: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        pad(rows)


def test_a_packed_sequence_comes_back_in_the_order_of_its_rows(backend: Backend) -> None:
    check(with_padded(packed(PACKABLE)), PACKABLE)
    in_order = sorted(PACKABLE, key=len, reverse=True)
    time_major = torch.tensor(np.moveaxis(pad(in_order).values, 1, 0))
    check(with_padded(pack_padded_sequence(time_major, torch.tensor([7, 5, 3]))), in_order)
    token_rows = [np.arange(4), np.arange(2)]
    check(with_padded(packed(token_rows)), token_rows)


def test_a_ragged_tensor_becomes_dense_whichever_way_it_was_made(backend: Backend) -> None:
    check(with_padded(ragged(ROWS)), ROWS)
    rows = [row for row in ROWS if len(row)]
    check(with_padded(tf.ragged.constant([row.tolist() for row in rows], tf.float64)), rows)
    with pytest.raises(DataError, match="ragged beyond its axis 1"):
        with_padded(tf.ragged.constant([[[1.0], [2.0, 3.0]], [[4.0, 5.0]]]))


@pytest.mark.parametrize("make", [packed, ragged], ids=["torch", "tensorflow"])
def test_containers_are_found_in_any_tree_and_either_engine_is_fed(backend: Backend, make: Any) -> None:
    labels = np.arange(len(PACKABLE))
    for batch, pick in (
        (make(PACKABLE), lambda window: window),
        ((make(PACKABLE), labels), lambda window: window[0]),
        ({"a": [make(PACKABLE)]}, lambda window: window["a"][0]),
        (Pair(make(PACKABLE), labels), lambda window: window.inputs),
        (Batch(make(PACKABLE)), lambda window: window.inputs),
    ):
        (only,) = batches(batch)
        parts = [pick(window) for window in tbptt.windows(only, 4)]
        assert all(backend.tensors.is_tensor(x) for part in parts for x in part)
        values = ops.to_numpy(ops.concat([part.values for part in parts], axis=1))
        check(Padded(values, sum(ops.to_numpy(part.lengths) for part in parts)), PACKABLE)
    with pytest.raises(ShapeError, match="disagree"):  # converted before time is compared
        tbptt.windows((make(PACKABLE), np.zeros((3, 9))), 4)


def test_a_batch_without_containers_is_the_same_object(backend: Backend) -> None:
    batch = {"x": np.zeros((2, 3)), "y": [Batch(torch.zeros(1)), Pair(tf.zeros(1), None)]}
    assert with_padded(batch) is batch


def test_array_streams_batch_rows_of_different_length(backend: Backend) -> None:
    labels = np.arange(4)
    for rows in (pad(ROWS), ragged(ROWS)):
        whole = list(ArrayStream((rows, labels), 3))
        assert [batch[0].lengths.tolist() for batch in whole] == [[3, 7, 0], [5]]
        for padded, batch_labels in ArrayStream((rows, labels), 3, shuffle=True):
            assert padded.lengths.tolist() == [len(ROWS[label]) for label in batch_labels]


def test_sources_of_the_engines_bring_their_containers(backend: Backend) -> None:
    rows: Any = [torch.tensor(row) for row in PACKABLE]
    loader = torch.utils.data.DataLoader(rows, 3, collate_fn=pack_batch)
    dataset = tf.data.Dataset.from_tensor_slices(ragged(PACKABLE)).batch(3)
    for source in (loader, dataset):
        for batch in batches(source):
            check(with_padded(batch), PACKABLE)


def pack_batch(rows: list[Any]) -> Any:
    return pack_sequence(rows, enforce_sorted=False)
