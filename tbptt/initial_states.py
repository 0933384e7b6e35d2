"""The state that rows begin with: given, learned, drawn, or the one another row ended with.

A model's attribute ``initial_state`` may be any callable that returns such a state, a tree. It is called with the arguments that it
names out of these, inside the step that is recorded and compiled:

    batch_size    rows
    previous      the state with which the batch before ended, cut from its past; None where there was none
    origin        `tbptt.clock.Origin`: where in epoch, rows and time the rows begin

Here are the usual ones. Their rows are where `tbptt.reset_rows` looks for them: on axis 1 of a leaf of three axes or more, (layers,
batch, units), else on axis 0, unless ``batch_axis=`` says otherwise. Plain numbers, and what is no number, pass as they are.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from tbptt import backends, clock, dtypes, ops, random, tree
from tbptt.autodiff import stop_gradient
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.nn.module import Module, parameter
from tbptt.types import DType, Tensor, Tree


class _Rows:
    """A state without its values: where the rows of its leaves are."""

    def __init__(self, state: Tree, batch_axis: int | Tree) -> None:
        leaves, self._structure = tree.flatten(state)
        self._names = tree.paths(state, "state")
        self._shapes = [_shape(leaf) for leaf in leaves]
        self._named = None if batch_axis is None else self._read(state, batch_axis)

    def _read(self, state: Tree, batch_axis: int | Tree) -> list[int | None]:
        axes = [batch_axis] * len(self._shapes)
        if tree.is_node(batch_axis):
            axes = tree.broadcast(batch_axis, state, ("batch_axis", "the state"))
        for index, axis in enumerate(axes):
            if axis is None:
                continue
            if isinstance(axis, bool) or not isinstance(axis, int) or axis < 0:
                raise ConfigurationError(
                    f"batch_axis= holds axes counted from the first, 0, 1, ..., or None; received {axis!r}."
                )
            if axis >= len(self._shapes[index]):
                if tree.is_node(batch_axis):
                    raise ShapeError(
                        f"{self._names[index]} should have its rows on axis {axis}, but its shape is {self._shapes[index]}."
                    )
                axes[index] = None
        return axes

    def axes(self, rows: Any) -> list[int | None]:
        """Of each leaf, the axis of its one row or its `rows` rows; None for one that has none."""

        def fits(length: Any) -> bool:
            return length == 1 or (isinstance(rows, int) and length == rows)

        found = self._named or [
            None if not shape else 1 if len(shape) > 2 and fits(shape[1]) else 0 for shape in self._shapes
        ]
        for name, shape, axis in zip(self._names, self._shapes, found, strict=True):
            if axis is not None and not fits(shape[axis]):
                raise ShapeError(
                    f"{name} of shape {shape} should hold the initial state of one row, or of the {rows} rows of the batch, on "
                    f"axis {axis}. Give it an axis of length 1 there, or say with batch_axis= where its rows are: an axis, or a "
                    f"tree like the state with None for a leaf without rows."
                )
            if self._named is None and axis == 1 and shape[0] != 1 and fits(shape[0]):
                raise _ambiguous(name, shape, rows)
        return found

    def matching(self, rows: int) -> list[int | None]:
        """Of each leaf, the axis of its `rows` rows, None for one that has none; nothing but None if the state has other rows."""
        if any(None in shape for shape in self._shapes):
            raise ShapeError(
                "The rows of the batch before are not known while a program for any number of rows is traced. Make batches equal "
                "(drop_last=True), so that there is one program."
            )
        if self._named is not None:
            pairs = zip(self._shapes, self._named, strict=True)
            if any(axis is not None and shape[axis] != rows for shape, axis in pairs):
                return [None] * len(self._named)
            return self._named
        found: list[int | None] = []
        for name, shape in zip(self._names, self._shapes, strict=True):
            first, second = shape[:1] == (rows,), len(shape) > 2 and shape[1] == rows
            if first and second and rows > 1:
                raise _ambiguous(name, shape, rows)
            # (1, 32, units) before a batch of one row is the state of 32 rows in one layer, not of one row
            found.append(1 if second else 0 if first and (len(shape) < 3 or rows > 1) else None)
        return found

    def rebuilt(self, leaves: Iterable[Any]) -> Tree:
        """The state around these leaves."""
        return tree.unflatten(self._structure, leaves)

    def __str__(self) -> str:
        return ", ".join(f"{name} {shape}" for name, shape in zip(self._names, self._shapes, strict=True))


class _Fixed:
    """What `Given` and `Noise` have in common: a state that does not change."""

    def __init__(self, state: Tree, batch_axis: int | Tree, dtype: Any) -> None:
        self._rows = _Rows(state, batch_axis)
        leaves = tree.leaves(state)
        self._dtypes = [_dtype_of(leaf, dtype) for leaf in leaves]
        # tensors from the start, because torch.compile cannot follow NumPy
        self._leaves = [
            leaf if kind is None else stop_gradient(ops.asarray(leaf, dtype=kind, copy=True))
            for leaf, kind in zip(leaves, self._dtypes, strict=True)
        ]

    def _given(self, index: int, axis: int | None, rows: int) -> Any:
        leaf = self._leaves[index]
        if self._dtypes[index] is None:
            return leaf
        return _repeated(ops.asarray(leaf, device=backends.current_device()), axis, rows)


class Given(_Fixed):
    """The same state every time.

    >>> import numpy as np
    >>> from tbptt import ops
    >>> from tbptt.initial_states import Given
    >>> ops.to_numpy(Given(np.array([[1.0, 2.0]]))(batch_size=3))
    array([[1., 2.],
           [1., 2.],
           [1., 2.]], dtype=float32)

    Args:
        state: a tree of arrays, tensors and numbers with one row, for all, or as many as each batch.
        batch_axis: where the rows are: an axis for every leaf that has it, or a tree like the state with an axis for each leaf,
            None for leaves without rows. By default it is axis 1 of a leaf of three axes or more if that fits, else axis 0.
        dtype: of its floats. By default arrays take the default float dtype, and tensors keep theirs.

    Raises:
        ConfigurationError, StructureError: for a wrong `batch_axis` or `dtype`.
    """

    def __init__(self, state: Tree, batch_axis: int | Tree = None, dtype: Any = None) -> None:
        super().__init__(state, batch_axis, dtype)

    def __call__(self, batch_size: int) -> Tree:
        """The state in `batch_size` rows, as tensors of the current engine with memory of their own.

        Raises:
            ShapeError: if a leaf has neither one row nor that many, or its rows may be on either of two axes.
        """
        axes = self._rows.axes(batch_size)
        return self._rows.rebuilt([self._given(index, axis, batch_size) for index, axis in enumerate(axes)])

    def __repr__(self) -> str:
        return f"Given({self._rows})"


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
        self._rows = _Rows(values, batch_axis)
        self._axes = self._rows.axes(1)
        self.values = [_learnable(leaf) for leaf in tree.leaves(values)]
        self._become_tensors = [_dtype_of(leaf) is not None for leaf in self.values]
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
            _repeated(leaf, axis, batch_size) if is_tensor else leaf
            for leaf, axis, is_tensor in zip(self.values, self._axes, self._become_tensors, strict=True)
        )

    def extra_repr(self) -> str:
        return str(self._rows)


class Noise(_Fixed):
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
        axes = [] if previous is None else _Rows(previous, self.batch_axis).matching(batch_size)
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


def _dtype_of(leaf: Any, dtype: Any = None) -> DType | None:
    """Of the tensor that a leaf becomes, None if it passes as it is. `dtype` is for floats; without it arrays take the default."""
    owner = backends.owner_of(leaf)
    if owner is None and getattr(getattr(leaf, "dtype", None), "kind", None) not in ("b", "i", "u", "f"):
        return None
    own = dtypes.name_of(leaf.dtype) if owner is None else owner.tensors.dtype(leaf)
    if own not in dtypes.FLOATS:
        return own
    if dtype is None:
        return dtypes.default_dtype() if owner is None else own
    name = dtypes.name_of(dtype)
    if name not in dtypes.FLOATS:
        raise ConfigurationError(f"dtype= is a floating dtype, one of {', '.join(dtypes.FLOATS)}; received {dtype!r}.")
    return name


def _learnable(leaf: Any) -> Any:
    """A parameter for floats, unless it is one; everything else as it is."""
    owner = backends.owner_of(leaf)
    if _dtype_of(leaf) not in dtypes.FLOATS or (owner is not None and owner.tensors.is_parameter(leaf)):
        return leaf
    return parameter(leaf if owner is None else owner.tensors.to_numpy(leaf))


def _repeated(x: Tensor, axis: int | None, rows: Any) -> Tensor:
    """With that many rows, in memory of its own: models may write into their state, and kernels want it dense."""
    tensors = backends.backend_of(x).tensors
    if axis is not None:
        shape = tuple(x.shape)
        x = tensors.broadcast_to(x, (*shape[:axis], rows, *shape[axis + 1 :]))
    return tensors.asarray(x, copy=True)


def _ambiguous(name: str, shape: tuple[int, ...], rows: int) -> ShapeError:
    return ShapeError(
        f"{name} of shape {shape} could have its rows on axis 0 or on axis 1 in a batch of {rows} rows. Say which with "
        f"batch_axis=: 1 for (layers, batch, units), 0 for (batch, ...), or a tree like the state."
    )


def _shape(leaf: Any) -> tuple[Any, ...]:
    return tuple(getattr(leaf, "shape", ()))
