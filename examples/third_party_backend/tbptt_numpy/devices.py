"""Devices: there is one, ``cpu``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tbptt.memory import anonymous_memory


def available() -> list[str]:
    """Every device of this machine."""
    return ["cpu"]


def place(x: Any, device: str) -> Any:
    """The tensor on that device, where it already is."""
    return x


def device_of(x: Any) -> str:
    """The name of the device the tensor lives on."""
    return "cpu"


def scope(device: str) -> AbstractContextManager[Any]:
    """Tensors created inside live on that device."""
    return nullcontext()


def memory_used(device: str) -> int:
    """The process' anonymous resident memory."""
    return anonymous_memory()


def synchronize(device: str) -> None:
    """Return when everything asked of the device has been done, as it has."""
