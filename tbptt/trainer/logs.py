"""What steps log: collected inside the (maybe compiled) step, fetched from the device in groups, reduced over the epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from tbptt import autodiff, counting, ops
from tbptt.errors import ConfigurationError, ModuleProtocolError, NonFiniteError
from tbptt.types import Number, Tensor

Reduce: TypeAlias = str | Callable[..., Any]
"""``"mean"`` (weighted), ``"sum"``, ``"min"``, ``"max"``, or a function of the array of an epoch's values."""

_REDUCTIONS = ("mean", "sum", "min", "max")


class Options(NamedTuple):
    """How a logged value is kept; None takes the default of the stage."""

    prog_bar: bool = False
    on_step: bool | None = None
    on_epoch: bool | None = None
    logger: bool = True
    reduce_fx: Reduce = "mean"


Weighted: TypeAlias = tuple[Tensor | Number, Tensor | Number]
Values: TypeAlias = dict[str, Weighted]
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


def checked(name: str, value: Tensor | Number, options: Options) -> tuple[Tensor | Number, Options]:
    """The value, cut from its past, and its options with the reduction's name.

    Raises:
        ModuleProtocolError: for a value that is no scalar.
        ConfigurationError: for an unknown reduction.
    """
    shape = tuple(getattr(value, "shape", ()))
    if shape or isinstance(value, str):
        received = f"shape {shape}" if shape else repr(value)
        raise ModuleProtocolError(
            f"self.log({name!r}, ...) expected a scalar; received {received}. Log its mean or its sum instead."
        )
    called = getattr(options.reduce_fx, "__name__", options.reduce_fx)
    if called in _REDUCTIONS:
        options = options._replace(reduce_fx=called)
    elif not callable(options.reduce_fx):
        raise ConfigurationError(
            f"reduce_fx= of self.log({name!r}, ...) is {', '.join(map(repr, _REDUCTIONS))} or a function of an array; "
            f"received {options.reduce_fx!r}."
        )
    kept = autodiff.stop_gradient(value) if ops.is_tensor(value) else value
    return kept, options


def record(name: str, value: Tensor | Number, options: Options, weight: Tensor | Number | None = None) -> bool:
    """Log a scalar of the step at hand (`Module.log`). False if no step is at hand."""
    if _collector is None:
        return False
    kept, options = checked(name, value, options)
    if weight is None:
        weight = counting.count_of(value)
    _collector.options[name] = options
    _collector.values[name] = (kept, _collector.elements if weight is None else weight)
    return True


def merged(pieces: list[Values], options: Mapping[str, Options]) -> Values:
    """The values of a window that ran in pieces: sums added up, extremes taken, means weighted; of other reductions the last."""
    if len(pieces) == 1:
        return pieces[0]
    found: dict[str, list[Weighted]] = {}
    for values in pieces:
        for name, weighted in values.items():
            found.setdefault(name, []).append(weighted)
    return {name: _merge(weighted, options[name].reduce_fx) for name, weighted in found.items()}


def _merge(weighted: list[Weighted], reduce: Reduce) -> Weighted:
    if len(weighted) == 1 or reduce not in _REDUCTIONS:
        return weighted[-1]
    values, weights = (ops.stack([_scalar(one[place]) for one in weighted]) for place in (0, 1))
    total = ops.sum(weights)
    if reduce == "mean":
        # a part in which nothing counts has a mean of nothing, NaN
        counting = ops.where(ops.greater(weights, 0), ops.multiply(values, weights), 0.0)
        return ops.divide(ops.sum(counting), total), total
    if reduce == "sum":
        return ops.sum(values), total
    return (ops.min if reduce == "min" else ops.max)(values), total


def _scalar(value: Tensor | Number) -> Tensor:
    return ops.astype(value, "float64") if ops.is_tensor(value) else ops.asarray(value, dtype="float64")


class Place(NamedTuple):
    """Where a window was, for messages."""

    epoch: int
    batch: int
    window: int


class _Waiting(NamedTuple):
    place: Place
    loss: Tensor | None
    weight: Tensor | Number
    values: list[tuple[str, Weighted]]
    names: list[str]
    """What was logged in this window and has been fetched before the others."""
    step: int | None


class LogBook:
    """The values of an epoch. They stay on the device until `flush`, so that no window waits for the one before.

    Args:
        step_default: whether the latest value is kept where `Module.log` does not say.
        epoch_default: likewise the epoch's.
        send: takes a window's values and its optimizer step, for loggers.
    """

    GROUP = 64
    """Windows whose values are fetched together."""

    def __init__(
        self,
        step_default: bool,
        epoch_default: bool,
        send: Callable[[dict[str, float], int], None] | None = None,
    ) -> None:
        self.options: dict[str, Options] = {}
        self._defaults = (step_default, epoch_default)
        self._send = send
        self._waiting: list[_Waiting] = []
        self._at_hand: list[tuple[str, Weighted]] = []
        self._names: list[str] = []
        self._in_window = True  # what is logged before the first window belongs to it
        self._step: int | None = None
        self._reduced: dict[str, _Reduction] = {}
        self._latest: dict[str, float] = {}

    def begin(self) -> None:
        """A window begins: what hooks log from here on belongs to it, what they log after its `add` still does."""
        self._in_window = True

    def note(self, name: str, value: Tensor | Number, options: Options, weight: Tensor | Number | None = None) -> None:
        """Take a value that a hook logged."""
        kept, self.options[name] = checked(name, value, options)
        weight = counting.count_of(value) if weight is None else weight
        late = self._waiting and not self._in_window
        (self._waiting[-1].values if late else self._at_hand).append((name, (kept, 1.0 if weight is None else weight)))
        if len(self._at_hand) >= self.GROUP:  # a loop over many windows in one step
            self.flush()

    def add(
        self,
        place: Place,
        loss: Tensor | None,
        values: Values,
        step: int | None = None,
        weight: Tensor | Number = 1,
    ) -> None:
        """Take the loss of a window, with its weight, and what the window logged.

        Under `step`, an optimizer step, loggers get it; not at all if it is None.
        """
        if len(self._waiting) >= self.GROUP:  # before this window joins them: its last hooks are still to come
            self._fetch()
        self._waiting.append(_Waiting(place, loss, weight, [*values.items(), *self._at_hand], self._names, step))
        self._at_hand, self._names = [], []
        self._in_window, self._step = False, step

    def flush(self) -> None:
        """Fetch what is waiting.

        Raises:
            NonFiniteError: naming the first window whose loss is NaN or infinite.
        """
        self._fetch()
        at_hand, self._at_hand = self._at_hand, []
        self._take(at_hand)
        names = [name for name, _ in at_hand]
        if self._in_window:
            self._names += names
        else:
            self._send_row(names, self._step)

    def _fetch(self) -> None:
        while self._waiting:  # one after the other, so that an interruption loses none
            place, loss, weight, values, names, step = self._waiting[0]
            # the mean of a window in which nothing counts is a mean of nothing
            if loss is not None and not math.isfinite(float(loss)) and float(weight):
                raise NonFiniteError(
                    f"The loss became {float(loss)} in epoch {place.epoch}, batch {place.batch}, window {place.window}. "
                    f"Lower the learning rate, clip gradients (gradient_clip_val=1.0), or look for such values in the data."
                )
            self._take(values)
            del self._waiting[0]
            self._send_row([*names, *(name for name, _ in values)], step)

    def _send_row(self, names: list[str], step: int | None) -> None:
        if step is None or self._send is None:
            return
        kept = self._kept()
        row = {
            f"{name}_step" if kept[name][1] else name: self._latest[name]
            for name in names
            if kept[name][0] and self.options[name].logger
        }
        if row:
            self._send(row, step)

    def _take(self, values: list[tuple[str, Weighted]]) -> None:
        for name, (value, weight) in values:
            number = float(value)
            reduced = self._reduced.setdefault(name, _Reduction(self.options[name].reduce_fx))
            reduced.add(number, float(weight))
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

    def epoch_metrics(self, to_logger: bool = False) -> dict[str, float]:
        """Values of the epoch so far, reduced; with `to_logger` those that loggers get."""
        self.flush()
        metrics = {}
        for name, (on_step, on_epoch) in self._kept().items():
            if on_epoch and name in self._reduced and (not to_logger or self.options[name].logger):
                value = self._reduced[name].value()
                if on_step:
                    metrics[f"{name}_epoch"] = value
                if not on_step or not to_logger:
                    metrics[name] = value
        return metrics

    def close_epoch(self) -> None:
        """Forget the epoch's values; the latest stay."""
        self._reduced.clear()

    def _kept(self) -> dict[str, tuple[bool, bool]]:
        step, epoch = self._defaults
        return {
            name: (step if o.on_step is None else o.on_step, epoch if o.on_epoch is None else o.on_epoch)
            for name, o in self.options.items()
            if name in self._latest
        }


class _Reduction:
    """The values of one name over an epoch, in as little as its reduction needs."""

    def __init__(self, reduce: Reduce) -> None:
        self._reduce = reduce
        self._total = self._weights = 0.0
        self._values: list[float] = []

    def add(self, value: float, weight: float) -> None:
        if not weight:  # a window in which nothing counts has a mean of nothing, NaN
            return
        if self._reduce == "mean":
            self._total += value * weight
            self._weights += weight
        elif self._reduce == "sum":
            self._total += value
        elif self._reduce in ("min", "max"):
            self._values = [(min if self._reduce == "min" else max)([value, *self._values])]
        else:
            self._values.append(value)

    def value(self) -> float:
        if self._reduce == "mean":
            return self._total / self._weights if self._weights else math.nan
        if self._reduce == "sum":
            return self._total
        if callable(self._reduce):
            return float(self._reduce(np.array(self._values)))
        return self._values[0] if self._values else math.nan
