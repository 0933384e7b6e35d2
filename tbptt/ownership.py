"""Which engine something belongs to that is no tensor: a module of its own kind, a parameter in a shell."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt import backends
from tbptt.protocols import Backend

_NOBODYS = (str, int, float, np.ndarray, type(None))
_asked: set[type] = set()


def owner_of_module(value: Any) -> Backend | None:
    """The engine whose own kind of module this is (`torch.nn.Module`, `keras.layers.Layer`); None for everything else.

    >>> import tbptt
    >>> from tbptt import ownership
    >>> ownership.owner_of_module(tbptt.nn.Linear(2, 3)) is None
    True
    """
    if isinstance(value, _NOBODYS):
        return None
    _load_engines(type(value))
    return next((backend for backend in backends.loaded() if backend.interop.is_native_module(value)), None)


def unwrap_parameter(value: Any) -> Any:
    """The parameter inside an engine's shell (`keras.Variable`); everything else as it is.

    >>> from tbptt import ownership
    >>> ownership.unwrap_parameter(3)
    3
    """
    if isinstance(value, _NOBODYS) or backends.owner_of(value) is not None:
        return value
    _load_engines(type(value))
    for backend in backends.loaded():
        value = backend.interop.unwrap_parameter(value)
    return value


def _load_engines(kind: type) -> None:
    # Something of an engine which is not the current one, like a Keras model where torch is, says so by its ancestors:
    # they lie in the package that the engine is registered under.
    if kind not in _asked:
        roots = {ancestor.__module__.partition(".")[0] for ancestor in kind.__mro__}
        for name in roots & set(backends.registered()) & set(backends.installed()):
            backends.load(name)
        _asked.add(kind)
