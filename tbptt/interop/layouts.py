"""How the weights of our layers lie in other worlds: names, shapes, transposes, order of gates, number of biases.

    LSTM, RNN   ours (G·H, F), (G·H, H), one bias (G·H,); torch the same with two biases, which add up;
                Keras (F, G·H), (H, G·H), one bias. All have the gates i, f, g, o (Keras calls g c).
    GRU         ours r, z, n with b_n added outside r and b_hn inside; torch two biases (3H,), of which r and z add up;
                Keras z, r, h and both biases as the rows of one (2, 3H) array.
    Linear      ours and torch (out, in); Keras (in, out).
    Embedding, LayerNorm: alike everywhere.

A `Layout` reads a foreign layer's arrays into ours and writes ours as theirs. Where two foreign biases stand for one of ours,
`Twins` say how: weights add up, an optimizer's state is the same for both, as their gradients are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tbptt.nn.cells import Cell
from tbptt.nn.embedding import Embedding
from tbptt.nn.linear import Linear
from tbptt.nn.module import own_tensors
from tbptt.nn.norm import LayerNorm
from tbptt.nn.recurrent import Recurrent
from tbptt.types import Array

_ROLES = ("weight_ih", "weight_hh", "bias", "bias_hn")


class TwinsError(ValueError):
    """Two foreign arrays that should say the same say different things."""


class Twins(NamedTuple):
    """What two foreign biases are to the one of ours."""

    join: Callable[[Array, Array], Array]
    part: Callable[[Array], tuple[Array, Array]]


def _agreed(first: Array, second: Array) -> Array:
    if not np.allclose(first, second, rtol=1e-5, atol=1e-5 * float(np.max(np.abs(first), initial=0.0))):
        raise TwinsError
    return first


SUMMED = Twins(np.add, lambda value: (value, np.zeros_like(value)))
"""Weights: what is added to the same sum adds up; going out, the second is zero."""
SHARED = Twins(_agreed, lambda value: (value, value))
"""An optimizer's state: both have the same gradients, so the same momentum and moments."""


class Layout(Protocol):
    """The arrays of one foreign layer, by name, and what they are to a layer of ours."""

    shapes: dict[str, tuple[int, ...]]
    """The foreign arrays, in their order."""
    optional: frozenset[str]
    """Those that need not be there where an optimizer's state is read: the second of two twins, which may not be trained."""

    def read(self, arrays: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """Our parameters by name."""
        ...

    def write(self, values: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """The foreign arrays by name."""
        ...


class Same:
    """Arrays that are alike in both worlds, perhaps under other names, matrices perhaps transposed.

    >>> import numpy as np
    >>> from tbptt.interop import layouts
    >>> dense = layouts.Same({"kernel": "weight"}, {"weight": (3, 2)}, transposed=True)
    >>> dense.shapes
    {'kernel': (2, 3)}
    >>> dense.read({"kernel": np.ones((2, 3))}, layouts.SUMMED)["weight"].shape
    (3, 2)
    """

    optional: frozenset[str] = frozenset()

    def __init__(
        self, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], transposed: bool = False
    ) -> None:
        self._names, self._transposed = dict(names), transposed
        self.shapes = {theirs: shapes[ours][::-1] if transposed else shapes[ours] for theirs, ours in names.items()}

    def read(self, arrays: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """Renamed, and transposed if they are."""
        return {ours: self._turn(arrays[theirs]) for theirs, ours in self._names.items()}

    def write(self, values: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """The way back, which is the same one."""
        return {theirs: self._turn(values[ours]) for theirs, ours in self._names.items()}

    def _turn(self, array: Array) -> Array:
        return array.T if self._transposed else array


class _Gates:
    """One recurrent layer's sizes, the names of its weights here, and how two biases become ours and back."""

    def __init__(self, gates: int, inputs: int, units: int, bias: bool, suffix: str) -> None:
        self.gates, self.inputs, self.units, self.bias, self.suffix = gates, inputs, units, bias, suffix
        self.rows = gates * units

    def join(self, first: Array, second: Array | None, twins: Twins) -> dict[str, Array]:
        """Our biases from the input's and the recurrent one (None: it has none, or it is not trained)."""
        bias = f"bias{self.suffix}"
        if self.gates != 3:
            return {bias: first if second is None else twins.join(first, second)}
        assert second is not None  # of a GRU both are needed
        cut = 2 * self.units
        joined = np.concatenate([twins.join(first[:cut], second[:cut]), first[cut:]])
        return {bias: joined, f"bias_hn{self.suffix}": second[cut:]}

    def part(self, values: Mapping[str, Array], twins: Twins) -> tuple[Array, Array]:
        """The input's bias and the recurrent one."""
        bias = values[f"bias{self.suffix}"]
        if self.gates != 3:
            return twins.part(bias)
        cut = 2 * self.units
        first, second = twins.part(bias[:cut])
        return np.concatenate([first, bias[cut:]]), np.concatenate([second, values[f"bias_hn{self.suffix}"]])


class TorchRecurrent:
    """One layer of `torch.nn.LSTM`, `GRU` or `RNN`, or a cell (whose names have no suffix)."""

    def __init__(self, gates: int, inputs: int, units: int, bias: bool, suffix: str) -> None:
        self._gates = _Gates(gates, inputs, units, bias, suffix)
        rows = gates * units
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, units)}
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
        self.shapes = {f"{role}{suffix}": shape for role, shape in shapes.items()}
        self.optional = frozenset({f"bias_hh{suffix}"} if bias and gates != 3 else ())

    def read(self, arrays: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """Matrices as they are, biases joined."""
        end = self._gates.suffix
        values = {f"{role}{end}": arrays[f"{role}{end}"] for role in ("weight_ih", "weight_hh")}
        if self._gates.bias:
            values |= self._gates.join(arrays[f"bias_ih{end}"], arrays.get(f"bias_hh{end}"), twins)
        return values

    def write(self, values: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """Matrices as they are, biases parted."""
        end = self._gates.suffix
        arrays = {f"{role}{end}": values[f"{role}{end}"] for role in ("weight_ih", "weight_hh")}
        if self._gates.bias:
            arrays[f"bias_ih{end}"], arrays[f"bias_hh{end}"] = self._gates.part(values, twins)
        return arrays


class KerasRecurrent:
    """A Keras LSTM, GRU (``reset_after=True``) or SimpleRNN, which is one layer of ours, or its cell."""

    optional: frozenset[str] = frozenset()

    def __init__(self, gates: int, inputs: int, units: int, bias: bool, suffix: str) -> None:
        self._gates = _Gates(gates, inputs, units, bias, suffix)
        rows = gates * units
        self.shapes: dict[str, tuple[int, ...]] = {"kernel": (inputs, rows), "recurrent_kernel": (units, rows)}
        if bias:
            self.shapes["bias"] = (2, rows) if gates == 3 else (rows,)

    def read(self, arrays: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """Transposed, a GRU's gates put in our order."""
        end = self._gates.suffix
        values = {
            f"weight_ih{end}": self._reorder(arrays["kernel"]).T,
            f"weight_hh{end}": self._reorder(arrays["recurrent_kernel"]).T,
        }
        if self._gates.bias:
            bias = self._reorder(arrays["bias"])
            values |= self._gates.join(bias[0], bias[1], twins) if self._gates.gates == 3 else {f"bias{end}": bias}
        return values

    def write(self, values: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        """The way back."""
        end = self._gates.suffix
        arrays = {
            "kernel": self._reorder(values[f"weight_ih{end}"].T),
            "recurrent_kernel": self._reorder(values[f"weight_hh{end}"].T),
        }
        if self._gates.bias:
            bias = np.stack(self._gates.part(values, twins)) if self._gates.gates == 3 else values[f"bias{end}"]
            arrays["bias"] = self._reorder(bias)
        return arrays

    def _reorder(self, array: Array) -> Array:
        """A GRU's first two blocks of columns change places, r and z: the same both ways."""
        if self._gates.gates != 3:
            return array
        first, second, third = np.split(array, 3, axis=-1)
        return np.concatenate([second, first, third], axis=-1)


def torch_layouts(module: Any) -> list[Layout]:
    """What `torch.nn`'s counterpart of this very module holds, children aside; a module of nobody's kind holds its own.

    >>> from tbptt import nn
    >>> from tbptt.interop import layouts
    >>> [layout.shapes for layout in layouts.torch_layouts(nn.RNN(1, 2))]
    [{'weight_ih_l0': (2, 1), 'weight_hh_l0': (2, 2), 'bias_ih_l0': (2,), 'bias_hh_l0': (2,)}]
    """
    if isinstance(module, Recurrent | Cell):
        return [*(TorchRecurrent(*sizes) for sizes in _layers(module)), *_further(module, _ROLES)]
    return _further(module)


def keras_layouts(module: Any) -> list[Layout]:
    """What the Keras layers for this very module hold, one layout a layer, children aside.

    >>> from tbptt import nn
    >>> from tbptt.interop import layouts
    >>> [layout.shapes for layout in layouts.keras_layouts(nn.GRU(1, 2))]
    [{'kernel': (1, 6), 'recurrent_kernel': (2, 6), 'bias': (2, 6)}]
    """
    if isinstance(module, Recurrent | Cell):
        return [*(KerasRecurrent(*sizes) for sizes in _layers(module)), *_further(module, _ROLES)]
    shapes = _shapes(module)
    further = _further(module, ("weight", "bias"))
    if isinstance(module, Linear):
        bias = {"bias": "bias"} if "bias" in shapes else {}
        return [_Several(Same({"kernel": "weight"}, shapes, transposed=True), Same(bias, shapes)), *further]
    if isinstance(module, Embedding):
        return [Same({"embeddings": "weight"}, shapes), *further]
    if isinstance(module, LayerNorm):
        return [*([Same({"gamma": "weight", "beta": "bias"}, shapes)] if module.weight is not None else []), *further]
    return _further(module)


class _Several:
    """One layer whose arrays follow more than one rule."""

    optional: frozenset[str] = frozenset()

    def __init__(self, *parts: Layout) -> None:
        self._parts = parts
        self.shapes = {name: shape for part in parts for name, shape in part.shapes.items()}

    def read(self, arrays: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        return {name: value for part in self._parts for name, value in part.read(arrays, twins).items()}

    def write(self, values: Mapping[str, Array], twins: Twins) -> dict[str, Array]:
        return {name: array for part in self._parts for name, array in part.write(values, twins).items()}


def _layers(module: Recurrent | Cell) -> Sequence[tuple[int, int, int, bool, str]]:
    """Gates, inputs, units, whether there is a bias, and the suffix of our names, a layer."""
    if isinstance(module, Cell):
        return [(module.gates, module.input_size, module.hidden_size, hasattr(module, "bias"), "")]
    sizes = [module.input_size] + [module.hidden_size] * (module.num_layers - 1)
    return [(module.gates, size, module.hidden_size, module.bias, f"_l{k}") for k, size in enumerate(sizes)]


def _further(module: Any, known: tuple[str, ...] = ()) -> list[Layout]:
    """What else a module holds (a user's own parameters, those of an engine's module), as it is."""
    shapes = {name: shape for name, shape in _shapes(module).items() if re.sub(r"_l\d+$", "", name) not in known}
    return [Same({name: name for name in shapes}, shapes)] if shapes else []


def _shapes(module: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value, _ in own_tensors(module)}
