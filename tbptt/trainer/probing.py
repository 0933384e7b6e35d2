"""How fast gradients fade: measured on sub-sequences of the batch at hand, for schedules that ask (`tbptt.schedules.Adaptive`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tbptt import ops
from tbptt.pullback import Cotangent, Gradients
from tbptt.schedules import Measurement, Probe, Window
from tbptt.trainer.chain import Chain, Pass, share_of
from tbptt.trainer.walk import Stretch
from tbptt.types import Array, Tree


class Probing:
    """Runs probes. Nothing that training depends on has changed afterwards.

    Args:
        chain: runs windows in pieces.
        fetch: steps of a batch on the device: ``fetch(stretch, start, stop)``.
        note: takes a name and a number to log.
    """

    def __init__(
        self, chain: Chain, fetch: Callable[[Stretch, int, int], Tree], note: Callable[[str, float], None]
    ) -> None:
        self._chain, self._fetch, self._note = chain, fetch, note

    def __call__(self, stretch: Stretch) -> None:
        """Let the schedule measure on this batch, if it asks for it now."""
        schedule: Any = stretch.ground.schedule
        if not hasattr(schedule, "probes") or stretch.pieces is not None:
            return
        probes = schedule.probes(stretch.windowed.length)
        if not probes:
            return
        before = self._chain.effects.save()
        try:
            schedule.learn([self._measured(probe, stretch) for probe in probes])
        finally:
            self._chain.effects.restore(before)
        for name, value in (("K", schedule.k), ("delta", schedule.bias), ("ratio", schedule.decay)):
            self._note(f"truncation_{name}", float(value))

    def _measured(self, probe: Probe, stretch: Stretch) -> Measurement:
        first = probe.start + probe.warm_up
        stop = first + probe.steps
        window = Window(probe.start, stop, reach=first, losses=stop - 1)
        share = share_of(stretch, window, None, lambda start, stop: self._fetch(stretch, start, stop))
        share = share._replace(cuts=tuple(range(first, stop)))
        return _Measured(self._chain, share).measure(getattr(stretch.ground.schedule, "cumulative", "rows"))


class _Measured(Pass):
    """A pass in pieces of one step, which notes the gradient of every state on its way back."""

    def __init__(self, chain: Chain, share: Any) -> None:
        super().__init__(chain, share, None, [], 0, chain.combination)
        self._rows = share.rows
        self._gradients_of_states: list[Array] = []

    def measure(self, cumulative: str) -> Measurement:
        """Go back, and say what was found."""
        self._backward()
        lag_row_unit = np.stack(self._gradients_of_states)
        up_to_lag = np.cumsum(lag_row_unit, axis=0)
        sums = up_to_lag if cumulative == "rows" else up_to_lag.mean(axis=1, keepdims=True)
        norms, totals = (np.linalg.norm(each, axis=2).mean(axis=1) for each in (lag_row_unit, sums))
        return Measurement(norms, totals)

    def _take(self, number: int, gradients: Gradients, entering: Cotangent) -> None:
        super()._take(number, gradients, entering)
        if self._cotangent and number:
            by_row = [_by_row(ops.to_numpy(leaf), self._rows) for leaf in self._cotangent if leaf is not None]
            gradient = np.concatenate(by_row, axis=1) if by_row else np.zeros((self._rows, 1))
            self._gradients_of_states.append(gradient)


def _by_row(leaf: Array, rows: int) -> Array:
    """(rows, everything else) of a leaf (layers, rows, units) or (rows, ...); one that has no rows counts for each of them."""
    leaf = np.asarray(leaf, dtype="float64")
    if leaf.ndim > 2 and leaf.shape[1] == rows:
        leaf = np.moveaxis(leaf, 1, 0)
    elif not leaf.ndim or leaf.shape[0] != rows:
        leaf = np.broadcast_to(leaf, (rows, *leaf.shape))
    return leaf.reshape(rows, -1)
