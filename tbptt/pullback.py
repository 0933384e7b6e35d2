"""A window as a function with a pullback: loss and state come out; cotangents of loss and state go in, and gradients come out.

Everything a truncation schedule does with gradients is a choice of which cotangent flows where: none across a boundary cuts it, the
one that the window after it gave chains the two, a multiple of it reweights them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tbptt import autodiff, backends, ops, tree
from tbptt.errors import StructureError
from tbptt.protocols import Backend
from tbptt.types import Parameter, Tensor, Tree

Cotangent: TypeAlias = list[Tensor | None]
"""Of a state: an entry for each of its leaves, None where no gradient flows."""
Gradients: TypeAlias = list[Tensor | None]
"""One for each parameter, None where nothing depends on it."""


class Recording:
    """A function of a state, called once with everything recorded that its pullback needs.

    >>> import numpy as np, tbptt
    >>> from tbptt import ops
    >>> from tbptt.pullback import Recording
    >>> state = ops.asarray(np.array([3.0]))
    >>> recording = Recording(lambda h: (ops.sum(h * h), 2.0 * h), state, [], tbptt.current_backend())
    >>> loss, after = recording.output
    >>> _, (into_state,) = recording.pullback((loss, 1.0), (after, [ops.asarray(np.array([10.0]))]))  # 2h + 2·10
    >>> ops.to_numpy(into_state)
    array([26.])

    Args:
        function: of a state of this structure.
        state: what it is called with: a copy, cut from its past, so that a function which writes into its state changes nothing
            else.
        parameters: that gradients are wanted for.
        backend: the engine.
    """

    def __init__(
        self, function: Callable[[Tree], Any], state: Tree, parameters: Sequence[Parameter], backend: Backend
    ) -> None:
        self._parameters = list(parameters)
        self._tape = backend.autodiff.tape()
        leaves, structure = tree.flatten(state)
        self._flows = [_flows(leaf) for leaf in leaves]
        entering = [_cut(leaf) for leaf in leaves]
        self._watched = [leaf for leaf, flows in zip(entering, self._flows, strict=True) if flows]
        with self._tape:
            self._tape.watch(self._watched)
            copies = [
                ops.asarray(leaf, copy=True) if flows else leaf
                for leaf, flows in zip(entering, self._flows, strict=True)
            ]
            self.output = function(tree.unflatten(structure, copies))

    def pullback(
        self, loss: tuple[Tensor | None, Any], leaving: tuple[Tree, Cotangent | None]
    ) -> tuple[Gradients, Cotangent]:
        """Gradients of the parameters and the cotangent of the state that entered. The record is gone afterwards.

        Args:
            loss: a loss of the output, and its cotangent (None or a number or scalar tensor).
            leaving: a state of the output, and its cotangent; None cuts it off.
        """
        targets, cotangents = [], []
        if loss[0] is not None and loss[1] is not None:
            targets.append(loss[0])
            cotangents.append(ops.asarray(loss[1], dtype=ops.dtype(loss[0])))
        for leaf, cotangent in zip(tree.leaves(leaving[0]), leaving[1] or (), strict=bool(leaving[1])):
            if cotangent is not None and _flows(leaf):
                targets.append(leaf)
                cotangents.append(cotangent)
        sources, count = [*self._parameters, *self._watched], len(self._parameters)
        found = self._tape.gradient(targets, sources, cotangents) if targets else None
        found = [None] * len(sources) if found is None else found
        of_state = iter(found[count:])
        return found[:count], [next(of_state) if flows else None for flows in self._flows]


def as_cotangent(given: Tree, state: Tree, name: str) -> Cotangent | None:
    """A tree of cotangents, None anywhere in it meaning none, as a list; None if there is none at all.

    Raises:
        StructureError: if it does not look like the state.
    """
    if given is None:
        return None
    entries = tree.broadcast(given, state, (name, "the state"))
    for path, entry, leaf in zip(tree.paths(state, "state"), entries, tree.leaves(state), strict=True):
        shape, expected = tuple(getattr(entry, "shape", ())), tuple(getattr(leaf, "shape", ()))
        if entry is not None and shape != expected:
            raise StructureError(
                f"{name} has the shape {shape} for {path}, which is {expected}. The cotangent of a state has a tensor of the same "
                f"shape for each leaf, or None."
            )
    pairs = zip(entries, tree.leaves(state), strict=True)
    return [
        ops.asarray(entry, dtype=ops.dtype(leaf)) if entry is not None and _flows(leaf) else None
        for entry, leaf in pairs
    ]


def scaled(cotangent: Cotangent, factor: float) -> Cotangent:
    """Every entry times a factor."""
    if factor == 1.0:
        return cotangent
    return [None if entry is None else ops.multiply(entry, factor) for entry in cotangent]


def added(first: Gradients | None, second: Gradients) -> Gradients:
    """The sum, where None counts as nothing."""
    if first is None:
        return second
    return [b if a is None else a if b is None else ops.add(a, b) for a, b in zip(first, second, strict=True)]


def _cut(leaf: Any) -> Any:
    return autodiff.stop_gradient(leaf) if ops.is_tensor(leaf) else leaf


def _flows(leaf: Any) -> bool:
    """Whether gradients flow through a leaf of a state."""
    if not ops.is_tensor(leaf):
        return False
    owner = backends.backend_of(leaf)
    return bool(owner.tensors.isdtype(owner.tensors.dtype(leaf), "real floating"))
