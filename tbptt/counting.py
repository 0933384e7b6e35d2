"""How many elements a mean was taken over, remembered beside the loss while a step runs.

An epoch's mean must weigh each window by the steps that counted in it. The loss functions know that number and leave
it here; `Module.log` and the trainer look it up. A value nobody counted weighs as many elements as the window has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tbptt.types import Tensor

Counts = dict[int, tuple[Tensor, Tensor]]

_counts: Counts | None = None


@contextmanager
def recording() -> Iterator[Counts]:
    """Inside the block, means announced by `note` are kept, by identity, and kept alive."""
    global _counts
    before, _counts = _counts, {}
    try:
        yield _counts
    finally:
        _counts = before


def note(mean: Tensor, count: Tensor) -> Tensor:
    """Remember that `mean` was taken over `count` elements, if anybody records. Returns `mean`."""
    if _counts is not None:
        _counts[id(mean)] = (mean, count)
    return mean


def count_of(value: Tensor) -> Tensor | None:
    """What `note` was told of this very tensor; None if nothing."""
    return None if _counts is None else _counts.get(id(value), (None, None))[1]
