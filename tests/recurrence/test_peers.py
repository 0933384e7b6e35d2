"""The kernels give what the frameworks' own layers give, for the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tbptt_torch.recurrence as torch_recurrence
from tbptt.testing.conformance.recurrence_problems import call, problem

# isort: split
import keras
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence


def ours(engine, given):
    module, tensor = {
        "torch": (torch_recurrence, torch.tensor),
        "tensorflow": (tensorflow_recurrence, tf.constant),
    }[engine]
    weights = [{k: None if v is None else tensor(v) for k, v in each.items()} for each in given.weights]
    outputs, state = call(module, given.kind, tensor(given.inputs), [tensor(part) for part in given.state], weights)
    return outputs.numpy(), [part.numpy() for part in state]


def assert_same(found, outputs, state):
    np.testing.assert_allclose(found[0], outputs, rtol=0, atol=1e-12)
    for part, wanted in zip(found[1], state, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_a_stack_is_torchs(engine, kind):
    given = problem(kind, layers=2)
    options = {} if kind in ("lstm", "gru") else {"nonlinearity": kind}
    layer_class = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}.get(kind, torch.nn.RNN)
    layer = layer_class(4, 6, num_layers=2, dtype=torch.float64, **options)
    with torch.no_grad():
        for number, each in enumerate(given.weights):
            second = np.zeros_like(each["bias"])
            if each["candidate_bias"] is not None:
                second[-6:] = each["candidate_bias"]
            names = {
                "weight_ih": each["input"],
                "weight_hh": each["recurrent"],
                "bias_ih": each["bias"],
                "bias_hh": second,
            }
            for name, value in names.items():
                getattr(layer, f"{name}_l{number}").copy_(torch.tensor(value))
        state = tuple(map(torch.tensor, given.state))
        outputs, end = layer(torch.tensor(given.inputs), state if kind == "lstm" else state[0])
    assert_same(ours(engine, given), outputs.numpy(), [part.numpy() for part in (end if kind == "lstm" else [end])])


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh", "relu"])
def test_a_layer_is_keras(engine, kind):
    given = problem(kind)
    (weights,) = given.weights
    options = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    if kind == "lstm":  # the same order of gates
        layer, arrays = keras.layers.LSTM(6, **options), [weights["input"].T, weights["recurrent"].T, weights["bias"]]
    elif kind == "gru":  # Keras has z, r, n

        def turned(array):
            r, z, n = np.split(array, 3)
            return np.concatenate([z, r, n]).T

        second = np.concatenate([np.zeros(12), weights["candidate_bias"]])
        biases = np.stack([turned(weights["bias"]), turned(second)])
        layer = keras.layers.GRU(6, reset_after=True, **options)
        arrays = [turned(weights["input"]), turned(weights["recurrent"]), biases]
    else:
        layer = keras.layers.SimpleRNN(6, activation=kind, **options)
        arrays = [weights["input"].T, weights["recurrent"].T, weights["bias"]]
    layer.build((3, 5, 4))
    layer.set_weights(arrays)
    outputs, *state = layer(given.inputs.transpose(1, 0, 2), initial_state=[part[0] for part in given.state])
    assert_same(ours(engine, given), np.array(outputs).transpose(1, 0, 2), [np.array(part)[None] for part in state])
