"""Compiling under torch: eager unless asked, then `torch.compile`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException


class _Eager:
    """The function itself."""

    road = "eager"
    traces = 0
    bakes_numbers = False

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Compiled:
    """`torch.compile` of the function; the function itself from the first time the compiler fails."""

    bakes_numbers = True

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._plain = function
        self._name = name
        self._function: Callable[..., Any] = torch.compile(self._counted, dynamic=False)
        self.traces = 0
        self.road = "torch.compile"

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._function(*arguments)
        except TorchDynamoException as error:
            # The compiler fails before a graph has run, so nothing has been updated yet.
            reason = str(error).strip().splitlines()[0]
            warnings.warn(
                f"torch.compile cannot compile {self._name} and it runs eagerly instead: {reason}", stacklevel=2
            )
            self.road, self._function = "eager", self._plain
            return self._function(*arguments)

    def _counted(self, *arguments: Any) -> Any:
        if torch.compiler.is_compiling():
            self._count()
        return self._plain(*arguments)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch's own is not typed
    def _count(self) -> int:
        self.traces += 1  # assumed constant, so it runs once a trace and leaves no mark in the graph
        return self.traces


def compile(function: Callable[..., Any], mode: bool | str, name: str) -> _Eager | _Compiled:
    """Turn a function of trees of tensors into a compiled one: `mode` True compiles, ``"auto"`` and False stay eager."""
    return _Compiled(function, name) if mode is True else _Eager(function)


def set_deterministic(enabled: bool, warn_only: bool = False) -> None:
    """`torch.use_deterministic_algorithms`, and cuDNN's: no trials of which algorithm is fastest, either."""
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses cuBLAS' matrix products
        torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = enabled
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)


def set_float32_matmul_precision(precision: str) -> None:
    """`torch.set_float32_matmul_precision`, and cuDNN's own switch, which torch leaves on."""
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = precision != "highest"


def is_tracing() -> bool:
    """Whether Python is being traced now, so that values cannot be read."""
    return torch.compiler.is_compiling()
