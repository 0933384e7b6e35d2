"""Compilation: there is none, so every function runs as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any


class _Eager:
    """The function itself."""

    road = "eager"
    traces = 0
    bakes_numbers = False

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


def compile(function: Callable[..., Any], mode: bool | str, name: str) -> _Eager:
    """The function as it is; a warning where somebody asked for more."""
    if mode is True:
        warnings.warn(f"NumPy has no compiler: {name} runs eagerly instead.", stacklevel=2)
    return _Eager(function)


def set_deterministic(enabled: bool, warn_only: bool = False) -> None:
    """Nothing to do: the same inputs give the same bits anyway."""


def set_float32_matmul_precision(precision: str) -> None:
    """Nothing to do: no shorter format is used."""


def is_tracing() -> bool:
    """Whether Python is being traced now: never."""
    return False
