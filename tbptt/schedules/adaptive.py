"""Windows just long enough for the bias that truncation may leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from tbptt.errors import ScheduleError
from tbptt.schedules.decay import METHODS, Ratio, decay_ratio, relative_bias
from tbptt.schedules.fixed import overlapping
from tbptt.schedules.scheme import Offset, Scheme, real, whole
from tbptt.schedules.window import Window
from tbptt.types import Array


class Probe(NamedTuple):
    """A sub-sequence to measure on: so many steps from a state of nothing, then so many steps with a loss at the last one."""

    start: int
    warm_up: int
    steps: int


class Measurement(NamedTuple):
    """What a probe found; each has an entry for each step back from the loss."""

    norms: Array
    """Of the loss' gradient with respect to the state so many steps back, averaged over rows."""
    cumulative: Array
    """Of the sum of these gradients up to there: averaged over rows, or of the rows' mean."""


class Adaptive(Scheme):
    """Truncation chosen for a relative bias: from time to time it is measured how gradients fade, and K becomes the smallest
    number of steps whose bound on the bias is below `delta`.

    Aicher, Foti & Fox 2019 (arXiv:1905.07473). On random sub-sequences the gradient of the last step's loss with respect to each
    state before it is taken; its norm φ_k falls geometrically beyond some lag, which bounds what lies beyond K steps
    (`tbptt.schedules.decay`). Training then runs in windows of ``Fixed(K, 2K − 1)``, so that every loss has a gradient through at
    least K steps; after a change of K the first window, like the first one of a sequence, reaches back to its own start only. The
    trainer logs ``truncation_K``, ``truncation_delta`` (the bound at K) and ``truncation_ratio`` (the decay per step).

    For a decay by a ratio a per step the answer is K = ⌈ln δ / ln a⌉.

    >>> import numpy as np
    >>> from tbptt import schedules
    >>> schedule = schedules.Adaptive(0.1, max=50)
    >>> norms = 0.8 ** np.arange(schedule.steps)
    >>> schedule.learn([schedules.Measurement(norms, np.cumsum(norms))])
    >>> schedule.k, int(np.ceil(np.log(0.1) / np.log(0.8)))
    (11, 11)

    Args:
        delta: tolerated bias relative to the gradient, above 0.
        min, max: bounds of K.
        every: windows between two measurements.
        steps: W, of a sub-sequence that is measured; by default 2·max, and at least 20.
        tau: the lag beyond which gradients are taken to fall geometrically; by default three quarters of W.
        ratio: how the decay is found: ``"least_squares"``, ``"max"`` or ``"quantile"`` (`tbptt.schedules.decay.decay_ratio`).
        cumulative: what stands for the gradient that the bias is relative to: ``"rows"``, the norm of each row's sum over lags,
            averaged; ``"mean"``, the norm of the mean over rows, as published: rows that disagree then make it smaller, and K
            larger.
        samples: sub-sequences of one measurement, each of all rows.
        warm_up: steps before each sub-sequence that only make its state; by default W.
        start: K before the first measurement, which is then made after `every` windows: in a model that has learned nothing yet
            gradients may fade at once. None: the first measurement is made before the first window.
        burn_in, offset, drop_last, seed: as `Scheme`.

    Raises:
        ScheduleError: for numbers out of their range.
    """

    def __init__(
        self,
        delta: float = 0.9,
        min: int = 2,
        max: int = 100,
        every: int = 100,
        steps: int | None = None,
        tau: int | None = None,
        ratio: Ratio = "least_squares",
        cumulative: Literal["rows", "mean"] = "rows",
        samples: int = 5,
        warm_up: int | None = None,
        start: int | None = None,
        *,
        burn_in: int = 0,
        offset: Offset = 0,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.delta = real("delta", delta, "a relative bias, a number above 0", lambda delta: delta > 0)
        self.min, self.max = whole("min", min, 1), whole("max", max, 1)
        if self.min > self.max:
            raise ScheduleError(f"min is at most max; received min={min} and max={max}.")
        self.every, self.samples = whole("every", every, 1), whole("samples", samples, 1)
        self.steps = np.maximum(2 * self.max, 20).item() if steps is None else whole("steps", steps, 4)
        self.tau = 3 * self.steps // 4 if tau is None else whole("tau", tau, 0)
        if self.tau > self.steps - 2:
            raise ScheduleError(
                f"tau leaves at least two of the {self.steps} steps that are measured beyond it; received {tau}. Measure more "
                f"steps=, or lower tau."
            )
        if ratio not in METHODS:
            raise ScheduleError(f"ratio is one of {', '.join(map(repr, METHODS))}; received {ratio!r}.")
        self.ratio: Ratio = ratio
        if cumulative not in ("rows", "mean"):
            raise ScheduleError(f"cumulative is 'rows' or 'mean'; received {cumulative!r}.")
        self.cumulative: Literal["rows", "mean"] = cumulative
        self.warm_up = self.steps if warm_up is None else whole("warm_up", warm_up, 0)
        self.start = None if start is None else whole("start", start, 1)
        self.k = self.max if self.start is None else self.start
        """The number of steps every loss' gradient goes back."""
        self.bias: float | None = None
        """The bound on the relative bias at K; None before anything was measured."""
        self.decay: float | None = None
        """The ratio by which gradients fall from step to step."""
        self._windows_until_probe = 0 if self.start is None else self.every + 1
        super().__init__(burn_in=burn_in, offset=offset, drop_last=drop_last, seed=seed)

    @property
    def period(self) -> int:
        """K, the steps between two updates."""
        return self.k

    @property
    def evaluation_steps(self) -> int:
        """The longest K."""
        return self.max

    def probes(self, length: int) -> list[Probe]:
        """The sub-sequences to measure on before the next window of a sequence of `length` steps; none while it is not time."""
        self._windows_until_probe -= 1
        if self._windows_until_probe > 0:
            return []
        self._windows_until_probe = self.every
        steps = min(self.steps, length)
        warm_up = min(self.warm_up, length - steps)
        starts = self.generator.integers(0, length - steps - warm_up + 1, self.samples)
        return [Probe(int(start), warm_up, steps) for start in starts] if steps >= 4 else []

    def learn(self, measurements: Sequence[Measurement]) -> None:
        """Choose K for what was measured."""
        norms, cumulative = (np.mean([one[place] for one in measurements], axis=0) for place in (0, 1))
        tau = min(self.tau, len(norms) - 2)
        self.decay = decay_ratio(norms, tau, self.ratio)
        candidates = np.arange(self.min, self.max + 1)
        biases = relative_bias(norms, cumulative, tau, self.decay, candidates)
        below = np.flatnonzero(biases < self.delta)
        chosen = int(below[0]) if len(below) else len(candidates) - 1
        self.k, self.bias = int(candidates[chosen]), float(biases[chosen])

    def windows(self, progress: dict[str, Any], length: int) -> Iterator[Window]:
        """Windows of ``Fixed(K, 2K − 1)``, for the K of the moment."""
        start = progress["position"]
        progress.setdefault("k", self.k)
        progress.setdefault("grid", progress["first"])
        progress.setdefault("earliest", 0)
        while start < length:
            if self.k != progress["k"]:
                progress.update(k=self.k, grid=start, earliest=start)
            k = progress["k"]
            window = next(overlapping(start, length, progress["grid"], k, 2 * k - 1, earliest=progress["earliest"]))
            if self.drop_last and window.stop == length and (length - progress["grid"]) % k:
                return
            yield window
            start = window.stop

    def _kept(self, length: int, first: int) -> int:
        return length  # K changes on the way

    def parameters(self) -> dict[str, Any]:
        """All that decides K."""
        names = ("delta", "min", "max", "every", "steps", "tau", "ratio", "cumulative", "samples", "warm_up", "start")
        return {name: getattr(self, name) for name in names}

    def _defaults(self) -> dict[str, Any]:
        steps = np.maximum(2 * self.max, 20).item()
        return {**super()._defaults(), "steps": steps, "tau": 3 * self.steps // 4, "warm_up": self.steps}

    def state_dict(self) -> dict[str, Any]:
        """As `Scheme`, with K, what it rests on, and the windows until the next measurement."""
        chosen = {"k": self.k, "bias": self.bias, "decay": self.decay, "windows_until_probe": self._windows_until_probe}
        return {**super().state_dict(), "chosen": chosen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state)
        chosen = state.get("chosen", {})
        self.k, self.bias, self.decay = (chosen.get(name, getattr(self, name)) for name in ("k", "bias", "decay"))
        self._windows_until_probe = chosen.get("windows_until_probe", 0)
