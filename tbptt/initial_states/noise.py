"""A state that is drawn."""

from __future__ import annotations

import math
from typing import Any

from tbptt import clock, dtypes, ops, random
from tbptt.errors import ConfigurationError
from tbptt.initial_states.given import FixedState
from tbptt.types import Tensor, Tree


class Noise(FixedState):
    """Normal noise, another one for each row, batch, epoch, and step of time at which rows begin.

    It is a function of these, of the seed and of how many layers that draw were made before (`tbptt.random.layer_key`), and of
    nothing else: both engines draw the same numbers, and a window that is computed again draws them again.

    >>> import numpy as np
    >>> from tbptt import clock
    >>> from tbptt.initial_states import Noise
    >>> start = Noise(np.zeros((2, 1, 4)), std=0.1)
    >>> tuple(start(batch_size=3, origin=clock.Origin(epoch=0, row=0, time=0)).shape)
    (2, 3, 4)

    Args:
        like: a tree with the shapes and dtypes of the state; one row is enough. Leaves of whole numbers and booleans, and those
            without rows, are no noise: they begin as they are here.
        std: its standard deviation.
        mean: its mean.
        batch_axis: as in `Given`.
        dtype: as in `Given`.

    Raises:
        ConfigurationError: for a wrong `std`, `mean`, `batch_axis` or `dtype`.
        StructureError: if `batch_axis` is a tree that does not fit.
    """

    def __init__(
        self, like: Tree, std: float = 1.0, mean: float = 0.0, batch_axis: int | Tree = None, dtype: Any = None
    ) -> None:
        if not 0 <= std < math.inf or not math.isfinite(mean):
            raise ConfigurationError(
                f"Noise has a standard deviation from 0 and a mean, both finite; received std={std!r} and mean={mean!r}."
            )
        super().__init__(like, batch_axis, dtype)
        self.std, self.mean = std, mean
        self._key = random.layer_key()

    def __call__(self, batch_size: int, origin: clock.Origin) -> Tree:
        """Noise in `batch_size` rows, the first of them row `origin.row` of the epoch; tensors of the current engine.

        Raises:
            ShapeError: as `Given`.
        """
        axes = self._rows.axes(batch_size)
        return self._rows.rebuilt(
            [
                self._given(index, axis, batch_size)
                if axis is None or self._dtypes[index] not in dtypes.FLOATS
                else self._drawn(index, axis, batch_size, origin)
                for index, axis in enumerate(axes)
            ]
        )

    def _drawn(self, index: int, axis: int, rows: int, origin: clock.Origin) -> Tensor:
        """Noise in the place of a leaf; each leaf has a key of its own."""
        shape = tuple(self._leaves[index].shape)
        units = (*shape[:axis], *shape[axis + 1 :])
        noise = random.normal(random.mix(random.mix(self._key) ^ index), origin, rows, math.prod(units))
        noise = ops.astype(ops.add(ops.multiply(noise, self.std), self.mean), self._dtypes[index])
        return ops.moveaxis(ops.reshape(noise, (rows, *units)), 0, axis)

    def __repr__(self) -> str:
        return f"Noise({self._rows}, std={self.std}, mean={self.mean})"
