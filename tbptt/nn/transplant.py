"""A copy of a module on another engine: behind `tbptt.nn.Module.to_torch`, `to_tensorflow` and `export`.

Layers are written once, in the core, on functions that go by the engine of their arguments. So a module is on another engine as
soon as its parameters are; everything else of it is copied as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from tbptt import backends, tree
from tbptt.errors import ModuleProtocolError
from tbptt.nn import moving
from tbptt.nn.module import Module
from tbptt.ownership import owner_of_module, unwrap_parameter
from tbptt.protocols import Backend
from tbptt.types import Tensor

_LEFT_BEHIND = ("_trainer",)
"""Attributes that have no place in a copy: the trainer a `tbptt.Module` is with, and all that hangs on it."""


def view(module: Module, engine: str) -> Any:
    """The engine's own kind of module around a copy of this one.

    >>> import tbptt
    >>> from tbptt.nn.transplant import view
    >>> sorted(view(tbptt.nn.Linear(2, 3), "torch").state_dict())
    ['bias', 'weight']

    Raises:
        UnknownBackendError, BackendNotInstalledError: if the engine is not here.
        ModuleProtocolError: if the module cannot be copied, or the engine has no module of its own kind.
    """
    backend = backends.load(engine)
    return backend.interop.view(transplanted(module, backend))


def transplanted(module: Module, backend: Backend) -> Module:
    """A copy of a module whose tensors are another engine's, or the same one's.

    Parameters keep their values, dtypes, names, whether they are trained, and which of them are shared. Other tensors among the
    attributes become the engine's too; arrays, and objects that cannot be copied (open files, locks), are shared with the original.

    >>> import tbptt
    >>> from tbptt import backends
    >>> from tbptt.nn.transplant import transplanted
    >>> layer = tbptt.nn.Linear(2, 3)
    >>> copy = transplanted(layer, backends.load("torch"))
    >>> copy.backend.name, copy.weight is layer.weight
    ('torch', False)

    Raises:
        ModuleProtocolError: if part of it is a native module of another engine, or one that cannot be copied.
    """
    modules = module.named_modules()
    ours = [part for _, part in modules if isinstance(part, Module)]
    _refuse_foreign(module, modules, backend)
    memo = _converted(module, ours, backend)
    for part in ours:
        memo[id(part)] = type(part).__new__(type(part))
    for name, part in modules:
        if not isinstance(part, Module) and id(part) not in memo:
            memo[id(part)] = _native_copy(name, part, memo)
    for part in ours:
        for name, value in vars(part).items():
            vars(memo[id(part)])[name] = None if name in _LEFT_BEHIND else _copied(value, memo)
    return memo[id(module)]  # type: ignore[no-any-return]


def exchange(module: Module, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Put new tensors where a module, and everything below it, holds old ones in its attributes.

    >>> import tbptt
    >>> from tbptt.nn.transplant import exchange
    >>> layer, other = tbptt.nn.Linear(2, 3), tbptt.nn.Linear(2, 3)
    >>> exchange(layer, [(layer.weight, other.weight)])
    >>> layer.weight is other.weight
    True
    """
    converted = {id(old): (old, new) for old, new in pairs}
    for part in module.modules():
        if isinstance(part, Module):
            vars(part).update({name: moving.replaced(value, converted) for name, value in vars(part).items()})


def _refuse_foreign(module: Module, modules: list[tuple[str, Any]], backend: Backend) -> None:
    owners = {name: owner_of_module(part) for name, part in modules if not isinstance(part, Module)}
    foreign = [f"{name} ({owner.name})" for name, owner in owners.items() if owner and owner.name != backend.name]
    if foreign:
        raise ModuleProtocolError(
            f"{type(module).__name__} cannot be copied to {backend.name}: it has modules of another engine's own kind, "
            f"{', '.join(foreign)}. Use tbptt.nn layers in their place, and bring the weights over with tbptt.interop."
        )


def _converted(module: Module, ours: list[Module], backend: Backend) -> dict[int, Any]:
    """New tensors by the identity of the old ones, as `copy.deepcopy` wants to be told; arrays as they are."""
    names = {id(value): name for name, value in (*module.named_parameters(), *module.named_buffers())}
    memo: dict[int, Any] = {}
    for part in ours:
        held = {name: value for name, value in vars(part).items() if name not in _LEFT_BEHIND}
        for leaf in tree.leaves(held):
            if isinstance(leaf, np.ndarray):
                memo[id(leaf)] = leaf
                continue
            value = unwrap_parameter(leaf)
            owner = backends.owner_of(value)
            if owner is None:
                continue
            if id(value) not in memo:
                memo[id(value)] = _tensor(value, owner, backend, names.get(id(value)))
            memo[id(leaf)] = memo[id(value)]
    return memo


def _tensor(value: Any, owner: Backend, backend: Backend, name: str | None) -> Any:
    device = owner.devices.device_of(value)
    if device not in backend.devices.available():
        device = "cpu"
    # A copy, since some engines' tensors lie in the memory of the array they are made of.
    array = np.array(owner.tensors.to_numpy(value))
    new = backend.tensors.asarray(array, dtype=owner.tensors.dtype(value), device=device)
    if not owner.tensors.is_parameter(value):
        return new
    trainable = owner.interop.is_trainable(value)
    return backend.tensors.parameter(new, name=name, trainable=trainable, device=device)


def _native_copy(name: str, part: Any, memo: dict[int, Any]) -> Any:
    try:
        return copy.deepcopy(part, memo)
    except Exception as error:  # whatever the engine's own, or its user's, class raises
        raise ModuleProtocolError(
            f"{name or 'The module'}, a {type(part).__module__}.{type(part).__name__}, cannot be copied: "
            f"{type(error).__name__}: {error}. Views and exports are copies; hold tbptt.nn layers, or a module that "
            f"copy.deepcopy takes."
        ) from error


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    attempt = dict(memo)  # one that fails on the way leaves halves of objects behind
    try:
        copied = copy.deepcopy(value, attempt)
    except Exception:  # whatever it raises: what cannot be copied is shared, and what stands beside it is copied
        if isinstance(value, dict):
            return {key: _copied(item, memo) for key, item in value.items()}
        if isinstance(value, list | tuple):
            items = [_copied(item, memo) for item in value]
            return items if isinstance(value, list) else getattr(type(value), "_make", tuple)(items)
        return value
    memo.update(attempt)
    return copied
