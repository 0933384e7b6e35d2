"""What a forward pass changes besides its state: running statistics and random generators of an engine's modules."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt.nn.native import modules_of, named_tensors_of, parameters_of
from tbptt.ownership import owner_of_module
from tbptt.protocols import Backend


class Effects:
    """Saved where a state is kept, and put back where steps run again, so that they do the same again and leave nothing behind.

    Args:
        model: whose they are.
        backend: the engine.
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        trained = {id(parameter) for parameter in parameters_of(model)}
        self._interop, self._tensors = backend.interop, backend.tensors
        self._buffers = [value for _, value in named_tensors_of(model) if id(value) not in trained]
        self._draws = any(owner_of_module(part) is not None for part in modules_of(model))

    def save(self) -> Any:
        """All of it, as `restore` takes it."""
        values = [np.array(self._tensors.to_numpy(buffer)) for buffer in self._buffers]
        return values, self._interop.random_state() if self._draws else None

    def restore(self, saved: Any) -> None:
        """Put back what was saved."""
        values, drawn = saved
        for buffer, value in zip(self._buffers, values, strict=True):
            self._interop.write(buffer, value)
        if drawn is not None:
            self._interop.set_random_state(drawn)
