"""A state that another row ended with."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from tbptt import clock, ops, tree
from tbptt.errors import ConfigurationError
from tbptt.initial_states.rows import Rows
from tbptt.nn.module import Module
from tbptt.types import Tree


class OtherRow(Module):
    """The state with which another row of the batch before ended: row r begins with that of row (r + shift) modulo the rows.

    A model so meets states it has brought about itself, and none that belongs to the row at hand.

    >>> import numpy as np
    >>> from tbptt import ops
    >>> from tbptt.initial_states import Given, OtherRow
    >>> start = OtherRow(otherwise=Given(np.zeros((1, 1))))
    >>> ended = ops.asarray([[1.0], [2.0], [3.0]])
    >>> ops.to_numpy(start(batch_size=3, previous=ended)).ravel()
    array([2., 3., 1.], dtype=float32)
    >>> ops.to_numpy(start(batch_size=2, previous=ended)).ravel()
    array([0., 0.], dtype=float32)

    Args:
        otherwise: the initial state where there is no batch before, or it had another number of rows; None: no state, which a
            model takes for its zeros.
        shift: how far the other row is.
        batch_axis: where rows are, as in `tbptt.reset_rows`.

    Raises:
        ConfigurationError: if `shift` is no whole number, or `otherwise` cannot be called.
    """

    def __init__(
        self, otherwise: Callable[..., Tree] | None = None, shift: int = 1, batch_axis: int | Tree = None
    ) -> None:
        if isinstance(shift, bool) or not isinstance(shift, int):
            raise ConfigurationError(f"shift is a whole number of rows; received {shift!r}.")
        if otherwise is not None and not callable(otherwise):
            raise ConfigurationError(
                f"otherwise is an initial state, a callable like Learned(...), or None; received {type(otherwise).__name__}. "
                f"For a state that is given as it is, write otherwise=Given(state)."
            )
        self.otherwise, self.shift, self.batch_axis = otherwise, shift, batch_axis
        self._wanted = (
            tuple(inspect.signature(getattr(otherwise, "forward", otherwise)).parameters) if otherwise else ()
        )

    def __call__(self, batch_size: int, previous: Tree = None, origin: clock.Origin | None = None) -> Tree:
        """The state in `batch_size` rows."""
        return super().__call__(batch_size=batch_size, previous=previous, origin=origin)

    def forward(self, batch_size: int, previous: Tree = None, origin: clock.Origin | None = None) -> Tree:
        """The state in `batch_size` rows; `origin` is for `otherwise`.

        Raises:
            ShapeError: if rows of `previous` may be on either of two axes.
        """
        axes = [] if previous is None else Rows(previous, self.batch_axis).matching(batch_size)
        if any(axis is not None for axis in axes):
            leaves, structure = tree.flatten(previous)
            return tree.unflatten(
                structure,
                [
                    leaf if axis is None else ops.roll(leaf, -self.shift, axis=axis)
                    for leaf, axis in zip(leaves, axes, strict=True)
                ],
            )
        if self.otherwise is None:
            return None
        known = {"batch_size": batch_size, "previous": previous, "origin": origin}
        return self.otherwise(**{name: value for name, value in known.items() if name in self._wanted})

    def extra_repr(self) -> str:
        return f"shift={self.shift}"
