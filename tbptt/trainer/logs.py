"""What steps log: collected inside the (maybe compiled) step, fetched from the device in groups, averaged by weight."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tbptt import autodiff, counting, ops
from tbptt.errors import ModuleProtocolError, NonFiniteError
from tbptt.types import Number, Tensor


class Options(NamedTuple):
    """How a logged value is kept; None takes the default of the stage."""

    prog_bar: bool = False
    on_step: bool | None = None
    on_epoch: bool | None = None


Values = dict[str, tuple[Tensor | Number, Tensor | Number]]
"""Of one window: name to (value, weight)."""


class _Collector(NamedTuple):
    values: Values
    options: dict[str, Options]
    elements: int | Tensor


_collector: _Collector | None = None


@contextmanager
def collecting(options: dict[str, Options], elements: int | Tensor) -> Iterator[Values]:
    """Inside the block `record` is allowed; `options` remembers, beyond the block, how each name is kept.

    Options are Python's, not tensors: a compiled step writes them while it is traced and never again.
    """
    global _collector
    before, _collector = _collector, _Collector({}, options, elements)
    try:
        yield _collector.values
    finally:
        _collector = before


def record(name: str, value: Tensor | Number, options: Options, weight: Tensor | Number | None = None) -> None:
    """Log a scalar of the step at hand (`Module.log`)."""
    if _collector is None:
        raise ModuleProtocolError(
            f"self.log({name!r}, ...) was called outside a step. Log from training_step or validation_step while a trainer "
            f"runs them."
        )
    shape = tuple(getattr(value, "shape", ()))
    if shape:
        raise ModuleProtocolError(
            f"self.log({name!r}, ...) expected a scalar; received shape {shape}. Log its mean or its sum instead."
        )
    if weight is None:
        weight = counting.count_of(value)
    _collector.options[name] = options
    kept = autodiff.stop_gradient(value) if ops.is_tensor(value) else value
    _collector.values[name] = (kept, _collector.elements if weight is None else weight)


class Place(NamedTuple):
    """Where a window was, for messages."""

    epoch: int
    batch: int
    window: int


class LogBook:
    """The values of an epoch. They stay on the device until `flush`, so that no window waits for the one before."""

    GROUP = 64
    """Windows whose values are fetched together."""

    def __init__(self, step_default: bool, epoch_default: bool) -> None:
        self.options: dict[str, Options] = {}
        self._defaults = (step_default, epoch_default)
        self._waiting: list[tuple[Place, Tensor | None, Values]] = []
        self._sums: dict[str, tuple[float, float]] = {}
        self._latest: dict[str, float] = {}

    def add(self, place: Place, loss: Tensor | None, values: Values) -> None:
        """Take the loss of a window and what it logged."""
        self._waiting.append((place, loss, values))
        if len(self._waiting) >= self.GROUP:
            self.flush()

    def flush(self) -> None:
        """Fetch what is waiting.

        Raises:
            NonFiniteError: naming the first window whose loss is NaN or infinite.
        """
        waiting, self._waiting = self._waiting, []
        for place, loss, values in waiting:
            if loss is not None and not math.isfinite(float(loss)):
                raise NonFiniteError(
                    f"The loss became {float(loss)} in epoch {place.epoch}, batch {place.batch}, window {place.window}. "
                    f"Lower the learning rate, clip gradients (gradient_clip_val=1.0), or look for such values in the data."
                )
            for name, (value, weight) in values.items():
                number, share = float(value), float(weight)
                total, weights = self._sums.get(name, (0.0, 0.0))
                # a window in which nothing counts has a mean of nothing, NaN, and no weight
                self._sums[name] = (total + number * share, weights + share) if share else (total, weights)
                self._latest[name] = number

    def shown(self) -> dict[str, float]:
        """Values for the progress bar: the latest fetched."""
        return {name: self._latest[name] for name, o in self.options.items() if o.prog_bar and name in self._latest}

    def step_metrics(self) -> dict[str, float]:
        """Latest values by the name under which metrics show them."""
        self.flush()
        return {
            f"{name}_step" if on_epoch else name: self._latest[name]
            for name, (on_step, on_epoch) in self._kept().items()
            if on_step
        }

    def epoch_metrics(self) -> dict[str, float]:
        """Means of the epoch so far, weighted; and forget them."""
        metrics = self.step_metrics()
        for name, (on_step, on_epoch) in self._kept().items():
            if on_epoch:
                metrics[name] = self.mean(name)
                if on_step:
                    metrics[f"{name}_epoch"] = metrics[name]
        self._sums.clear()
        return metrics

    def mean(self, name: str) -> float:
        """The weighted mean since the last `epoch_metrics`."""
        total, weights = self._sums.get(name, (0.0, 0.0))
        return total / weights if weights else math.nan

    def _kept(self) -> dict[str, tuple[bool, bool]]:
        step, epoch = self._defaults
        return {
            name: (step if o.on_step is None else o.on_step, epoch if o.on_epoch is None else o.on_epoch)
            for name, o in self.options.items()
            if name in self._latest
        }
