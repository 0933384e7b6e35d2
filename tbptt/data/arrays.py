"""Arrays in memory, or mapped from disk, as batches: views wherever the order allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.data.padded import with_padded
from tbptt.data.rows import blocks, cut_into_rows, whole_number
from tbptt.errors import ConfigurationError, DataError, ShapeError
from tbptt.types import Tree


class ArrayStream:
    """Batches of a tree of arrays that agree on their first axis, the samples.

    Arrays are sliced, so a memory-mapped one is read as batches are used; with `shuffle` a batch is a copy of its rows.

    >>> import numpy as np, tbptt
    >>> x, y = np.zeros((300, 100, 10)), np.zeros((300, 100))
    >>> [batch[0].shape for batch in tbptt.data.ArrayStream((x, y), batch_size=128)]
    [(128, 100, 10), (128, 100, 10), (44, 100, 10)]

    Args:
        arrays: a tree of NumPy arrays, memmaps, other sliceable arrays, or tensors of any engine; (samples, ...). Sequences of
            different length come as `Padded`, a ``PackedSequence`` or a ``RaggedTensor``.
        batch_size: samples a batch; the last one may hold fewer.
        block_steps: cut the second axis, time, into consecutive batches of this many steps. The samples must then be
            one batch, because a state that flows from batch to batch would reach other samples.
        shuffle: draw a new order of the samples every epoch, the same on every engine.
        drop_last: leave a last, smaller batch out.
        seed: of the orders. Iterating counts epochs from 0; `set_epoch` says which one comes next.

    Raises:
        ShapeError: if there is no array with a first axis, or they disagree about it.
        DataError: if there are no samples, or `drop_last` leaves no batch.
        ConfigurationError: for arguments that are wrong or exclude each other.
    """

    def __init__(
        self,
        arrays: Tree,
        batch_size: int,
        *,
        block_steps: int | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
    ) -> None:
        self.batch_size = whole_number("batch_size", batch_size)
        self.block_steps = None if block_steps is None else whole_number("block_steps", block_steps)
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.arrays = tree.map(_sliceable, with_padded(arrays))
        self.samples = _common_length(self.arrays, axis=0, what="samples")
        self.epoch = 0
        if drop_last and self.samples < self.batch_size:
            raise DataError(
                f"drop_last=True leaves no batch: there are {self.samples} samples and batch_size={self.batch_size}."
            )
        if self.block_steps is not None:
            self._steps = _common_length(self.arrays, axis=1, what="time steps")
            if shuffle or self.samples > self.batch_size:
                raise ConfigurationError(
                    f"block_steps= hands out one batch of samples in consecutive pieces of time; here "
                    f"shuffle={shuffle} and {self.samples} samples make more than one batch of {self.batch_size}. Set "
                    f"batch_size={self.samples}, or leave block_steps out and let windows cut the time."
                )

    @classmethod
    def from_series(cls, arrays: Tree, batch_size: int, *, block_steps: int | None = None) -> ArrayStream:
        """One long series, (time, ...), dealt out in `batch_size` contiguous rows: (batch, time // batch, ...), views.

        Row r goes on where row r − 1 ends; what is left over at the end is left out.

        >>> import numpy as np, tbptt
        >>> [batch.tolist() for batch in tbptt.data.ArrayStream.from_series(np.arange(7), batch_size=2)]
        [[[0, 1, 2], [3, 4, 5]]]

        Raises:
            ShapeError: if the arrays disagree about the time.
            DataError: if there are fewer steps than rows.
        """
        rows = whole_number("batch_size", batch_size)
        series = tree.map(_sliceable, arrays)
        steps = _common_length(series, axis=0, what="time steps")
        if steps < rows:
            raise DataError(f"A series of {steps} time steps does not make batch_size={rows} rows. Use fewer rows.")
        return cls(tree.map(lambda x: cut_into_rows(x, rows), series), rows, block_steps=block_steps)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is: its order of samples is a function of seed and epoch alone."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        if self.block_steps is not None:
            return -(-self._steps // self.block_steps)
        return self.samples // self.batch_size if self.drop_last else -(-self.samples // self.batch_size)

    def __iter__(self) -> Iterator[Tree]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        if self.block_steps is not None:
            for start, stop in blocks(self._steps, self.block_steps):
                yield tree.map(lambda x, start=start, stop=stop: x[:, start:stop], self.arrays)
            return
        order = np.random.default_rng([self.seed, epoch]).permutation(self.samples) if self.shuffle else None
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows: Any = slice(start, min(start + self.batch_size, self.samples))
            chosen = rows if order is None else order[rows]
            yield tree.map(lambda x, chosen=chosen: x[chosen], self.arrays)

    def __repr__(self) -> str:
        return f"ArrayStream({self.samples} samples, {len(self)} batches of {self.batch_size})"


def _sliceable(leaf: Any) -> Any:
    if hasattr(leaf, "shape") and hasattr(leaf, "__getitem__"):
        # NumPy's and foreign arrays (h5py, zarr) stay as they are; tensors become NumPy's, which any order can index
        owner = None if isinstance(leaf, np.ndarray) else owner_of(leaf)
        return leaf if owner is None else owner.tensors.to_numpy(leaf)
    return np.asarray(leaf)


def _common_length(arrays: Tree, axis: int, what: str) -> int:
    shapes = dict(zip(tree.paths(arrays, "arrays"), (tuple(x.shape) for x in tree.leaves(arrays)), strict=True))
    lengths = {shape[axis] for shape in shapes.values() if len(shape) > axis}
    listing = ", ".join(f"{path} {shape}" for path, shape in shapes.items())
    if len(lengths) != 1 or any(len(shape) <= axis for shape in shapes.values()):
        raise ShapeError(
            f"All arrays must agree on axis {axis}, the {what}; received {listing or 'a tree without arrays'}. "
            f"Bring them to one length along it."
        )
    length = lengths.pop()
    if length == 0:
        raise DataError(f"There are no {what}: axis {axis} has length 0 in {listing}.")
    return int(length)
