"""Where in epoch, rows and time the window at hand begins: what dropout masks are a function of.

Counted absolutely, so that a window that is recomputed, or cut elsewhere, drops the same units again. The origin is
three whole numbers, or three scalar int64 tensors inside a compiled step (so that a new window is no new trace).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tbptt.types import Tensor


class Origin(NamedTuple):
    """Of a window: its epoch, its first row among the rows of the epoch, its first step in the time of these rows."""

    epoch: int | Tensor
    row: int | Tensor
    time: int | Tensor


_now: Origin | None = None
_sequences = 0


def now() -> Origin | None:
    """The origin of the window at hand; None outside any."""
    return _now


@contextmanager
def at(origin: Origin | None) -> Iterator[None]:
    """Inside the block, `now` is this."""
    global _now
    before, _now = _now, origin
    try:
        yield
    finally:
        _now = before


def next_sequence() -> int:
    """A fresh number for each sequence of a loop that counts no epochs; from 0 again after `seed_everything`."""
    global _sequences
    _sequences += 1
    return _sequences - 1


def restart() -> None:
    """Begin to count sequences anew."""
    global _sequences
    _sequences = 0
