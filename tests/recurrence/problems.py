"""Random recurrent problems, and either engine's `recurrence` module run on them: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import tbptt_torch.recurrence as torch_recurrence  # torch comes first
from oracles import recurrence as oracle

# isort: split
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence
from tbptt.protocols import LayerWeights

KINDS = ("lstm", "gru", "tanh", "relu")


@dataclass
class Problem:
    kind: str
    inputs: np.ndarray
    state: list[np.ndarray]
    weights: list[dict[str, Any]]
    masks: list[np.ndarray] | None
    d_outputs: np.ndarray
    d_state: list[np.ndarray]
    resets: np.ndarray | None = None
    initial: list[np.ndarray] | None = None

    def expected(self) -> dict[str, np.ndarray]:
        if self.resets is not None:
            return self.by_segments()
        outputs, state, tape = oracle.forward(self.kind, self.inputs, self.state, self.weights, self.masks)
        gradients = oracle.backward(tape, self.d_outputs, self.d_state)
        return named(outputs, state, gradients["inputs"], gradients["state"], gradients["weights"])

    def by_segments(self) -> dict[str, np.ndarray]:
        """Every segment of every row as a run of its own, from the oracle."""
        zeros = [np.zeros_like(part) for part in self.state]
        initial = zeros if self.initial is None else self.initial
        d_weights = [{k: None if v is None else np.zeros_like(v) for k, v in each.items()} for each in self.weights]
        found = named(np.zeros_like(self.d_outputs), zeros, np.zeros_like(self.inputs), zeros, d_weights, zeros)
        found = {name: array.copy() for name, array in found.items()}
        for row, begin, end, is_begun in self.segments():
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

    def segments(self) -> Iterator[tuple[int, int, int, bool]]:
        """Row, first step, step after the last, and whether the row begins anew there."""
        steps, rows = self.resets.shape
        for row in range(rows):
            cuts = [0, *(t for t in range(1, steps) if self.resets[t, row])]
            for begin, end in zip(cuts, [*cuts[1:], steps], strict=True):
                yield row, begin, end, bool(self.resets[begin, row])


def problem(kind, layers=1, has_bias=True, masked=False, steps=5, rows=3, features=4, units=6, dtype="float64", seed=0):
    draw = np.random.default_rng(seed)
    gates, states = oracle.GATES[kind], oracle.STATES[kind]

    def normal(*shape, scale=1.0):
        return (scale * draw.normal(size=shape)).astype(dtype)

    weights = [
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


def named(outputs, state, d_inputs, d_state, d_weights, d_initial=()) -> dict[str, np.ndarray]:
    """Everything a run gives, under names a failure message can show."""
    found = {"outputs": outputs, "gradient of inputs": d_inputs}
    found |= {f"state[{k}]": part for k, part in enumerate(state)}
    found |= {f"gradient of state[{k}]": part for k, part in enumerate(d_state)}
    found |= {f"gradient of initial[{k}]": part for k, part in enumerate(d_initial)}
    for layer, each in enumerate(d_weights):
        found |= {f"gradient of layer {layer} {key}": value for key, value in each.items() if value is not None}
    return found


def call(module, kind, inputs, state, weights, between=None, resets=None, initial=None):
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


def run(road: str, given: Problem) -> dict[str, np.ndarray]:
    """Outputs, final state and all gradients: on "torch", or on "tensorflow eager", "... graph" or "... xla"."""
    return run_torch(given) if road == "torch" else run_tensorflow(given, road.removeprefix("tensorflow "))


def run_torch(given: Problem) -> dict[str, np.ndarray]:
    def leaf(array):
        return None if array is None else torch.tensor(array, requires_grad=True)

    inputs, state = leaf(given.inputs), [leaf(part) for part in given.state]
    weights = [{key: leaf(value) for key, value in each.items()} for each in given.weights]
    masks = given.masks and [torch.tensor(mask) for mask in given.masks]
    between = masks and (lambda layer, outputs: outputs * masks[layer])
    resets = None if given.resets is None else torch.tensor(given.resets)
    initial = given.initial and [leaf(part) for part in given.initial]
    outputs, end = call(torch_recurrence, given.kind, inputs, state, weights, between, resets, initial)
    sources = [
        inputs,
        *state,
        *(initial or ()),
        *(value for each in weights for value in each.values() if value is not None),
    ]
    cotangents = [torch.tensor(array) for array in [given.d_outputs, *given.d_state]]
    gradients = [each.numpy() for each in torch.autograd.grad([outputs, *end], sources, cotangents)]
    return unflatten(given, outputs.detach().numpy(), [part.detach().numpy() for part in end], gradients)


def run_tensorflow(given: Problem, road: str) -> dict[str, np.ndarray]:
    present = [value for each in given.weights for value in each.values() if value is not None]
    resets = None if given.resets is None else tf.constant(given.resets)
    sources = [*map(tf.constant, [given.inputs, *given.state, *(given.initial or ()), *present])]
    cotangents = [tf.constant(array) for array in [given.d_outputs, *given.d_state]]
    masks = given.masks and [tf.constant(mask) for mask in given.masks]
    between = masks and (lambda layer, outputs: outputs * masks[layer])

    def step(resets, *sources):
        inputs, state, initial, values = apart(given, sources)
        weights = [{k: None if v is None else next(values) for k, v in each.items()} for each in given.weights]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs, end = call(
                tensorflow_recurrence, given.kind, inputs, state, weights, between, resets, initial or None
            )
        return outputs, end, tape.gradient([outputs, *end], list(sources), cotangents)

    if road != "eager":
        step = tf.function(step, jit_compile=road == "xla", autograph=False)
    outputs, end, gradients = step(resets, *sources)
    return unflatten(given, outputs.numpy(), [part.numpy() for part in end], [each.numpy() for each in gradients])


def apart(given: Problem, sources):
    """Inputs, state, initial, and an iterator of what follows."""
    inputs, *rest = sources
    parts, initials = len(given.state), len(given.initial or ())
    return inputs, rest[:parts], rest[parts : parts + initials], iter(rest[parts + initials :])


def unflatten(given: Problem, outputs, state, gradients) -> dict[str, np.ndarray]:
    d_inputs, d_state, d_initial, values = apart(given, gradients)
    d_weights = [{k: None if v is None else next(values) for k, v in each.items()} for each in given.weights]
    return named(outputs, state, d_inputs, d_state, d_weights, d_initial)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    """Every array within `tolerance` of its own scale."""
    assert found.keys() == expected.keys()
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape, name
        scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=tolerance * scale, err_msg=name)
