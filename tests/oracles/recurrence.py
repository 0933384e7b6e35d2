"""LSTM, GRU and simple RNN, forward and backward, step by step in NumPy float64: written from the formulas alone.

Nothing is hoisted, fused or shared with the engines' code. T steps, B rows, F features, H units, L layers. A run is

    outputs, state, tape = forward(kind, inputs, state, weights, masks)
    gradients = backward(tape, d_outputs, d_state)

with `kind` one of "lstm", "gru", "tanh", "relu"; `state` a list of arrays (L, B, H) (h, and c for the LSTM); `weights`
one dict a layer with "input" (G·H, F), "recurrent" (G·H, H), "bias" (G·H,) or None, "candidate_bias" (H,) or None;
`masks` what the outputs of every layer but the last are multiplied by, or None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STATES = {"lstm": 2, "gru": 1, "tanh": 1, "relu": 1}
GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def bias_of(weights: dict[str, Any]) -> Any:
    return 0.0 if weights["bias"] is None else weights["bias"]


def second_bias_of(weights: dict[str, Any]) -> Any:
    return 0.0 if weights["candidate_bias"] is None else weights["candidate_bias"]


def lstm_step(x, state, weights):
    h, c = state
    i, f, g, o = np.split(x @ weights["input"].T + h @ weights["recurrent"].T + bias_of(weights), 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c_new = f * c + i * g
    return [o * np.tanh(c_new), c_new], (x, h, c, i, f, g, o, c_new)


def lstm_step_back(record, d_state, weights, gradient):
    x, h, c, i, f, g, o, c_new = record
    dh, dc = d_state
    do = dh * np.tanh(c_new)
    dc = dc + dh * o * (1 - np.tanh(c_new) ** 2)
    di, df, dg = dc * g, dc * c, dc * i
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)], axis=1)
    add_products(gradient, dz, dz, x, h)
    return dz @ weights["input"], [dz @ weights["recurrent"], dc * f]


def gru_step(x, state, weights):
    (h,) = state
    ax, az, an = np.split(x @ weights["input"].T + bias_of(weights), 3, axis=1)
    hr, hz, hn = np.split(h @ weights["recurrent"].T, 3, axis=1)
    hn = hn + second_bias_of(weights)
    r, z = sigmoid(ax + hr), sigmoid(az + hz)
    n = np.tanh(an + r * hn)
    return [(1 - z) * n + z * h], (x, h, r, z, n, hn)


def gru_step_back(record, d_state, weights, gradient):
    x, h, r, z, n, hn = record
    (dh,) = d_state
    dn, dz = dh * (1 - z), dh * (h - n)
    dn_in = dn * (1 - n**2)
    dr_in, dz_in = dn_in * hn * r * (1 - r), dz * z * (1 - z)
    from_x = np.concatenate([dr_in, dz_in, dn_in], axis=1)
    from_h = np.concatenate([dr_in, dz_in, dn_in * r], axis=1)
    add_products(gradient, from_x, from_h, x, h)
    if gradient["candidate_bias"] is not None:
        gradient["candidate_bias"] += (dn_in * r).sum(axis=0)
    return from_x @ weights["input"], [dh * z + from_h @ weights["recurrent"]]


def plain_step(activation):
    def step(x, state, weights):
        (h,) = state
        h_new = activation(x @ weights["input"].T + h @ weights["recurrent"].T + bias_of(weights))
        return [h_new], (x, h, h_new)

    return step


def plain_step_back(slope):
    def step_back(record, d_state, weights, gradient):
        x, h, h_new = record
        dz = d_state[0] * slope(h_new)
        add_products(gradient, dz, dz, x, h)
        return dz @ weights["input"], [dz @ weights["recurrent"]]

    return step_back


def add_products(gradient, from_x, from_h, x, h):
    gradient["input"] += from_x.T @ x
    gradient["recurrent"] += from_h.T @ h
    if gradient["bias"] is not None:
        gradient["bias"] += from_x.sum(axis=0)


STEPS = {
    "lstm": (lstm_step, lstm_step_back),
    "gru": (gru_step, gru_step_back),
    "tanh": (plain_step(np.tanh), plain_step_back(lambda h: 1 - h**2)),
    "relu": (plain_step(lambda z: np.maximum(z, 0)), plain_step_back(lambda h: (h > 0).astype(h.dtype))),
}


def forward(kind, inputs, state, weights, masks=None):
    step, _ = STEPS[kind]
    outputs, end, records = inputs, [], []
    for layer, layer_weights in enumerate(weights):
        if layer > 0 and masks is not None:
            outputs = outputs * masks[layer - 1]
        carry, layer_outputs, layer_records = [part[layer] for part in state], [], []
        for x in outputs:
            carry, record = step(x, carry, layer_weights)
            layer_outputs.append(carry[0])
            layer_records.append(record)
        outputs = np.array(layer_outputs)
        end.append(carry)
        records.append(layer_records)
    return outputs, [np.array(parts) for parts in zip(*end, strict=True)], (kind, weights, masks, records)


def backward(tape, d_outputs, d_state):
    """Gradients of Σ ⟨outputs, d_outputs⟩ + Σ ⟨state, d_state⟩: {"inputs", "state": [...], "weights": [{...}, ...]}."""
    kind, weights, masks, records = tape
    _, step_back = STEPS[kind]
    gradients = [{key: None if w is None else np.zeros_like(w) for key, w in each.items()} for each in weights]
    d_starts = []
    for layer in reversed(range(len(weights))):
        carry, d_inputs = [part[layer] for part in d_state], []
        for t in reversed(range(len(records[layer]))):
            carry = [carry[0] + d_outputs[t], *carry[1:]]
            dx, carry = step_back(records[layer][t], carry, weights[layer], gradients[layer])
            d_inputs.append(dx)
        d_outputs = np.array(d_inputs[::-1])
        if layer > 0 and masks is not None:
            d_outputs = d_outputs * masks[layer - 1]
        d_starts.append(carry)
    d_state = [np.array(parts) for parts in zip(*reversed(d_starts), strict=True)]
    return {"inputs": d_outputs, "state": d_state, "weights": gradients}
