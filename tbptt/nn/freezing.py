"""Parameters that are not trained for a while: behind `tbptt.nn.Module.freeze` and `unfreeze`.

Each module remembers the names of what was stopped in it, so that what never was to be trained stays so, and a copy or a
converted module can be thawed as well.
"""

from __future__ import annotations

from typing import Any

from tbptt.backends import backend_of

Holders = list[tuple[Any, dict[str, Any]]]
"""Modules, each with the tensors it holds by name."""


def freeze(holders: Holders) -> None:
    """Stop what is trained, and remember it in the attribute `frozen_names` of the module that holds it."""
    for module, held in holders:
        stopped = []
        for name, value in held.items():
            interop = backend_of(value).interop
            if interop.is_trainable(value):
                interop.set_trainable(value, False)
                stopped.append(name)
        module.frozen_names = (*module.frozen_names, *stopped)


def unfreeze(holders: Holders) -> None:
    """Train again what `freeze` stopped."""
    for module, held in holders:
        for name in module.frozen_names:
            if name in held:
                backend_of(held[name]).interop.set_trainable(held[name], True)
        module.frozen_names = ()
