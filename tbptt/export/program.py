"""A module as a function of named tensors, found by running it.

Which axes may have any length is found by running it too: once on one more row, once on one more step. What changes its length with
the rows is named ``batch``, with the steps ``time``. (Of a module that is time-major the two names are exchanged.)
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from tbptt import backends, dtypes, tree
from tbptt.errors import ModuleProtocolError
from tbptt.nn.module import Module
from tbptt.protocols import Backend
from tbptt.types import Array, Tensor, Tree

AXES = ("batch", "time")
"""Names of the first axes of inputs."""


class Program:
    """A module and what it takes and returns, leaf by leaf.

    >>> import numpy as np, tbptt
    >>> from tbptt.export.program import Program
    >>> program = Program(tbptt.nn.LSTM(3, 5), tbptt.current_backend(), np.zeros((2, 7, 3)))
    >>> program.input_names, program.output_names
    (('inputs_0', 'state_0', 'state_1'), ('outputs_0', 'next_state_0', 'next_state_1'))
    >>> program.axes
    (('batch', 'time', None), (None, 'batch', None), (None, 'batch', None))

    Args:
        module: in evaluation mode.
        backend: the engine of its parameters.
        inputs: an example of what it takes before the state, a tuple where that is several things. Floats are converted to the
            parameters' dtype.
        state: an example of the state; None: what the module makes of no state.

    Raises:
        ModuleProtocolError: if the module returns no state where it was given one, or one of another structure or shape.
    """

    def __init__(self, module: Module, backend: Backend, inputs: Any, state: Tree = None) -> None:
        self.module, self._backend = module, backend
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        self._floats = self._float_dtype()
        leaves, self._inputs = tree.flatten(given)
        arrays = [self._array(leaf) for leaf in leaves]
        self._takes_state = state is not None or _has_room_for_state(module, len(given))
        outputs, first = self._divided(self._call(arrays, state))
        start = first if state is None else state
        self._state = tree.structure(start)
        states = [self._array(leaf) for leaf in tree.leaves(start)]
        self._check_returns(states, self._divided(self._call(arrays, self._tree(states)))[1])
        self._examples = arrays + states
        self.input_names = _numbered("inputs", arrays) + _numbered("state", states)
        self.output_names = _numbered("outputs", tree.leaves(outputs)) + _numbered("next_state", states)
        named = [[None] * array.ndim for array in self._examples]
        for axis, name in enumerate(AXES):
            self._name_axis(axis, name, named, len(arrays), begins=state is None)
        self.axes: tuple[tuple[str | None, ...], ...] = tuple(map(tuple, named))
        found = tuple(name for name in AXES if any(name in names for names in named))
        self.openings = tuple(found[:count] for count in range(len(found), -1, -1))

    def examples(self, *open_axes: str) -> list[Array]:
        """An array for each input. Axes of these names are at least 2 long, for exporters that take 1 to be fixed."""
        return [
            _lengthened(
                array, [axis for axis, name in enumerate(names) if name in open_axes and array.shape[axis] == 1]
            )
            for array, names in zip(self._examples, self.axes, strict=True)
        ]

    def run(self, model: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The outputs, from the inputs: `model` is called as the module is, and may be a view of it."""
        count = self._inputs.num_leaves
        arguments = tree.unflatten(self._inputs, tensors[:count])
        if self._takes_state:
            arguments = (*arguments, tree.unflatten(self._state, tensors[count:]))
        outputs, state = self._divided(model(*arguments))
        asarray = self._backend.tensors.asarray
        return [asarray(leaf) for leaf in (*tree.leaves(outputs), *tree.leaves(state))]

    def _name_axis(self, axis: int, name: str, named: list[list[Any]], count: int, begins: bool) -> None:
        """Enter the name wherever a length changes with this axis of the inputs; nowhere if it cannot change."""
        inputs, states = self._examples[:count], self._examples[count:]
        length = inputs[0].shape[axis] if inputs and inputs[0].ndim > axis else 0
        if not length:
            return
        grows = [array.ndim > axis and array.shape[axis] == length for array in inputs]
        longer = [_lengthened(array, [axis]) if grown else array for array, grown in zip(inputs, grows, strict=True)]
        places: list[int | None]
        try:
            if begins:  # the module makes a state for more rows, and so shows where its rows are
                after = [self._array(leaf) for leaf in tree.leaves(self._divided(self._call(longer, None))[1])]
                places = [_changed(old.shape, new.shape) for old, new in zip(states, after, strict=True)]
            else:
                places = [
                    old.shape.index(length) if name == AXES[0] and length in old.shape else None for old in states
                ]
            following = [
                old if place is None else _lengthened(old, [place]) for old, place in zip(states, places, strict=True)
            ]
            self._check_returns(following, self._divided(self._call(longer, self._tree(following)))[1])
        except Exception:  # whatever a model raises for a length it does not take: then it has one length
            return
        for entry, place in zip(named, [axis if grown else None for grown in grows] + places, strict=True):
            if place is not None:
                entry[place] = name

    def _call(self, arrays: list[Array], state: Tree) -> Any:
        device = self._device()

        def put(array: Any) -> Tensor:
            return self._backend.tensors.asarray(self._array(array), device=device)

        arguments = tree.unflatten(self._inputs, [put(array) for array in arrays])
        if self._takes_state:
            arguments = (*arguments, tree.map(put, state))
        with self._backend.autodiff.no_grad():
            return self.module(*arguments)

    def _divided(self, answer: Any) -> tuple[Tree, Tree]:
        """Outputs and state; of a module that takes a state and returns no pair, the outputs alone."""
        if self._takes_state and isinstance(answer, tuple | list) and len(answer) == 2:
            return answer[0], answer[1]
        return answer, None

    def _check_returns(self, states: list[Array], after: Tree) -> None:
        """The module returns a state like the one it was given."""
        leaves, structure = tree.flatten(after)
        before = [array.shape for array in states]
        shapes = [tuple(leaf.shape) for leaf in map(self._array, leaves)]
        if structure != self._state or shapes != before:
            raise ModuleProtocolError(
                f"{type(self.module).__name__} was given a state of the structure {self._state} with shapes {before}, and "
                f"returned one of {structure} with {shapes}. An exported program carries its state from window to window: "
                f"expected is forward(*inputs, state) that returns (outputs, state), the state in the same form."
            )

    def _tree(self, states: list[Array]) -> Tree:
        return tree.unflatten(self._state, states)

    def _array(self, leaf: Any) -> Array:
        owner = backends.owner_of(leaf)
        array = np.asarray(leaf if owner is None else owner.tensors.to_numpy(leaf))
        return array.astype(self._floats) if np.issubdtype(array.dtype, np.floating) else array

    def _float_dtype(self) -> str:
        tensors = self._backend.tensors
        held = [tensors.dtype(value) for _, value in (*self.module.named_parameters(), *self.module.named_buffers())]
        return next((dtype for dtype in held if dtype in dtypes.FLOATS), dtypes.default_dtype())

    def _device(self) -> str:
        held = [value for _, value in (*self.module.named_parameters(), *self.module.named_buffers())]
        return self._backend.devices.device_of(held[0]) if held else "cpu"


def _has_room_for_state(module: Module, count: int) -> bool:
    """Whether ``forward`` takes something after its inputs that may be None, as a state may."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [each for each in inspect.signature(module.forward).parameters.values() if each.kind in kinds]
    return len(parameters) > count and parameters[count].default in (None, inspect.Parameter.empty)


def _numbered(name: str, leaves: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(len(leaves)))


def _lengthened(array: Array, axes: Sequence[int]) -> Array:
    """With its last element along these axes once more."""
    for axis in axes:
        array = np.concatenate([array, array.take([-1], axis)], axis)
    return array


def _changed(before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """The axis whose length is another."""
    found = [axis for axis, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return found[0] if found else None
