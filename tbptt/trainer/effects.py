"""What a forward pass changes besides its state: running statistics, and the engine's random generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tbptt.nn.native import named_tensors_of, parameters_of, set_mode
from tbptt.protocols import Backend
from tbptt.trainer.modes import modes_of, restore_modes


class Effects:
    """Saved where a state is kept, and put back where steps run again, so that they do the same again and leave nothing behind.

    Args:
        model: whose they are.
        backend: the engine.
    """

    def __init__(self, model: Any, backend: Backend) -> None:
        trained = {id(parameter) for parameter in parameters_of(model)}
        self._model = model
        self._interop, self._tensors = backend.interop, backend.tensors
        self._buffers = [value for _, value in named_tensors_of(model) if id(value) not in trained]

    def save(self) -> Any:
        """All of it, as `restore` takes it."""
        values = [np.array(self._tensors.to_numpy(buffer)) for buffer in self._buffers]
        return values, self._interop.random_state()

    def restore(self, saved: Any) -> None:
        """Put back what was saved. A buffer that has not changed is left alone: a recorded pass may still need it, and engines
        refuse to go back through what was written to since.
        """
        values, drawn = saved
        for buffer, value in zip(self._buffers, values, strict=True):
            if not np.array_equal(self._tensors.to_numpy(buffer), value):
                self._interop.write(buffer, value)
        self._interop.set_random_state(drawn)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Inside the block the model is in evaluation mode, so that what a step computes depends on no draw and on no other step's
        statistics; afterwards everything is as it was.
        """
        before, modes = self.save(), modes_of(self._model)
        try:
            set_mode(self._model, training=False)
            yield
        finally:
            restore_modes(modes)
            self.restore(before)
