"""What steps returned: kept for the hooks that want it, and joined along time for predictions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.types import Tree


class EpochOutputs:
    """What ``training_epoch_end`` is given: an entry a batch; in it one a window where batches are cut, and in that one an
    optimizer where there are several.
    """

    def __init__(self, by_window: bool, by_optimizer: bool) -> None:
        self._by_window, self._by_optimizer = by_window, by_optimizer
        self.batches: list[Any] = []

    def start_batch(self) -> None:
        """The next windows belong to a new batch."""
        if self._by_window:
            self.batches.append([])

    def add(self, outputs: list[dict[str, Any]]) -> None:
        """Take a window's outputs, one for each optimizer."""
        entry = outputs if self._by_optimizer else outputs[-1]
        (self.batches[-1] if self._by_window else self.batches).append(entry)


def join(windows: list[Tree], steps: list[int], time_axis: int = 1) -> Tree:
    """One tree of the predictions of a batch's windows, in the order of time.

    Leaves that have each window's steps on the axis of time are joined along it; other leaves get that axis, with an entry a
    window.

    Args:
        windows: trees of tensors, one structure.
        steps: time steps of each window.
        time_axis: of the leaves.
    """
    if len(windows) == 1:
        return windows[0]

    def joined(*leaves: Any) -> Any:
        shapes = [tuple(getattr(leaf, "shape", ())) for leaf in leaves]
        owner = owner_of(leaves[0])
        timed = all(len(s) > time_axis and s[time_axis] == n for s, n in zip(shapes, steps, strict=True))
        axis = time_axis if timed else min(time_axis, len(shapes[0]))
        if owner is None:
            return np.concatenate(leaves, axis=axis) if timed else np.stack(leaves, axis=axis)
        return (owner.tensors.concat if timed else owner.tensors.stack)(list(leaves), axis=axis)

    return tree.map(joined, *windows)
