"""Several runs of one script read side by side, each compared with the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tbptt.comparison.comparison import Comparison
from tbptt.comparison.recording import Record


def side_by_side(
    sources: Sequence[Iterable[Record]],
    comparisons: Sequence[Comparison],
    limit: int | None = None,
    each: Callable[[Record], Any] = lambda record: None,
) -> int:
    """Read all sources window by window, until all have ended or `limit` windows have been compared.

    Args:
        sources: the first is what the others are compared with.
        comparisons: one for each further source.
        limit: number of windows; None for no limit.
        each: given every window of the first source, after it was compared.

    Returns:
        How many windows the first source had.
    """
    iterators: list[Iterator[Record]] = [iter(source) for source in sources]
    windows = 0
    while windows != limit:
        records = [next(iterator, None) for iterator in iterators]
        first = records[0]
        for comparison, record in zip(comparisons, records[1:], strict=True):
            if comparison.ended:
                continue
            if first is not None and record is not None:
                comparison.add(first, record)
            elif first is not None or record is not None:
                comparison.end(one_ended=first is None)
        if first is None or (comparisons and all(comparison.ended for comparison in comparisons)):
            break
        windows += 1
        each(first)
    return windows
