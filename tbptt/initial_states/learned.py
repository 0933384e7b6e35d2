"""A state that is learned."""

from __future__ import annotations

from typing import Any

from tbptt import backends, dtypes, tree
from tbptt.errors import ConfigurationError
from tbptt.initial_states.given import dtype_of
from tbptt.initial_states.rows import Rows, repeated
from tbptt.nn.module import Module, parameter
from tbptt.types import Tree


class Learned(Module):
    """A state of parameters, learned with the model's.

    Each is one row, which all rows begin with; its gradient is the sum over them. As an attribute of a model its parameters are the
    model's, ``initial_state.values.0`` and so on, in the order of `tbptt.tree.leaves`. Leaves of whole numbers and booleans are not
    learned, and pass as they are given.

    >>> import numpy as np
    >>> from tbptt.initial_states import Learned
    >>> start = Learned((np.zeros((2, 1, 4)), np.zeros((2, 1, 4))))
    >>> [name for name, _ in start.named_parameters()]
    ['values.0', 'values.1']
    >>> [tuple(leaf.shape) for leaf in start(batch_size=3)]
    [(2, 3, 4), (2, 3, 4)]

    Args:
        values: a tree of arrays or tensors with one row, to start learning from. Parameters are taken as they are.
        batch_axis: where that row is: an axis for every leaf that has it, or a tree like the values with an axis for each leaf,
            None for leaves without rows. By default it is axis 1 of a leaf of three axes or more if that has length 1, else axis 0.

    Raises:
        ShapeError: if a leaf has not one row there.
        ConfigurationError: for a wrong `batch_axis`, or if there is nothing to learn.
        StructureError: if `batch_axis` is a tree that does not fit.
    """

    def __init__(self, values: Tree, batch_axis: int | Tree = None) -> None:
        self._rows = Rows(values, batch_axis)
        self._axes = self._rows.axes(1)
        self.values = [_learnable(leaf) for leaf in tree.leaves(values)]
        self._become_tensors = [dtype_of(leaf) is not None for leaf in self.values]
        if not self.parameters():
            raise ConfigurationError(
                f"There is nothing to learn in the state {self._rows}. Expected a tree with arrays of floats, one row each, as in "
                f"Learned(numpy.zeros((layers, 1, units))); a shape alone is a tuple of numbers. For a fixed state take Given."
            )

    def __call__(self, batch_size: int) -> Tree:
        """The state in `batch_size` rows."""
        return super().__call__(
            batch_size=batch_size
        )  # which takes anything; what an initial state takes is read off it

    def forward(self, batch_size: int) -> Tree:
        """The state in `batch_size` rows, attached to the parameters."""
        return self._rows.rebuilt(
            repeated(leaf, axis, batch_size) if is_tensor else leaf
            for leaf, axis, is_tensor in zip(self.values, self._axes, self._become_tensors, strict=True)
        )

    def extra_repr(self) -> str:
        return str(self._rows)


def _learnable(leaf: Any) -> Any:
    """A parameter for floats, unless it is one; everything else as it is."""
    owner = backends.owner_of(leaf)
    if dtype_of(leaf) not in dtypes.FLOATS or (owner is not None and owner.tensors.is_parameter(leaf)):
        return leaf
    return parameter(leaf if owner is None else owner.tensors.to_numpy(leaf))
