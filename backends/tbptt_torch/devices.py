"""Devices under torch: ``cpu`` and ``gpu:0``, ``gpu:1``, ... for what torch calls ``cuda:0``, ``cuda:1``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from tbptt.memory import anonymous_memory


def available() -> list[str]:
    """Every device of this machine, ``cpu`` first."""
    return ["cpu", *(f"gpu:{index}" for index in range(torch.cuda.device_count()))]


def place(x: torch.Tensor, device: str) -> torch.Tensor:
    """The tensor on that device; the same object where it already is there."""
    return x.to(_native(device), non_blocking=True)


def device_of(x: torch.Tensor) -> str:
    """The name of the device the tensor lives on."""
    return "cpu" if x.device.type == "cpu" else f"gpu:{x.device.index or 0}"


def scope(device: str) -> AbstractContextManager[Any]:
    """Tensors created inside live on that device."""
    return torch.device(_native(device))


def memory_used(device: str) -> int:
    """Bytes held there now; for ``cpu`` the process' anonymous resident memory."""
    return anonymous_memory() if device == "cpu" else torch.cuda.memory_allocated(_native(device))


def synchronize(device: str) -> None:
    """Return when everything asked of the device has been done."""
    if device != "cpu":
        torch.cuda.synchronize(_native(device))


def _native(device: str) -> str:
    return device.replace("gpu", "cuda")
