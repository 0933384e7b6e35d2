"""How many elements a mean was taken over, remembered beside the loss while a step runs.

An epoch's mean must weigh each window by the steps that counted in it. The loss functions know that number and leave
it here; `Module.log` and the trainer look it up. A value nobody counted weighs as many elements as the window has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tbptt.types import Tensor

Counts = dict[int, tuple[Tensor, Tensor | int]]

_counts: Counts | None = None
_older: list[int] = []


@contextmanager
def recording() -> Iterator[Counts]:
    """Inside the block, means announced by `note` are kept, by identity, and kept alive."""
    global _counts, _older
    before, _counts, _older = (_counts, _older), {}, []
    try:
        yield _counts
    finally:
        _counts, _older = before


def let_go() -> None:
    """Let go what was noted before the last call of this, so that a loop over many windows in one step does not collect it all."""
    global _older
    if _counts is not None:
        for key in _older:
            _counts.pop(key, None)
        _older = list(_counts)


def note(mean: Tensor, count: Tensor | int) -> Tensor:
    """Remember that `mean` was taken over `count` elements, if anybody records. Returns `mean`."""
    if _counts is not None:
        _counts[id(mean)] = (mean, count)
    return mean


def count_of(value: Tensor) -> Tensor | int | None:
    """What `note` was told of this very tensor; None if nothing."""
    return None if _counts is None else _counts.get(id(value), (None, None))[1]
