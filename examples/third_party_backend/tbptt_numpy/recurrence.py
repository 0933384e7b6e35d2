"""LSTM, GRU and simple RNN: loops over layers and time, written with the functions of `tbptt_numpy.tensors` and nothing else.

Shape legend: T steps, B rows, F input features, H units, L layers, G gates. Formulas: `tbptt.protocols.recurrence`.

    >>> import numpy as np
    >>> from tbptt.protocols import LayerWeights
    >>> weights = [LayerWeights(np.ones((1, 1)), np.ones((1, 1)), None)]
    >>> outputs, state = rnn(np.ones((3, 2, 1)), np.zeros((1, 2, 1)), weights, nonlinearity="relu")
    >>> tensors.to_numpy(outputs)[:, 0, 0].tolist()
    [1.0, 2.0, 3.0]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from tbptt.protocols.recurrence import Between, LayerWeights
from tbptt_numpy import tensors


def lstm(
    inputs: Any,
    state: tuple[Any, Any],
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Any = None,
    initial: tuple[Any, Any] | None = None,
) -> tuple[Any, tuple[Any, Any]]:
    """LSTM layers: inputs (T, B, F), state h and c (L, B, H) -> outputs (T, B, H), state."""

    def step(from_input: Any, from_hidden: Any, state: Sequence[Any], layer: LayerWeights) -> list[Any]:
        i, f, g, o = tensors.split(from_input + from_hidden, 4, axis=-1)
        cell = tensors.sigmoid(f) * state[1] + tensors.sigmoid(i) * tensors.tanh(g)
        return [tensors.sigmoid(o) * tensors.tanh(cell), cell]

    outputs, (hidden, cell) = _stack(step, inputs, state, weights, between, resets, initial)
    return outputs, (hidden, cell)


def gru(
    inputs: Any,
    state: Any,
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Any = None,
    initial: Any = None,
) -> tuple[Any, Any]:
    """GRU layers: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""

    def step(from_input: Any, from_hidden: Any, state: Sequence[Any], layer: LayerWeights) -> list[Any]:
        r, z, n = tensors.split(from_input, 3, axis=-1)
        r_hidden, z_hidden, n_hidden = tensors.split(from_hidden, 3, axis=-1)
        if layer.candidate_bias is not None:
            n_hidden = n_hidden + layer.candidate_bias
        update = tensors.sigmoid(z + z_hidden)
        candidate = tensors.tanh(n + tensors.sigmoid(r + r_hidden) * n_hidden)
        return [(1.0 - update) * candidate + update * state[0]]

    begun = None if initial is None else (initial,)
    outputs, (hidden,) = _stack(step, inputs, (state,), weights, between, resets, begun)
    return outputs, hidden


def rnn(
    inputs: Any,
    state: Any,
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    resets: Any = None,
    initial: Any = None,
) -> tuple[Any, Any]:
    """Elman layers: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""

    def step(from_input: Any, from_hidden: Any, state: Sequence[Any], layer: LayerWeights) -> list[Any]:
        return [(tensors.tanh if nonlinearity == "tanh" else tensors.relu)(from_input + from_hidden)]

    begun = None if initial is None else (initial,)
    outputs, (hidden,) = _stack(step, inputs, (state,), weights, between, resets, begun)
    return outputs, hidden


def _stack(
    step: Callable[[Any, Any, Sequence[Any], LayerWeights], list[Any]],
    inputs: Any,
    state: Sequence[Any],
    weights: Sequence[LayerWeights],
    between: Between | None,
    resets: Any,
    initial: Sequence[Any] | None,
) -> tuple[Any, Sequence[Any]]:
    """Layer after layer, step after step: ``step(x W_ihᵀ + b, h W_hhᵀ, state, weights) -> state``, with h its first part."""
    if len(inputs) == 0:
        return tensors.zeros((0, *state[0].shape[1:]), dtype=state[0].dtype), state
    begun = [tensors.zeros_like(part) for part in state] if initial is None else initial
    outputs, ends = inputs, []
    for layer, each in enumerate(weights):
        if layer > 0 and between is not None:
            outputs = between(layer - 1, outputs)
        from_inputs = tensors.matmul(outputs, tensors.matrix_transpose(each.input))
        if each.bias is not None:
            from_inputs = from_inputs + each.bias
        recurrent = tensors.matrix_transpose(each.recurrent)
        held, hidden = [part[layer] for part in state], []
        for t, from_input in enumerate(tensors.unstack(from_inputs)):
            if resets is not None:
                begins = tensors.expand_dims(resets[t], axis=1)
                held = [tensors.where(begins, new[layer], part) for new, part in zip(begun, held, strict=True)]
            held = step(from_input, tensors.matmul(held[0], recurrent), held, each)
            hidden.append(held[0])
        outputs = tensors.stack(hidden)
        ends.append(held)
    return outputs, [tensors.stack(parts) for parts in zip(*ends, strict=True)]
