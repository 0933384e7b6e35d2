"""Whatever brings batches: what is one batch, what is many, and that both engines take all of it."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt
from tbptt import ops, tree
from tbptt.data import ArrayStream, batches
from tbptt.errors import DataError
from tbptt.protocols import Backend

X = np.arange(4 * 6.0).reshape(4, 6)
Y = np.arange(4 * 6).reshape(4, 6)
Series = collections.namedtuple("Series", ["x", "y"])


@dataclasses.dataclass
class Batch:
    x: Any


@pytest.mark.parametrize(
    "one",
    [(X, Y), Series(X, Y), {"x": X}, X, Batch(X), torch.tensor(X), tf.constant(X)],
    ids=["tuple", "namedtuple", "dict", "array", "dataclass", "torch tensor", "tensorflow tensor"],
)
def test_a_tuple_dict_dataclass_or_array_is_one_batch(one: Any) -> None:
    found = list(batches(one))
    assert len(found) == 1
    assert found[0] is one


class Source:
    def __iter__(self) -> Any:
        yield (X, Y)
        yield (X, Y)


SOURCES = {
    "list": lambda: [(X, Y), (X, Y)],
    "generator": lambda: ((X, Y) for _ in range(2)),
    "object with __iter__": Source,
    "array stream": lambda: ArrayStream((np.tile(X, (2, 1)), np.tile(Y, (2, 1))), 4),
    "torch DataLoader": lambda: torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(np.tile(X, (2, 1))), torch.tensor(np.tile(Y, (2, 1)))), 4
    ),
    "tf.data.Dataset": lambda: tf.data.Dataset.from_tensor_slices((np.tile(X, (2, 1)), np.tile(Y, (2, 1)))).batch(4),
}


@pytest.mark.parametrize("name", list(SOURCES))
def test_every_source_feeds_windows_of_either_engine(backend: Backend, name: str) -> None:
    found = list(batches(SOURCES[name]()))
    assert len(found) == 2
    for batch in found:
        parts = list(tbptt.windows(batch, 4))
        assert all(backend.tensors.is_tensor(leaf) for leaf in tree.leaves(parts))
        for leaf, array in ((0, X), (1, Y)):
            whole = np.concatenate([ops.to_numpy(part[leaf]) for part in parts], axis=1)
            np.testing.assert_array_equal(whole, array)
            assert whole.dtype == array.dtype


def test_sources_and_samplers_are_told_the_epoch() -> None:
    told: list[tuple[str, int]] = []

    class Sampler:
        def set_epoch(self, epoch: int) -> None:
            told.append(("sampler", epoch))

    class Shuffled(Source):
        sampler = Sampler()

        def set_epoch(self, epoch: int) -> None:
            told.append(("source", epoch))

    list(batches(Shuffled(), epoch=3))
    list(batches(Shuffled()))
    assert told == [("source", 3), ("sampler", 3)]


@pytest.mark.parametrize("wrong", ["corpus.txt", b"bytes", 7, None, object()], ids=lambda wrong: type(wrong).__name__)
def test_what_is_no_source_is_an_error_that_lists_what_is(wrong: Any) -> None:
    with pytest.raises(DataError, match="one batch"):
        batches(wrong)


def test_a_generator_that_is_used_up_is_an_error() -> None:
    generator = ((X, Y) for _ in range(2))
    list(batches(generator))
    with pytest.raises(DataError, match=r"brought no batch\. A generator is used up"):
        list(batches(generator))
