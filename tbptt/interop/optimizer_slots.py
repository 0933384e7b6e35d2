"""An optimizer's state by parameter, and the foreign arrays whose state that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tbptt.errors import ConfigurationError
from tbptt.interop.exchange import Place, places
from tbptt.interop.layouts import SHARED, Layout, TwinsError
from tbptt.nn.module import Module
from tbptt.optim import Optimizer
from tbptt.types import Array, Parameter


class Slots:
    """What `Optimizer.state_dict` gives, to be read and changed parameter by parameter, and loaded again whole."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.state = optimizer.state_dict()
        self._where = {
            id(parameter): (g, i)
            for g, group in enumerate(optimizer.param_groups)
            for i, parameter in enumerate(group["params"])
        }

    def __contains__(self, parameter: Parameter) -> bool:
        return id(parameter) in self._where

    def group(self, parameter: Parameter) -> int:
        """The number of the group the parameter is in."""
        return self._where[id(parameter)][0]

    def names(self, parameter: Parameter) -> list[str]:
        """The slots of a parameter, its count of updates aside."""
        return list(self.optimizer.fills(self.optimizer.param_groups[self.group(parameter)]))

    def get(self, parameter: Parameter, slot: str) -> Array:
        """One slot of one parameter; ``"step"`` is its count of updates."""
        g, i = self._where[id(parameter)]
        return np.asarray(self.state["groups"][g]["slots"][slot][i])

    def set(self, parameter: Parameter, slot: str, value: Any) -> None:
        """Change it, here only."""
        g, i = self._where[id(parameter)]
        self.state["groups"][g]["slots"][slot][i] = np.asarray(value)

    def fill(self, parameter: Parameter, slot: str) -> float:
        """What the slot holds before the first update."""
        return self.optimizer.fills(self.optimizer.param_groups[self.group(parameter)])[slot]


class Trained(NamedTuple):
    """A layer with parameters that the optimizer updates."""

    place: Place
    reach: dict[str, list[str]]
    """Those of the foreign arrays whose state is asked for, each with our parameters it is about."""
    parameters: dict[str, Parameter]

    def read(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """One slot of our parameters from that of the foreign arrays; a second twin may be left out.

        Raises:
            TwinsError: if two biases that are one here do not have the same state.
        """
        layout, ours = self.place.layout, {name for names in self.reach.values() for name in names}
        present = dict(arrays)
        for name, shape in layout.shapes.items():  # what is not trained has no state, and nobody looks at it
            if name not in present and name not in self.reach:
                present[name] = np.zeros(shape)
        return {name: value for name, value in layout.read(present, SHARED).items() if name in ours}

    def write(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """One slot of the foreign arrays from that of ours."""
        present = {name: values.get(name, np.zeros(tuple(p.shape))) for name, p in self.parameters.items()}
        written = self.place.layout.write(present, SHARED)
        return {name: np.ascontiguousarray(written[name]) for name in self.reach}


def trained_places(slots: Slots, module: Module, layouts: Callable[[Any], list[Layout]]) -> list[Trained]:
    """The layers with what the optimizer updates, in definition order; of a parameter that two of them share the first has it.

    Raises:
        ConfigurationError: if the optimizer has parameters that are not in the module.
    """
    found, seen = [], set[int]()
    for place in places(module, layouts):
        parameters = place.parameters()
        fresh = {name for name, p in parameters.items() if p in slots and id(p) not in seen}
        reach = {theirs: ours for theirs, ours in _reach(place.layout, parameters).items() if fresh >= set(ours)}
        covered = {name for ours in reach.values() for name in ours}
        seen |= {id(parameters[name]) for name in covered}
        if reach:
            found.append(Trained(place, reach, parameters))
    left = sum(id(parameter) not in seen for parameter in slots.optimizer.parameters)
    if left:
        raise ConfigurationError(
            f"{left} of the {len(slots.optimizer.parameters)} parameters of {type(slots.optimizer).__name__} are not in this "
            f"module, or only a part of a layer's biases is trained. Give the module the optimizer was made for."
        )
    return found


def twins_fault(trained: Trained, slot: str) -> str:
    """What to say where `Trained.read` raises `TwinsError`."""
    return (
        f"twins: {slot} of the two biases of {trained.place.key or 'the layer'} differ, which are one here: their gradients are "
        f"equal, but weight decay (L2) pulled each by its own value. Only without it is there an exact answer"
    )


def _reach(layout: Layout, parameters: Mapping[str, Parameter]) -> dict[str, list[str]]:
    """Each foreign array with the parameters of ours that go into it: those that change it."""
    zeros = {name: np.zeros(tuple(parameter.shape)) for name, parameter in parameters.items()}
    reach: dict[str, list[str]] = {name: [] for name in layout.shapes}
    for ours, zero in zeros.items():
        for theirs, array in layout.write({**zeros, ours: zero + 1}, SHARED).items():
            if array.any():
                reach[theirs].append(ours)
    return reach


__all__ = ["Slots", "Trained", "TwinsError", "trained_places", "twins_fault"]
