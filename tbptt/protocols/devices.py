"""What an engine promises about devices. A device is named ``cpu``, ``gpu:0``, ``gpu:1``, ... on every engine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from tbptt.types import Tensor


class Devices(Protocol):
    """The module ``devices`` of an adapter."""

    def available(self) -> list[str]:
        """Every device of this machine, ``cpu`` first."""
        ...

    def place(self, x: Tensor, device: str) -> Tensor:
        """The tensor on that device; the same object where it already is there."""
        ...

    def device_of(self, x: Tensor) -> str:
        """The name of the device the tensor lives on."""
        ...

    def scope(self, device: str) -> AbstractContextManager[Any]:
        """Tensors created inside live on that device."""
        ...

    def memory_used(self, device: str) -> int:
        """Bytes the engine holds there now; for ``cpu`` the process' anonymous resident memory."""
        ...

    def synchronize(self, device: str) -> None:
        """Return when everything asked of the device has been done."""
        ...
