"""LSTM, GRU and simple RNN, forward and backward, step by step in NumPy float64: written from the formulas alone.

Nothing is hoisted, fused or shared with the engines' code. T steps, B rows, F features, H units, L layers. A run is

    outputs, state, tape = forward(kind, inputs, state, weights, masks)
    gradients = backward(tape, d_outputs, d_state)

with `kind` one of "lstm", "gru", "tanh", "relu"; `state` a list of arrays (L, B, H) (h, and c for the LSTM); `weights`
one dict a layer with "input" (G·H, F), "recurrent" (G·H, H), "bias" (G·H,) or None, "candidate_bias" (H,) or None;
`masks` what the outputs of every layer but the last are multiplied by, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tbptt.types import Array

Weights: TypeAlias = dict[str, Any]
Record: TypeAlias = tuple[Array, ...]
"""What the way back needs of a step."""

STATES = {"lstm": 2, "gru": 1, "tanh": 1, "relu": 1}
GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def _sigmoid(x: Array) -> Array:
    # written with tanh, which does not overflow: the gates of a saturated unit are asked for too
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _bias(weights: Weights) -> Any:
    return 0.0 if weights["bias"] is None else weights["bias"]


def _second_bias(weights: Weights) -> Any:
    return 0.0 if weights["candidate_bias"] is None else weights["candidate_bias"]


def _lstm_step(x: Array, state: list[Array], weights: Weights) -> tuple[list[Array], Record]:
    h, c = state
    i, f, g, o = np.split(x @ weights["input"].T + h @ weights["recurrent"].T + _bias(weights), 4, axis=1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    c_new = f * c + i * g
    return [o * np.tanh(c_new), c_new], (x, h, c, i, f, g, o, c_new)


def _lstm_step_back(
    record: Record, d_state: list[Array], weights: Weights, gradient: Weights
) -> tuple[Array, list[Array]]:
    x, h, c, i, f, g, o, c_new = record
    dh, dc = d_state
    do = dh * np.tanh(c_new)
    dc = dc + dh * o * (1 - np.tanh(c_new) ** 2)
    di, df, dg = dc * g, dc * c, dc * i
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
    _add_products(gradient, dz, dz, x, h)
    return dz @ weights["input"], [dz @ weights["recurrent"], dc * f]


def _gru_step(x: Array, state: list[Array], weights: Weights) -> tuple[list[Array], Record]:
    (h,) = state
    ax, az, an = np.split(x @ weights["input"].T + _bias(weights), 3, axis=1)
    hr, hz, hn = np.split(h @ weights["recurrent"].T, 3, axis=1)
    hn = hn + _second_bias(weights)
    r, z = _sigmoid(ax + hr), _sigmoid(az + hz)
    n = np.tanh(an + r * hn)
    return [(1 - z) * n + z * h], (x, h, r, z, n, hn)


def _gru_step_back(
    record: Record, d_state: list[Array], weights: Weights, gradient: Weights
) -> tuple[Array, list[Array]]:
    x, h, r, z, n, hn = record
    (dh,) = d_state
    dn, dz = dh * (1 - z), dh * (h - n)
    dn_in = dn * (1 - n**2)
    dr_in, dz_in = dn_in * hn * r * (1 - r), dz * z * (1 - z)
    from_x = np.concatenate([dr_in, dz_in, dn_in], axis=1)
    from_h = np.concatenate([dr_in, dz_in, dn_in * r], axis=1)
    _add_products(gradient, from_x, from_h, x, h)
    if gradient["candidate_bias"] is not None:
        gradient["candidate_bias"] += (dn_in * r).sum(axis=0)
    return from_x @ weights["input"], [dh * z + from_h @ weights["recurrent"]]


def _plain_step(activation: Callable[[Array], Array]) -> Any:
    def step(x: Array, state: list[Array], weights: Weights) -> tuple[list[Array], Record]:
        (h,) = state
        h_new = activation(x @ weights["input"].T + h @ weights["recurrent"].T + _bias(weights))
        return [h_new], (x, h, h_new)

    return step


def _plain_step_back(slope: Callable[[Array], Array]) -> Any:
    def step_back(
        record: Record, d_state: list[Array], weights: Weights, gradient: Weights
    ) -> tuple[Array, list[Array]]:
        x, h, h_new = record
        dz = d_state[0] * slope(h_new)
        _add_products(gradient, dz, dz, x, h)
        return dz @ weights["input"], [dz @ weights["recurrent"]]

    return step_back


def _add_products(gradient: Weights, from_x: Array, from_h: Array, x: Array, h: Array) -> None:
    gradient["input"] += from_x.T @ x
    gradient["recurrent"] += from_h.T @ h
    if gradient["bias"] is not None:
        gradient["bias"] += from_x.sum(axis=0)


_STEPS: dict[str, Any] = {
    "lstm": (_lstm_step, _lstm_step_back),
    "gru": (_gru_step, _gru_step_back),
    "tanh": (_plain_step(np.tanh), _plain_step_back(lambda h: 1 - h**2)),
    "relu": (_plain_step(lambda z: np.maximum(z, 0)), _plain_step_back(lambda h: (h > 0).astype(h.dtype))),
}


def forward(
    kind: str, inputs: Array, state: Sequence[Array], weights: Sequence[Weights], masks: Sequence[Array] | None = None
) -> tuple[Array, list[Array], Any]:
    """Outputs (T, B, H) of the last layer, the state after the last step, and what `backward` needs."""
    step, _ = _STEPS[kind]
    outputs, end, records = inputs, [], []
    for layer, layer_weights in enumerate(weights):
        if layer > 0 and masks is not None:
            outputs = outputs * masks[layer - 1]
        carry, layer_outputs, layer_records = [part[layer] for part in state], [], []
        for x in outputs:
            carry, record = step(x, carry, layer_weights)
            layer_outputs.append(carry[0])
            layer_records.append(record)
        outputs = np.array(layer_outputs).reshape(len(inputs), *state[0].shape[1:])
        end.append(carry)
        records.append(layer_records)
    return outputs, [np.array(parts) for parts in zip(*end, strict=True)], (kind, weights, masks, records)


def backward(tape: Any, d_outputs: Array, d_state: Sequence[Array]) -> dict[str, Any]:
    """Gradients of Σ ⟨outputs, d_outputs⟩ + Σ ⟨state, d_state⟩: {"inputs", "state": [...], "weights": [{...}, ...]}."""
    kind, weights, masks, records = tape
    _, step_back = _STEPS[kind]
    gradients = [{key: None if w is None else np.zeros_like(w) for key, w in each.items()} for each in weights]
    d_starts = []
    for layer in reversed(range(len(weights))):
        carry, d_inputs = [part[layer] for part in d_state], []
        for t in reversed(range(len(records[layer]))):
            carry = [carry[0] + d_outputs[t], *carry[1:]]
            dx, carry = step_back(records[layer][t], carry, weights[layer], gradients[layer])
            d_inputs.append(dx)
        features = weights[layer]["input"].shape[1]
        d_outputs = np.array(d_inputs[::-1]).reshape(*d_outputs.shape[:2], features)
        if layer > 0 and masks is not None:
            d_outputs = d_outputs * masks[layer - 1]
        d_starts.append(carry)
    d_entering = [np.array(parts) for parts in zip(*reversed(d_starts), strict=True)]
    return {"inputs": d_outputs, "state": d_entering, "weights": gradients}
