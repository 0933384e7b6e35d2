"""The windows of an epoch in order, and whether state enters them. Training and evaluation take the same walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, Literal, NamedTuple, TypeVar

from tbptt import data
from tbptt.clock import Origin
from tbptt.data.resets import cut_steps, reset_steps, rows_at
from tbptt.errors import ConfigurationError, DataError
from tbptt.protocols import Backend
from tbptt.schedules import Fixed, Schedule, Window
from tbptt.trainer.entering import Entering
from tbptt.types import Array, Tree
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
    resets_inside: bool = False
    """Whether the module itself does what a reset mask (rows, time) says."""

    @property
    def carries(self) -> bool:
        """Whether state flows anywhere: from window to window or from batch to batch."""
        return self.schedule is not None or self.split is not None or self.carry == "epoch"

    def whole(self) -> Ground:
        """The same, where batches are not cut and no state flows."""
        return replace(self, schedule=None, split=None, carry="batch")


class Slice(NamedTuple):
    """A window that has not been put on the device."""

    number: int
    window: Tree
    span: Window
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
    resets: Array | None = None
    """(rows, time) or (rows,): before which steps rows begin anew."""
    previous: Tree = None
    """The final state of the batch before, where the model's initial state asks for it."""

    def __len__(self) -> int:
        return len(self.windowed) if self.pieces is None else len(self.pieces)

    def __iter__(self) -> Iterator[Slice]:
        if self.pieces is None:
            for index, (span, is_last) in enumerate(with_last(self.windowed.spans())):
                yield Slice(index, self.windowed.slice(span), span, self.origin_at(span.start), span.steps, is_last)
            return
        origin = self.origin
        for index, piece in enumerate(self.pieces):
            steps = WindowedBatch(piece, None, self.ground.time_axis, backend=self.ground.backend).length
            span = Window(origin.time - self.origin.time, origin.time - self.origin.time + steps)
            yield Slice(index, piece, span, origin, steps, index == len(self.pieces) - 1)
            origin = origin._replace(time=origin.time + steps)

    def origin_at(self, step: int) -> Origin:
        """Where in epoch, rows and time a step of the batch is."""
        return self.origin._replace(time=self.origin.time + step)

    def fetch(self, start: int, stop: int) -> Tree:
        """The steps from one to another, as they came."""
        return self.windowed.slice(Window(start, stop))

    def plain(self) -> Iterator[Slice]:
        """The same windows for runs without gradients, cut before every step at which a row begins anew."""
        number = 0
        for whole in self:
            span = whole.span
            edges = sorted({span.start, span.stop, *self.reset_steps(span.start, span.stop)})
            tiles = list(pairwise(edges))
            if len(tiles) == 1:
                yield whole._replace(number=number)
                number += 1
                continue
            for start, stop in tiles:
                is_last = whole.is_last and stop == span.stop
                part, origin = Window(start, stop), self.origin_at(start)
                yield Slice(number, self.windowed.slice(part), part, origin, stop - start, is_last)
                number += 1

    def reset_steps(self, start: int, stop: int) -> list[int]:
        """The steps from one to another before which a row begins anew."""
        return [] if self.resets is None else cut_steps(self.resets, start, stop)

    def resets_at(self, step: int) -> Array | None:
        """Which rows begin anew before a step; None if none does."""
        if self.resets is None:
            return None
        rows = rows_at(self.resets, step)
        return rows if rows.any() else None

    def needs_pieces(self, span: Window) -> bool:
        """Whether a window is more than one plain run."""
        return not span.is_plain or bool(self.reset_steps(span.start + 1, span.stop))

    def entering(self, span: Window, hiddens: Tree) -> Tree:
        """The state as it enters a plain window, with the rows that begin anew there."""
        rows = self.resets_at(span.start)
        if rows is None:
            return hiddens
        return Entering.of(hiddens)._replace(resets=self.windowed.place(rows), previous=self.previous)

    def place(self, window: Tree) -> Tree:
        """The window as tensors on the device."""
        return self.windowed.place(window)


def walk(source: Any, ground: Ground, epoch: int, limit: int | None = None) -> Iterator[Stretch]:
    """Every batch of the source, at most `limit`.

    The origin counts rows on where batches start anew, and time where state flows on.
    """
    origin = Origin(epoch, row=0, time=0)
    for batch_idx, (batch, is_last) in enumerate(with_last(islice(data.batches(source, epoch), limit))):
        windowed = windowed_by(None if ground.split else ground.schedule, batch, ground)
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
        resets = reset_steps(batch, ground.time_axis, windowed.batch_size)
        if resets is not None and resets.ndim == 2:
            if ground.resets_inside:
                resets = None
            elif pieces is not None:
                raise ConfigurationError(
                    "The batch has a reset mask of rows and steps, and tbptt_split_batch cuts it, so the trainer does not know "
                    "which steps are where. Leave the cutting to truncated_bptt_steps=, or do what the mask says in the step "
                    "itself and set handles_resets = True in the model."
                )
            elif ground.schedule is None:  # cut at resets, which asks of the leaves what windows ask
                windowed = windowed_by(Fixed(max(1, resets.shape[1])), batch, ground)
            if resets is not None:
                resets = windowed.shifted(resets)
        yield Stretch(batch, batch_idx, is_last, fresh, windowed, origin, ground, pieces, resets)
        if ground.carry == "batch":
            origin = origin._replace(row=origin.row + windowed.batch_size)
        else:
            origin = origin._replace(time=origin.time + windowed.length)


def windowed_by(schedule: Schedule | None, batch: Tree, ground: Ground) -> WindowedBatch:
    """A batch as a schedule cuts it."""
    return WindowedBatch(
        batch,
        schedule,
        ground.time_axis,
        backend=ground.backend,
        device=ground.device,
        float_dtype=ground.float_dtype,
    )


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
