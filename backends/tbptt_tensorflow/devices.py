"""Devices under TensorFlow: ``cpu`` and ``gpu:0``, ``gpu:1``, ... for what it calls ``/GPU:0``, ``/GPU:1``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import tensorflow as tf

from tbptt.memory import anonymous_memory


def available() -> list[str]:
    """Every device of this machine, ``cpu`` first."""
    return ["cpu", *(f"gpu:{index}" for index in range(len(tf.config.list_physical_devices("GPU"))))]


def place(x: Any, device: str) -> Any:
    """The tensor on that device; the same object where it already is there."""
    if device_of(x) == device:
        return x
    with scope(device):
        return tf.identity(x)


def device_of(x: Any) -> str:
    """The name of the device the tensor lives on."""
    native = (getattr(x, "device", "") or "").rpartition("device:")[2]  # "" while a graph is being traced
    return native.lower() if native.startswith("GPU") else "cpu"


def scope(device: str) -> AbstractContextManager[Any]:
    """Tensors created inside live on that device."""
    return tf.device(_native(device))  # type: ignore[no-any-return]


def memory_used(device: str) -> int:
    """Bytes held there now; for ``cpu`` the process' anonymous resident memory."""
    return anonymous_memory() if device == "cpu" else tf.config.experimental.get_memory_info(_native(device))["current"]


def synchronize(device: str) -> None:
    """Return when everything asked of the device has been done."""
    if device != "cpu":
        tf.test.experimental.sync_devices()


def _native(device: str) -> str:
    return "CPU:0" if device == "cpu" else device.upper()
