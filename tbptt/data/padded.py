"""Sequences of different length as one array: padded at the end, with the length of each row beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import optree

from tbptt import tree
from tbptt.backends import loaded, owner_of
from tbptt.errors import DataError, ShapeError
from tbptt.types import Array, Tree


class Padded(NamedTuple):
    """Rows of different length. A node of trees: windows cut `values` along time and count `lengths` down (`tbptt.windows`)."""

    values: Any
    """(B, T, ...); what lies beyond a row's end may be anything."""
    lengths: Any
    """(B,) integers from 0 to T."""


def pad(sequences: Sequence[Any]) -> Padded:
    """Arrays (T_i, ...) as one NumPy array (B, max T_i, ...), zero beyond each row's end, and their lengths.

    >>> from tbptt.data import pad
    >>> pad([[1.0, 2.0, 3.0], [4.0]])
    Padded(values=array([[1., 2., 3.],
           [4., 0., 0.]]), lengths=array([3, 1]))

    Args:
        sequences: arrays, tensors of any engine, or lists of numbers. Their dtypes promote as NumPy's do.

    Raises:
        DataError: if there is no sequence.
        ShapeError: if one has no axis of time, or they differ in more than their length.
    """
    arrays = [_as_array(sequence) for sequence in sequences]
    if not arrays:
        raise DataError("There is no sequence to pad: the list is empty. Give at least one array (time, ...).")
    if any(array.ndim == 0 or array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        raise ShapeError(
            f"Sequences to pad are arrays (time, ...) that differ in their first axis only; received the shapes "
            f"{', '.join(str(array.shape) for array in arrays[:10])}{', ...' if len(arrays) > 10 else ''}."
        )
    lengths = np.array([len(array) for array in arrays], "int64")
    values = np.zeros((len(arrays), lengths.max(), *arrays[0].shape[1:]), np.result_type(*arrays))
    for row, array in zip(values, arrays, strict=True):
        row[: len(array)] = array
    return Padded(values, lengths)


def with_padded(batch: Tree) -> Tree:
    """The batch with an engine's own containers of such sequences as `Padded`; the very same object where there are none.

    They are torch's ``PackedSequence`` (in the order of its caller's rows) and TensorFlow's ``RaggedTensor``; whose they are is
    found out as for tensors, so that one engine's containers feed the other.
    """
    found: dict[int, Padded] = {}

    def stop(value: Any) -> bool:
        """Asked of every node and leaf, because a PackedSequence is a tuple, and would be taken apart like one."""
        if dataclasses.is_dataclass(type(value)):
            tree.is_node(value)  # trees register a dataclass when they first see one
        padded = _as_padded(value)
        if padded is not None:
            found[id(value)] = padded
        return padded is not None

    leaves, structure = optree.tree_flatten(batch, stop, namespace="tbptt")
    return tree.unflatten(structure, [found.get(id(leaf), leaf) for leaf in leaves]) if found else batch


def _as_padded(value: Any) -> Padded | None:
    # what most leaves and nodes are, asked before any engine is needed; then `owner_of`, which loads the engine of a type it meets
    if type(value).__module__ in ("builtins", "numpy") or owner_of(value) is not None:
        return None
    for backend in loaded():
        padded = backend.interop.as_padded(value)
        if padded is not None:
            return Padded(*padded)
    return None


def _as_array(sequence: Any) -> Array:
    owner = owner_of(sequence)
    return np.asarray(sequence) if owner is None else owner.tensors.to_numpy(sequence)
