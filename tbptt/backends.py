"""Which engine: the registry of backends, the choice among them, and which engine a tensor belongs to.

The choice, in this order: `use_backend`, the variable ``TBPTT_BACKEND`` (a registered name or ``module:attribute``), the only
installed engine, torch. Nothing is imported before something is needed; the variables are read when they are needed, too.
The device likewise: ``TBPTT_DEVICE`` (``cpu``, ``gpu``, ``gpu:1``, ``cuda:1``), else the first GPU the engine sees, else ``cpu``.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from tbptt.errors import BackendImportError, BackendNotInstalledError, DeviceError, UnknownBackendError
from tbptt.protocols.backend import Backend

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "tbptt.backends"
PREFERRED = "torch"

_loaded: dict[str, Backend] = {}
_device: str | None = None
_chosen: list[Backend] = []  # a stack: use_backend pushes, leaving its context pops
owners: dict[type, Backend | None] = {}  # by type, what is no tensor included
_NOBODYS = frozenset((np.ndarray, np.memmap, bool, int, float, str, type(None)))


@functools.cache
def registered() -> dict[str, EntryPoint]:
    """Every backend that announces itself in the entry-point group ``tbptt.backends``, by name, installed or not."""
    from importlib.metadata import entry_points  # slow to import, and first needed when an engine is

    return {point.name: point for point in entry_points(group=GROUP)}


def missing_requirements(point: EntryPoint) -> list[str]:
    """What the backend's distribution requires under the extra of the backend's name and is not importable here.

    This is how a backend says which framework it stands on, and how it is asked without importing it.
    """
    return [name for name in requirements_of(point.name) if importlib.util.find_spec(name.replace("-", "_")) is None]


def requirements_of(name: str) -> list[str]:
    """Distributions that the backend of that name says it stands on; nothing for one that is not registered."""
    point = registered().get(name)
    texts = (point.dist.requires if point is not None and point.dist is not None else None) or []
    extra = re.compile(rf"extra\s*==\s*['\"]{re.escape(name)}['\"]")
    return [re.split(r"[\s\[<>=!~;(]", text, maxsplit=1)[0] for text in texts if extra.search(text)]


def installed() -> list[str]:
    """Names of the registered backends whose framework is here, in the order in which they can be imported together."""
    return in_order(name for name, point in registered().items() if not missing_requirements(point))


def in_order(names: Iterable[str]) -> list[str]:
    """Engines in the order in which several are imported: torch before others, whose libraries want it so.

    >>> from tbptt import backends
    >>> backends.in_order(["tensorflow", "torch"])
    ['torch', 'tensorflow']
    """
    return sorted(names, key=lambda name: (name != PREFERRED, name))


class use_backend(AbstractContextManager[Backend]):  # noqa: N801  (reads as a verb, like contextlib.suppress)
    """Choose the engine: from here on, or inside a ``with`` block.

    >>> import tbptt
    >>> with tbptt.use_backend("torch") as backend:
    ...     backend.name
    'torch'

    Args:
        backend: a registered name, ``"module:attribute"``, or a `Backend` record.

    Raises:
        UnknownBackendError, BackendNotInstalledError, BackendImportError: before anything has changed.
    """

    def __init__(self, backend: str | Backend) -> None:
        record = backend if isinstance(backend, Backend) else load(backend)
        if record is backend:
            owners.clear()  # it may own tensors that were nobody's until now
        self._backend = dataclasses.replace(record, reason=f"tbptt.use_backend({record.name!r})")
        _chosen.append(self._backend)

    def __enter__(self) -> Backend:
        return self._backend

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for index in range(len(_chosen) - 1, -1, -1):
            if _chosen[index] is self._backend:
                del _chosen[index]
                break


def current_backend() -> Backend:
    """The engine new tensors and modules are made on; its `reason` says why it is this one.

    Raises:
        UnknownBackendError, BackendNotInstalledError, BackendImportError: if ``TBPTT_BACKEND`` names what cannot be had.
    """
    if _chosen:
        return _chosen[-1]
    asked = os.environ.get("TBPTT_BACKEND", "").strip()
    key = f"TBPTT_BACKEND={asked}"
    if key not in _loaded:
        _loaded[key] = _choose(asked)
    return _loaded[key]


def _choose(asked: str) -> Backend:
    if asked:
        return dataclasses.replace(load(asked), reason=f"the environment says TBPTT_BACKEND={asked}")
    here = installed()
    if len(here) == 1:
        return dataclasses.replace(load(here[0]), reason=f"{here[0]} is the only engine installed")
    return dataclasses.replace(
        load(PREFERRED),
        reason=f"{PREFERRED} is the default where several engines are installed ({', '.join(sorted(here))})",
    )


def check(name: str) -> None:
    """Nothing, if there is such a backend and what it stands on; it is not imported.

    Raises:
        UnknownBackendError, BackendNotInstalledError: else.
    """
    if ":" not in name:
        _point(name)
    elif not all(name.split(":", 1)):
        raise UnknownBackendError(
            f"The backend {name!r} is neither a registered name nor 'module:attribute' (as in 'my_package.engine:backend')."
        )


def load(name: str) -> Backend:
    """The backend of that name (registered, or ``module:attribute``), imported once."""
    if name not in _loaded:
        check(name)
        _loaded[name] = _import(name, name if ":" in name else registered()[name].value)
        owners.clear()
    return _loaded[name]


def _point(name: str) -> EntryPoint:
    """What registered that name, if what it needs is here."""
    points = registered()
    if name not in points:
        here = set(installed())
        listing = ", ".join(f"{n} ({'installed' if n in here else 'not installed'})" for n in sorted(points))
        raise UnknownBackendError(
            f"There is no backend named {name!r}. Registered here: {listing or 'none'}. "
            f"Choose one of these with TBPTT_BACKEND or tbptt.use_backend, or name your own as 'module:attribute'."
        )
    point = points[name]
    missing = missing_requirements(point)
    if missing:
        distribution = point.dist.name if point.dist is not None else name
        raise BackendNotInstalledError(
            f"The backend {name!r} needs {', '.join(missing)}, which is not installed. "
            f"Install it with:  pip install '{distribution}[{name}]'"
        )
    return point


def _import(name: str, target: str) -> Backend:
    module, _, attribute = target.partition(":")
    try:
        record: Any = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a plug-in raises while it is imported, its name belongs in the message
        raise BackendImportError(
            f"The backend {name!r} could not be imported from {target!r}: {type(error).__name__}: {error}. "
            f"The framework it needs may be broken or too old; the plug-in's own error is shown above."
        ) from error
    if not isinstance(record, Backend):
        raise BackendImportError(
            f"The backend {name!r} ({target!r}) is a {type(record).__name__}, not a tbptt.protocols.Backend record."
        )
    return record


def loaded() -> list[Backend]:
    """The backends that have been imported, and the current one."""
    return [current_backend(), *_loaded.values()]


def owner_of(value: Any) -> Backend | None:
    """The engine whose tensor this is; None for NumPy arrays, numbers and everything else."""
    kind = type(value)
    if kind in _NOBODYS:  # asked before any engine is needed, too
        return None
    try:
        return owners[kind]
    except KeyError:
        pass
    root = kind.__module__.partition(".")[0]
    if root in registered() and root in installed():
        load(root)  # somebody else's tensors count too: a torch DataLoader feeds TensorFlow
    for backend in loaded():
        if backend.tensors.is_tensor(value):
            owners[kind] = backend
            return backend
    owners[kind] = None
    return None


def backend_of(*values: Any) -> Backend:
    """The engine that owns the first tensor among the values (one level into lists and tuples), else the current one."""
    for value in values:
        for item in value if isinstance(value, list | tuple) else (value,):
            backend = owner_of(item)
            if backend is not None:
                return backend
    return current_backend()


@contextmanager
def device_scope(device: str) -> Iterator[None]:
    """Inside the block new tensors live on this device, whatever ``TBPTT_DEVICE`` says.

    >>> from tbptt import backends
    >>> with backends.device_scope("cpu"):
    ...     backends.current_device()
    'cpu'
    """
    global _device
    before, _device = _device, device
    try:
        yield
    finally:
        _device = before


def current_device(backend: Backend | None = None) -> str:
    """The device new tensors live on: ``cpu``, ``gpu:0``, ...

    Raises:
        DeviceError: if ``TBPTT_DEVICE`` names a device this machine or engine does not have.
    """
    backend = backend or current_backend()
    if _device is not None:
        return _device
    asked = os.environ.get("TBPTT_DEVICE", "").strip().lower()
    return find_device(asked, backend)


def find_device(name: str, backend: Backend) -> str:
    """The engine's device for a name as people write it (``gpu``, ``cuda:1``); the best there is for an empty name."""
    available = backend.devices.available()
    if not name:
        return next((device for device in available if device != "cpu"), "cpu")
    kind, _, index = name.replace("cuda", "gpu").partition(":")
    wanted = "cpu" if kind == "cpu" and index in ("", "0") else f"{kind}:{index or 0}"
    if wanted not in available:
        raise DeviceError(
            f"There is no device {name!r} on this machine under {backend.name}. Available: {', '.join(available)}. "
            f"Set TBPTT_DEVICE to one of these, or leave it unset for {available[-1] if len(available) < 2 else available[1]!r}."
        )
    return wanted
