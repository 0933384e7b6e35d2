"""The windows of an epoch in order, and whether state enters them. Training and validation take the same walk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tbptt import data
from tbptt.clock import Origin
from tbptt.protocols import Backend
from tbptt.schedules import Schedule
from tbptt.types import Tree
from tbptt.windowing import WindowedBatch

StateCarry = Literal["batch", "epoch"]


@dataclass(frozen=True)
class Ground:
    """Where windows go, and how batches are cut into them. `schedule` None makes each batch one window."""

    backend: Backend
    device: str
    float_dtype: str
    schedule: Schedule | None
    carry: StateCarry
    time_axis: Tree


@dataclass
class Stretch:
    """A batch and its windows."""

    batch: Tree
    batch_idx: int
    fresh: bool
    """Whether its rows start here, so that no state enters."""
    windowed: WindowedBatch
    origin: Origin

    def __len__(self) -> int:
        return len(self.windowed)

    def windows(self) -> Iterator[tuple[int, Tree, Origin]]:
        """Number, leaves on the device, and absolute origin of each window."""
        for index, (window, leaves) in enumerate(self.windowed):
            yield index, leaves, self.origin._replace(time=self.origin.time + window.start)


def walk(source: Any, ground: Ground, epoch: int) -> Iterator[Stretch]:
    """Every batch of the source. The origin counts rows on where each batch is a start, and time where state is carried on."""
    origin = Origin(epoch, row=0, time=0)
    for batch_idx, batch in enumerate(data.batches(source, epoch)):
        windowed = WindowedBatch(
            batch,
            ground.schedule,
            ground.time_axis,
            backend=ground.backend,
            device=ground.device,
            float_dtype=ground.float_dtype,
        )
        yield Stretch(batch, batch_idx, ground.carry == "batch" or batch_idx == 0, windowed, origin)
        if ground.carry == "batch":
            origin = origin._replace(row=origin.row + windowed.batch_size)
        else:
            origin = origin._replace(time=origin.time + windowed.length)


def count_batches(source: Any) -> int | None:
    """Batches of an epoch, where the source can tell."""
    if data.is_one_batch(source):
        return 1
    try:
        return len(source)
    except TypeError:
        return None
