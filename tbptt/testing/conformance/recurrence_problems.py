"""Random recurrent problems, what the oracle says about them, and what an engine does: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tbptt.protocols import Backend, Between, LayerWeights
from tbptt.testing.oracles import recurrence as oracle
from tbptt.types import Array

KINDS = ("lstm", "gru", "tanh", "relu")


@dataclass
class Problem:
    """One call of a kernel, and the cotangents of what it answers.

    Attributes:
        kind: ``"lstm"``, ``"gru"``, or the nonlinearity of an RNN.
        masks: what `between` multiplies by, one for each layer but the last; None for no `between`.
        d_outputs, d_state: cotangents of outputs and final state.
    """

    kind: str
    inputs: Array
    state: list[Array]
    weights: list[dict[str, Any]]
    masks: list[Array] | None
    d_outputs: Array
    d_state: list[Array]
    resets: Array | None = None
    initial: list[Array] | None = None

    def expected(self) -> dict[str, Array]:
        """Outputs, final state and gradients, from the oracle."""
        if self.resets is not None:
            return self._by_segments(self.resets)
        outputs, state, tape = oracle.forward(self.kind, self.inputs, self.state, self.weights, self.masks)
        gradients = oracle.backward(tape, self.d_outputs, self.d_state)
        return named(outputs, state, gradients["inputs"], gradients["state"], gradients["weights"])

    def _by_segments(self, resets: Array) -> dict[str, Array]:
        """Every segment of every row as a run of its own."""
        zeros = [np.zeros_like(part) for part in self.state]
        initial = zeros if self.initial is None else self.initial
        d_weights = [{k: None if v is None else np.zeros_like(v) for k, v in each.items()} for each in self.weights]
        found = named(np.zeros_like(self.d_outputs), zeros, np.zeros_like(self.inputs), zeros, d_weights, zeros)
        found = {name: array.copy() for name, array in found.items()}
        for row, begin, end, is_begun in _segments(resets):
            one, at = slice(row, row + 1), (slice(begin, end), slice(row, row + 1))
            start = [part[:, one] for part in (initial if is_begun else self.state)]
            masks = self.masks and [mask[at] for mask in self.masks]
            outputs, state, tape = oracle.forward(self.kind, self.inputs[at], start, self.weights, masks)
            is_last = end == len(self.inputs)
            d_end = [part[:, one] * is_last for part in self.d_state]
            gradients = oracle.backward(tape, self.d_outputs[at], d_end)
            found["outputs"][at], found["gradient of inputs"][at] = outputs, gradients["inputs"]
            for k, part in enumerate(gradients["state"]):
                found[f"gradient of {'initial' if is_begun else 'state'}[{k}]"][:, one] += part
                if is_last:
                    found[f"state[{k}]"][:, one] = state[k]
            for name, array in named(outputs, [], outputs, [], gradients["weights"]).items():
                if name.startswith("gradient of layer"):
                    found[name] += array
        return found if self.initial is not None else {k: v for k, v in found.items() if "initial" not in k}


def _segments(resets: Array) -> Iterator[tuple[int, int, int, bool]]:
    """Row, first step, step after the last, and whether the row begins anew there."""
    steps, rows = resets.shape
    for row in range(rows):
        cuts = [0, *(t for t in range(1, steps) if resets[t, row])]
        for begin, end in zip(cuts, [*cuts[1:], steps], strict=True):
            yield row, begin, end, bool(resets[begin, row])


def problem(
    kind: str,
    layers: int = 1,
    has_bias: bool = True,
    masked: bool = False,
    steps: int = 5,
    rows: int = 3,
    features: int = 4,
    units: int = 6,
    dtype: str = "float64",
    seed: int = 0,
) -> Problem:
    """A problem of that kind and size with normal numbers everywhere.

    >>> from tbptt.testing.conformance.recurrence_problems import problem
    >>> sorted(problem("gru").expected())[:3]
    ['gradient of inputs', 'gradient of layer 0 bias', 'gradient of layer 0 candidate_bias']
    """
    draw = np.random.default_rng(seed)
    gates, states = oracle.GATES[kind], oracle.STATES[kind]

    def normal(*shape: int, scale: float = 1.0) -> Array:
        return (scale * draw.normal(size=shape)).astype(dtype)

    weights: list[dict[str, Any]] = [
        {
            "input": normal(gates * units, units if layer else features, scale=0.5),
            "recurrent": normal(gates * units, units, scale=0.5),
            "bias": normal(gates * units) if has_bias else None,
            "candidate_bias": normal(units) if has_bias and kind == "gru" else None,
        }
        for layer in range(layers)
    ]
    masks = [draw.integers(0, 2, (steps, rows, units)).astype(dtype) * 2 for _ in range(layers - 1)]
    return Problem(
        kind=kind,
        inputs=normal(steps, rows, features),
        state=[normal(layers, rows, units) for _ in range(states)],
        weights=weights,
        masks=masks if masked else None,
        d_outputs=normal(steps, rows, units),
        d_state=[normal(layers, rows, units) for _ in range(states)],
    )


def with_resets(kind: str, resets: Array, with_initial: bool = True, **options: Any) -> Problem:
    """`problem` with these resets (T, B), and an initial state unless it is to be zeros."""
    given = problem(kind, steps=resets.shape[0], rows=resets.shape[1], **options)
    draw = np.random.default_rng(1)
    given.resets = resets
    if with_initial:
        given.initial = [draw.normal(size=part.shape).astype(part.dtype) for part in given.state]
    return given


def named(
    outputs: Array,
    state: Sequence[Array],
    d_inputs: Array,
    d_state: Sequence[Array],
    d_weights: Sequence[dict[str, Any]],
    d_initial: Sequence[Array] = (),
) -> dict[str, Array]:
    """Everything a run gives, under names a failure message can show."""
    found = {"outputs": outputs, "gradient of inputs": d_inputs}
    found |= {f"state[{k}]": part for k, part in enumerate(state)}
    found |= {f"gradient of state[{k}]": part for k, part in enumerate(d_state)}
    found |= {f"gradient of initial[{k}]": part for k, part in enumerate(d_initial)}
    for layer, each in enumerate(d_weights):
        found |= {f"gradient of layer {layer} {key}": value for key, value in each.items() if value is not None}
    return found


def call(
    module: Any,
    kind: str,
    inputs: Any,
    state: Sequence[Any],
    weights: Sequence[dict[str, Any]],
    between: Between | None = None,
    resets: Any = None,
    initial: Sequence[Any] | None = None,
) -> tuple[Any, list[Any]]:
    """`lstm`, `gru` or `rnn` of an adapter, with states as lists."""
    layers = [LayerWeights(**each) for each in weights]
    begun = None if initial is None else tuple(initial) if kind == "lstm" else initial[0]
    if kind == "lstm":
        outputs, (hidden, cell) = module.lstm(inputs, tuple(state), layers, between, resets, begun)
        return outputs, [hidden, cell]
    if kind == "gru":
        outputs, hidden = module.gru(inputs, state[0], layers, between, resets, begun)
    else:
        outputs, hidden = module.rnn(inputs, state[0], layers, between, kind, resets, begun)
    return outputs, [hidden]


@dataclass
class Tensors:
    """A problem on an engine: weights are parameters, everything else plain tensors."""

    inputs: Any
    state: list[Any]
    weights: list[dict[str, Any]]
    between: Between | None
    resets: Any
    initial: list[Any] | None

    @property
    def watched(self) -> list[Any]:
        """What is differentiated although it is no parameter."""
        return [self.inputs, *self.state, *(self.initial or ())]

    @property
    def parameters(self) -> list[Any]:
        """The weights there are, layer after layer."""
        return [value for each in self.weights for value in each.values() if value is not None]

    def arguments(self) -> tuple[Any, ...]:
        """What `call` takes after the kind."""
        return self.inputs, self.state, self.weights, self.between, self.resets, self.initial


def on(engine: Backend, given: Problem) -> Tensors:
    """The problem's arrays as tensors and parameters of the engine."""
    tensor = engine.tensors.asarray
    masks = given.masks and [tensor(mask) for mask in given.masks]
    return Tensors(
        inputs=tensor(given.inputs),
        state=[tensor(part) for part in given.state],
        weights=[
            {key: None if value is None else engine.tensors.parameter(value) for key, value in each.items()}
            for each in given.weights
        ],
        between=_between(engine, masks) if masks is not None else None,
        resets=None if given.resets is None else tensor(given.resets),
        initial=None if given.initial is None else [tensor(part) for part in given.initial],
    )


def _between(engine: Backend, masks: Sequence[Any]) -> Callable[[int, Any], Any]:
    return lambda layer, outputs: engine.tensors.multiply(outputs, masks[layer])


def run(engine: Backend, given: Problem) -> dict[str, Array]:
    """Outputs, final state and all gradients, as the engine has them; zeros where it says None."""
    held = on(engine, given)
    tape = engine.autodiff.tape()
    with tape:
        tape.watch(held.watched)
        outputs, end = call(engine.recurrence, given.kind, *held.arguments())
    cotangents: list[Any] = [engine.tensors.asarray(array) for array in [given.d_outputs, *given.d_state]]
    sources = [*held.watched, *held.parameters]
    answers = tape.gradient([outputs, *end], sources, cotangents) or [None] * len(sources)
    pairs = zip(answers, sources, strict=True)
    numpy = engine.tensors.to_numpy
    gradients = [np.zeros_like(numpy(source)) if answer is None else numpy(answer) for answer, source in pairs]
    return unflatten(given, numpy(outputs), [numpy(part) for part in end], gradients)


def apart(given: Problem, sources: Sequence[Any]) -> tuple[Any, Sequence[Any], Sequence[Any], Iterator[Any]]:
    """Inputs, state, initial, and an iterator of the weights, out of what follows in this order."""
    inputs, *rest = sources
    parts, initials = len(given.state), len(given.initial or ())
    return inputs, rest[:parts], rest[parts : parts + initials], iter(rest[parts + initials :])


def unflatten(given: Problem, outputs: Array, state: Sequence[Array], gradients: Sequence[Array]) -> dict[str, Array]:
    """Everything a run gives, by name, from the gradients in the order of `apart`."""
    d_inputs, d_state, d_initial, values = apart(given, gradients)
    d_weights = [{k: None if v is None else next(values) for k, v in each.items()} for each in given.weights]
    return named(outputs, state, d_inputs, d_state, d_weights, d_initial)


def assert_equal(found: dict[str, Array], expected: dict[str, Array], tolerance: float) -> None:
    """Every array within `tolerance` of its own scale."""
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape, f"{name}: {found[name].shape}, expected {wanted.shape}"
        scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=tolerance * scale, err_msg=name)
