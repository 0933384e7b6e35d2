"""What schedulers are given, checked, and turned into Python's own numbers, which JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from tbptt.errors import ConfigurationError
from tbptt.optim.base import Optimizer


def checked_optimizer(optimizer: Any, scheduler: str) -> Optimizer:
    """The optimizer, if a scheduler can set its rates.

    Raises:
        ConfigurationError: if it is no optimizer of this library, or a rate of it is a function.
    """
    if not isinstance(optimizer, Optimizer):
        raise ConfigurationError(
            f"{scheduler} sets the rates of an optimizer of tbptt.optim; received a {type(optimizer).__module__}."
            f"{type(optimizer).__qualname__}."
        )
    current_rates(optimizer, scheduler)
    return optimizer


def current_rates(optimizer: Optimizer, scheduler: str) -> list[float]:
    """The rate of each group.

    Raises:
        ConfigurationError: if one is a function.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for i, rate in enumerate(rates):
        if callable(rate):
            raise ConfigurationError(
                f"The lr of parameter group {i} is a function of the step, and {scheduler} would set it too. Choose one: "
                f"give the optimizer a number, for example lr=1e-3, or make no scheduler."
            )
    return [float(rate) for rate in rates]


def whole(name: str, value: Any, least: int) -> int:
    """A whole number from `least` up, or ConfigurationError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; expected a whole number of at least {least}.")
    return int(value)


def number(name: str, value: Any, allowed: Callable[[float], bool], expected: str) -> float:
    """A finite number that is allowed, or ConfigurationError, which says that it should be "a number {expected}"."""
    if not isinstance(value, Real) or not math.isfinite(value) or not allowed(float(value)):
        raise ConfigurationError(f"{name} is {value!r}; expected a number {expected}.")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """A finite number from 0 up, or ConfigurationError."""
    return number(name, value, lambda x: x >= 0, "of 0 or more")


def per_group(name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A list as it is, anything else once for each parameter group; ConfigurationError if the list does not fit."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * groups
    if len(value) != groups:
        raise ConfigurationError(
            f"{name} has {len(value)} entries, the optimizer {groups} parameter groups. Give one for each, or one for all."
        )
    return list(value)


def one_of(name: str, value: Any, *choices: str) -> str:
    """One of these words, or ConfigurationError."""
    if value not in choices:
        raise ConfigurationError(f"{name} is {value!r}; expected {' or '.join(map(repr, choices))}.")
    return str(value)
