"""Random round trips: torch, ours, Keras, ours, torch. The same outputs, and the same weights after training in each world.

What is trained is where the definitions agree. torch's LSTM and RNN train with their second bias frozen at zero, since it would
move the sum twice as far; a GRU is trained without biases, as both torch and Keras have two for its gates and ours has one.
Outputs and states are compared with every bias there is, before training. Plain SGD, mean squared error, three windows with the
state carried, float64, 1e-12.

``TBPTT_ROUND_TRIPS=1000`` runs so many examples; 30 otherwise.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import torch
from hypothesis import strategies as st

from interop.worlds import (
    KINDS,
    assert_same,
    float64,
    keras_layers,
    our_layer,
    run_keras,
    run_ours,
    run_torch,
    torch_layer,
)

# isort: split
import tensorflow as tf

import tbptt
from tbptt import interop, nn, ops, optim

EXAMPLES = int(os.environ.get("TBPTT_ROUND_TRIPS", "30"))
RATE = 0.05


class Case(NamedTuple):
    engine: str
    kind: str
    inputs: int
    units: int
    layers: int
    rows: int
    steps: int
    bias: bool
    seed: int


SIZES = st.integers(1, 5)
CASES = st.builds(
    Case,
    engine=st.sampled_from(["torch", "tensorflow"]),
    kind=st.sampled_from(KINDS),
    inputs=SIZES,
    units=SIZES,
    layers=st.integers(1, 2),
    rows=SIZES,
    steps=SIZES,
    bias=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


def drawn(draw: np.random.Generator, layer: Any) -> Any:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.tensor(draw.uniform(-0.7, 0.7, size=tuple(parameter.shape))))
    return layer


def detached(state: Any) -> Any:
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def train_torch(layer: Any, xs: np.ndarray, ys: np.ndarray) -> list[np.ndarray]:
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(not name.startswith("bias_hh"))
    trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    optimizer, state = torch.optim.SGD(trained, lr=RATE), None
    for x, y in zip(xs, ys, strict=True):
        outputs, state = layer(torch.tensor(x), state)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(outputs, torch.tensor(y)).backward()
        optimizer.step()
        state = detached(state)
    return [parameter.detach().numpy() for parameter in layer.parameters()]


def train_keras(layers: list[Any], xs: np.ndarray, ys: np.ndarray) -> None:
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    states: list[Any] = [None] * len(layers)
    for x, y in zip(xs, ys, strict=True):
        with tf.GradientTape() as tape:
            outputs = tf.constant(x)
            for i, layer in enumerate(layers):
                outputs, *states[i] = layer(outputs, initial_state=states[i])
            loss = tf.reduce_mean((outputs - y) ** 2)
        states = [[tf.stop_gradient(part) for part in state] for state in states]
        for variable, gradient in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True):
            variable.value.assign_sub(RATE * gradient)


def train_ours(layer: Any, xs: np.ndarray, ys: np.ndarray) -> None:
    optimizer, state = optim.SGD(layer.parameters(), lr=RATE), None
    for x, y in zip(xs, ys, strict=True):
        with tbptt.GradientTape() as tape:
            outputs, state = layer(ops.asarray(x), state)
            loss = nn.functional.mse_loss(outputs, ops.asarray(y))
        optimizer.apply(tape.gradient(loss, layer.parameters()))
        state = tbptt.detach(state)


def load_keras(layers: list[Any], weights: Any) -> None:
    for layer, arrays in zip(layers, weights if len(layers) > 1 else [weights], strict=True):
        layer.set_weights(arrays)


def lists(layers: list[Any]) -> Any:
    weights = [layer.get_weights() for layer in layers]
    return weights if len(layers) > 1 else weights[0]


@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 30,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(CASES)
def test_weights_survive_all_three_worlds(case: Case) -> None:
    draw = np.random.default_rng(case.seed)
    xs = draw.uniform(-1, 1, size=(3, case.rows, case.steps, case.inputs))
    ys = draw.uniform(-1, 1, size=(3, case.rows, case.steps, case.units))
    with tbptt.use_backend(case.engine), float64():
        sizes = (case.kind, case.inputs, case.units, case.layers)
        first = drawn(draw, torch_layer(*sizes, case.bias))
        there, keras_world, back = (
            our_layer(*sizes, case.bias),
            keras_layers(*sizes, case.bias),
            our_layer(*sizes, case.bias),
        )
        last = torch_layer(*sizes, case.bias)
        interop.load_torch_state_dict(there, first.state_dict())
        load_keras(keras_world, interop.keras_weights(there))
        interop.load_keras_weights(back, lists(keras_world))
        last.load_state_dict(interop.torch_state_dict(back, convert=torch.from_numpy))
        wanted = run_torch(first, xs[0])
        for outputs in (
            run_ours(there, xs[0]),
            run_keras(keras_world, xs[0]),
            run_ours(back, xs[0]),
            run_torch(last, xs[0]),
        ):
            assert_same(outputs, wanted)

        if case.kind == "gru" and case.bias:  # trained, three parametrizations would be three models
            return
        train_ours(there, xs, ys)
        train_keras(keras_world, xs, ys)
        found = train_torch(last, xs, ys)
        assert_same(list(interop.torch_state_dict(there).values()), found)
        interop.load_keras_weights(back, lists(keras_world))
        assert_same(list(interop.torch_state_dict(back).values()), found)
        assert_same(run_ours(there, xs[0]), run_torch(last, xs[0]))
