"""What ``configure_optimizers`` returned, in all its forms, as one: optimizers, and when which scheduler is due."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tbptt import optim, tree
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.protocols import Backend

_INTERVALS = {"window": "window", "step": "window", "batch": "batch", "epoch": "epoch"}
_SCHEDULER_KEYS = ("scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau")
_OPTIMIZER_KEYS = ("optimizer", "lr_scheduler", "monitor", "frequency")
_EXAMPLE = "For example: return tbptt.optim.Adam(self.parameters(), lr=1e-3)."


@dataclass
class SchedulerConfig:
    """A learning-rate scheduler and when it steps."""

    scheduler: Any
    optimizer_idx: int
    interval: str = "epoch"
    """``"window"`` (every optimizer step; ``"step"`` means the same), ``"batch"`` or ``"epoch"``."""
    frequency: int = 1
    """Step at every so many of them."""
    monitor: str | None = None
    """The logged value that ``step`` is given, where it wants one."""
    strict: bool = True
    """Whether a monitored value that is not there is an error."""
    name: str | None = None
    reduce_on_plateau: bool = False
    """Whether ``step`` wants the monitored value; what is named ``metrics`` there does anyway."""
    count: int = 0

    @property
    def wants_metric(self) -> bool:
        """Whether ``step`` needs a value, as `ReduceLROnPlateau.step` does."""
        if self.reduce_on_plateau:
            return True
        first = next(iter(inspect.signature(self.scheduler.step).parameters.values()), None)
        return first is not None and first.name == "metrics" and first.default is first.empty


@dataclass
class Configuration:
    """Optimizers in their order, for how many batches in a row each is in turn (None: all at every batch), schedulers."""

    optimizers: list[Any] = field(default_factory=list)
    frequencies: list[int] | None = None
    schedulers: list[SchedulerConfig] = field(default_factory=list)

    def in_turn(self, batch_idx: int) -> list[int]:
        """Numbers of the optimizers that see this batch."""
        if self.frequencies is None:
            return list(range(len(self.optimizers)))
        place = batch_idx % sum(self.frequencies)
        for index, frequency in enumerate(self.frequencies):
            if place < frequency:
                return [index]
            place -= frequency
        raise AssertionError(place)


def configure(model: Any, backend: Backend, parameters: Sequence[Any], automatic: bool) -> Configuration:
    """Ask the model, and bring its answer into one form.

    Raises:
        ModuleProtocolError: if there is no optimizer among what it returned, or it is in none of the forms.
        ConfigurationError: for an unknown key, interval or frequency.
    """
    name = f"{type(model).__name__}.configure_optimizers()"
    found = model.configure_optimizers()
    if found is None and not automatic:
        return Configuration()
    entries, listed = _sorted_out(found)
    schedulers = [(scheduler, 0) for scheduler in listed]
    configuration = Configuration()
    frequencies: list[Any] = []
    for entry in entries:
        settings = dict(entry) if isinstance(entry, Mapping) else {"optimizer": entry}
        unknown = sorted(set(settings) - set(_OPTIMIZER_KEYS))
        optimizer = _optimizer(settings.get("optimizer"), backend, parameters)
        if optimizer is None:
            raise ModuleProtocolError(
                f"{name} must return an optimizer of tbptt.optim or of the engine, several of them, "
                f"(optimizers, schedulers), or dicts with 'optimizer' and 'lr_scheduler'; received {_described(found)}. {_EXAMPLE}"
            )
        if unknown:
            raise ConfigurationError(
                f"{name} returned a dict with the unknown keys {unknown}; expected {', '.join(_OPTIMIZER_KEYS)}."
            )
        configuration.optimizers.append(optimizer)
        frequencies.append(settings.get("frequency"))
        own = settings.get("lr_scheduler")
        for scheduler in own if isinstance(own, list | tuple) else [] if own is None else [own]:
            described = dict(scheduler) if isinstance(scheduler, Mapping) else {"scheduler": scheduler}
            inherited = {"monitor": settings["monitor"]} if "monitor" in settings else {}
            schedulers.append(({**inherited, **described}, len(configuration.optimizers) - 1))
    if not entries:
        raise ModuleProtocolError(f"{name} returned no optimizer. {_EXAMPLE}")
    if any(frequency is not None for frequency in frequencies):
        if not all(isinstance(frequency, int) and frequency >= 1 for frequency in frequencies):
            raise ConfigurationError(
                f"{name}: 'frequency' is for how many batches in a row an optimizer is in turn, and then every optimizer needs "
                f"one, a whole number from 1; received {frequencies}."
            )
        configuration.frequencies = frequencies
    configuration.schedulers = [_scheduler(s, owner, configuration.optimizers, name) for s, owner in schedulers]
    return configuration


def _sorted_out(found: Any) -> tuple[list[Any], list[Any]]:
    """Optimizers (or dicts of them), and schedulers, of ``(optimizers, schedulers)``, several, or one."""
    if not isinstance(found, list | tuple):
        return [found], []
    if len(found) == 2 and all(isinstance(part, list | tuple) for part in found):
        return list(found[0]), list(found[1])
    return list(found), []


def _optimizer(given: Any, backend: Backend, parameters: Sequence[Any]) -> Any:
    if isinstance(given, optim.Optimizer):
        return given
    return None if given is None else backend.interop.native_optimizer(given, list(parameters))


def _scheduler(given: Any, owner: int, optimizers: Sequence[Any], name: str) -> SchedulerConfig:
    """`owner` is the number of the optimizer it came with, for a scheduler that does not say whose it is."""
    settings = dict(given) if isinstance(given, Mapping) else {"scheduler": given}
    scheduler = settings.get("scheduler")
    unknown = sorted(set(settings) - set(_SCHEDULER_KEYS))
    if unknown or not callable(getattr(scheduler, "step", None)):
        raise ConfigurationError(
            f"{name} must describe a learning-rate scheduler by the object itself, or by a dict with 'scheduler' and perhaps "
            f"{', '.join(map(repr, _SCHEDULER_KEYS[1:6]))}; received {_described(given)}."
        )
    interval, frequency = settings.get("interval", "epoch"), settings.get("frequency", 1)
    if interval not in _INTERVALS or isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1:
        raise ConfigurationError(
            f"{name}: a scheduler's interval is 'window' (or 'step'), 'batch' or 'epoch', its frequency a whole number from 1; "
            f"received interval={interval!r}, frequency={frequency!r}."
        )
    mine = getattr(scheduler, "optimizer", None)
    index = next((i for i, o in enumerate(optimizers) if mine is o or mine is getattr(o, "native", o)), owner)
    config = SchedulerConfig(
        scheduler,
        index,
        _INTERVALS[interval],
        frequency,
        settings.get("monitor"),
        settings.get("strict", True),
        settings.get("name"),
        bool(settings.get("reduce_on_plateau")),
    )
    if config.wants_metric and config.monitor is None:
        raise ConfigurationError(
            f"{name} returned {type(scheduler).__name__}, which follows a logged value, without saying which. "
            f"Return {{'optimizer': ..., 'lr_scheduler': {{'scheduler': ..., 'monitor': 'val_loss'}}}}."
        )
    return config


def _described(found: Any) -> str:
    if isinstance(found, list | tuple | dict):
        return (
            str(tree.structure(found))
            if not found
            else f"{type(found).__name__} of "
            + ", ".join(
                f"{key!r}: {type(value).__name__}" if isinstance(found, dict) else type(value).__name__
                for key, value in (found.items() if isinstance(found, dict) else enumerate(found))
            )
        )
    return type(found).__name__
