"""Dropout whose mask says what it is a function of: seed, layer, epoch, row, absolute time, unit."""

from __future__ import annotations

import math
from typing import Any

from tbptt import clock, ops, random
from tbptt.backends import backend_of
from tbptt.errors import ConfigurationError
from tbptt.nn.module import Module
from tbptt.types import Tensor


class Dropout(Module):
    """While training, zero each element with probability `p` and scale the others by 1/(1 − p).

    The mask depends on where the window lies in epoch, rows and time, not on how the sequence is cut nor on what was drawn before:
    both engines drop the same units, and a window that is computed again drops them again. Outside a window
    (`tbptt.windows`, the trainer) every call counts as one of its own.

    Inputs are (rows, time, ..., units), or (rows, units). `time_major` means (time, rows, ..., units).

    >>> import tbptt
    >>> layer = tbptt.nn.Dropout(0.5)
    >>> tuple(layer(tbptt.ops.ones((2, 3, 4))).shape)
    (2, 3, 4)
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise ConfigurationError(f"p is the probability to drop a unit, at least 0 and below 1; received {p!r}.")
        self.p = p
        self._key = random.layer_key()
        self._calls = 0

    def forward(self, inputs: Tensor, time_major: bool = False) -> Tensor:
        """The same shape."""
        if not self.training or self.p == 0:
            return inputs
        origin = clock.now()
        if origin is None:
            origin = clock.Origin(epoch=self._calls, row=0, time=0)
            self._calls += 1
        shape = ops.shape(inputs)
        rows, steps, units = _extent(shape, time_major)
        keep = random.keep_mask(self._key, origin, rows, steps, units, self.p, time_major, backend_of(inputs))
        scale = ops.multiply(ops.astype(ops.reshape(keep, shape), ops.dtype(inputs)), 1 / (1 - self.p))
        return ops.multiply(inputs, scale)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _extent(shape: tuple[int | Tensor, ...], time_major: bool) -> tuple[Any, Any, Any]:
    """(rows, steps, units) of a tensor of that shape; one row or one step where it has no such axis."""
    if len(shape) < 3:
        return math.prod(shape[:-1]), 1, math.prod(shape[-1:])
    rows, steps = (shape[1], shape[0]) if time_major else shape[:2]
    return rows, steps, math.prod(shape[2:])
