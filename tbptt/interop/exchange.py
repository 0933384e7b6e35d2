"""What every exchange has in common: our layers one by one, foreign arrays as NumPy, everything written or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tbptt import ops
from tbptt.backends import backend_of, owner_of
from tbptt.errors import ConfigurationError
from tbptt.interop.layouts import SUMMED, Layout, Twins
from tbptt.nn.module import Module, own_tensors
from tbptt.nn.weights import refuse
from tbptt.ownership import unwrap_parameter
from tbptt.types import Array, Parameter


class Place(NamedTuple):
    """One layer of ours that corresponds to one foreign layer."""

    path: str
    """of the module"""
    key: str
    """the path, with the layer's number where the module has several layers: ``lstm``, or ``lstm.0`` and ``lstm.1``"""
    module: Any
    layout: Layout

    def parameters(self) -> dict[str, Parameter]:
        """The module's own parameters and buffers, by name."""
        return {name: value for name, value, _ in own_tensors(self.module)}

    def arrays(self) -> dict[str, Array]:
        """The foreign layer's arrays, as copies."""
        values = {name: as_array(value) for name, value in self.parameters().items()}
        return {name: np.ascontiguousarray(value) for name, value in self.layout.write(values, SUMMED).items()}


def places(module: Module, layouts: Callable[[Any], list[Layout]]) -> list[Place]:
    """Every layer of a module, in definition order."""
    found = []
    for path, child in module.named_modules():
        several = layouts(child)
        for index, layout in enumerate(several):
            key = path if len(several) == 1 else f"{path}.{index}".lstrip(".")
            found.append(Place(path, key, child, layout))
    return found


def as_array(value: Any) -> Array:
    """A copy of a tensor of any engine, a parameter in a shell, an array, as a NumPy array."""
    value = unwrap_parameter(value)
    return np.array(value if owner_of(value) is None else backend_of(value).tensors.to_numpy(value))


class Loading:
    """Foreign arrays on their way into our parameters: gathered first with everything that is wrong, then written or refused.

    Args:
        what: the foreign weights, for the message: ``"The weights in 'm.keras'"``.
        advice: what to do where something is wrong.
    """

    def __init__(self, what: str, advice: str) -> None:
        self.faults: list[str] = []
        self._what, self._advice = what, advice
        self._pending: dict[int, tuple[str, Parameter, Array]] = {}

    def take(self, place: Place, arrays: Mapping[str, Array], twins: Twins = SUMMED) -> None:
        """The arrays of one foreign layer, which have the shapes of the place's layout."""
        parameters = place.parameters()
        kinds = {name: _numpy_kind(value) for name, value in parameters.items()}
        wide = np.result_type(*kinds.values())  # sums are made in the wider of both dtypes
        widened = {name: array.astype(np.result_type(array, wide)) for name, array in arrays.items()}
        for name, value in place.layout.read(widened, twins).items():
            self._add(f"{place.path}.{name}".lstrip("."), parameters[name], value.astype(kinds[name]))

    def finish(self) -> None:
        """Write everything.

        Raises:
            WeightsError: listing all faults; nothing is written then.
        """
        refuse(self._what, self.faults, self._advice)
        for _, parameter, value in self._pending.values():
            backend_of(parameter).interop.write(parameter, value)

    def _add(self, name: str, parameter: Parameter, value: Array) -> None:
        first, _, before = self._pending.setdefault(id(parameter), (name, parameter, value))
        if not np.array_equal(before, value, equal_nan=True):
            self.faults.append(f"tied: {first} and {name} are one parameter in the module and receive different values")


def check_names(names: Mapping[str, Any] | None, known: list[str]) -> dict[str, Any]:
    """The user's mapping from our paths to foreign names.

    Raises:
        ConfigurationError: if a path is none of ours.
    """
    unknown = sorted(set(names or {}) - set(known))
    if unknown:
        raise ConfigurationError(
            f"names says where {', '.join(map(repr, unknown))} is found, but there is no such module here. Its keys are paths of "
            f"this module ({', '.join(map(repr, known))}), its values the other side's names."
        )
    return dict(names or {})


def _numpy_kind(parameter: Parameter) -> np.dtype[Any]:
    name = ops.dtype(parameter)
    return np.dtype(np.float32 if name == "bfloat16" else name)  # NumPy has none; the engine rounds when it is written
