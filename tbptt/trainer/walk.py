"""The windows of an epoch in order, and whether state enters them. Training and evaluation take the same walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar

from tbptt import data
from tbptt.clock import Origin
from tbptt.errors import ConfigurationError, DataError
from tbptt.protocols import Backend
from tbptt.schedules import Schedule
from tbptt.types import Tree
from tbptt.windowing import WindowedBatch

StateCarry = Literal["batch", "epoch"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Ground:
    """Where windows go, and how batches are cut into them. `schedule` None makes each batch one window."""

    backend: Backend
    device: str
    float_dtype: str
    schedule: Schedule | None
    carry: StateCarry
    time_axis: Tree
    split: Callable[[Tree], list[Tree]] | None = None
    """The module's own way to cut a batch, where it has one."""

    @property
    def carries(self) -> bool:
        """Whether state flows anywhere: from window to window or from batch to batch."""
        return self.schedule is not None or self.split is not None or self.carry == "epoch"

    def whole(self) -> Ground:
        """The same, where batches are not cut and no state flows."""
        return replace(self, schedule=None, split=None, carry="batch")


class Piece(NamedTuple):
    """A window that has not been put on the device."""

    number: int
    window: Tree
    origin: Origin
    steps: int
    is_last: bool
    """Whether it ends the batch."""


@dataclass
class Stretch:
    """A batch and its windows."""

    batch: Tree
    batch_idx: int
    is_last: bool
    """Whether it ends the epoch."""
    fresh: bool
    """Whether its rows start here, so that no state enters."""
    windowed: WindowedBatch
    origin: Origin
    ground: Ground
    pieces: list[Tree] | None = None
    """The windows, where the module cut them."""

    def __len__(self) -> int:
        return len(self.windowed) if self.pieces is None else len(self.pieces)

    def __iter__(self) -> Iterator[Piece]:
        if self.pieces is None:
            for index, (span, is_last) in enumerate(with_last(self.windowed.spans())):
                origin = self.origin._replace(time=self.origin.time + span.start)
                yield Piece(index, self.windowed.slice(span), origin, span.steps, is_last)
            return
        origin = self.origin
        for index, piece in enumerate(self.pieces):
            steps = WindowedBatch(piece, None, self.ground.time_axis, backend=self.ground.backend).length
            yield Piece(index, piece, origin, steps, index == len(self.pieces) - 1)
            origin = origin._replace(time=origin.time + steps)

    def place(self, window: Tree) -> Tree:
        """The window as tensors on the device."""
        return self.windowed.place(window)


def walk(source: Any, ground: Ground, epoch: int, limit: int | None = None) -> Iterator[Stretch]:
    """Every batch of the source, at most `limit`.

    The origin counts rows on where batches start anew, and time where state flows on.
    """
    origin = Origin(epoch, row=0, time=0)
    for batch_idx, (batch, is_last) in enumerate(with_last(islice(data.batches(source, epoch), limit))):
        windowed = WindowedBatch(
            batch,
            None if ground.split else ground.schedule,
            ground.time_axis,
            backend=ground.backend,
            device=ground.device,
            float_dtype=ground.float_dtype,
        )
        if windowed.batch_size == 0:
            raise DataError(
                f"Batch {batch_idx} has no rows, so there is nothing to compute from. Leave empty batches out (drop_last=True)."
            )
        pieces = list(ground.split(batch)) if ground.split else None
        if pieces == []:
            raise ConfigurationError(
                "tbptt_split_batch returned no windows; expected a list of at least one part of the batch."
            )
        fresh = ground.carry == "batch" or batch_idx == 0
        yield Stretch(batch, batch_idx, is_last, fresh, windowed, origin, ground, pieces)
        if ground.carry == "batch":
            origin = origin._replace(row=origin.row + windowed.batch_size)
        else:
            origin = origin._replace(time=origin.time + windowed.length)


def with_last(items: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
    """Each item, and whether it is the last: the next one is asked for before this one is handed out."""
    iterator = iter(items)
    try:
        item = next(iterator)
    except StopIteration:
        return
    for following in iterator:
        yield item, False
        item = following
    yield item, True


def count_batches(source: Any) -> int | None:
    """Batches of an epoch, where the source can tell."""
    if data.is_one_batch(source):
        return 1
    try:
        return len(source)
    except TypeError:
        return None


def limited(name: str, limit: int | float | None, source: Any) -> int | None:
    """How many batches of the source a count or a fraction lets through; None for all.

    Raises:
        ConfigurationError: for a fraction of a source that cannot tell its length.
    """
    if limit is None or (isinstance(limit, float) and limit == 1.0):
        return None
    if isinstance(limit, int):
        return limit
    count = count_batches(source)
    if count is None:
        raise ConfigurationError(
            f"{name}={limit} is a fraction, and the data ({type(source).__name__}) cannot tell how many batches it has. "
            f"Give a whole number of batches, or data with a length."
        )
    return max(1, int(count * limit)) if limit > 0 else 0
