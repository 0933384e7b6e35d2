"""What can be said about the roads to cuDNN without a GPU: when they are taken, and that shapes and memory fit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import tbptt_torch.recurrence as torch_recurrence

# isort: split
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence
from tbptt.protocols import LayerWeights
from tbptt.testing.conformance.recurrence_problems import call, problem

PACKED = [("lstm", True), ("lstm", False), ("gru", True), ("gru", False), ("relu", True)]


def flatten(tensors, *_):
    """What cuDNN's packing does to memory: one buffer, every tensor a part of it."""
    buffer = torch.cat([each.reshape(-1) for each in tensors])
    begin = 0
    for each in tensors:
        shape, size = each.shape, each.numel()
        each.set_(buffer[begin : begin + size].view(shape))
        begin += size


@pytest.fixture
def packing(monkeypatch):
    """The packing of a GPU on the CPU; the list has one entry for each time weights were moved."""
    moved = []

    def flatten_and_count(*arguments):
        moved.append(len(arguments[0]))
        flatten(*arguments)

    kernels = SimpleNamespace(_cudnn_rnn_flatten_weight=flatten_and_count)
    for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        setattr(kernels, kind, getattr(torch_recurrence._kernels, kind))
    monkeypatch.setattr(torch_recurrence, "_kernels", kernels)
    monkeypatch.setattr(torch_recurrence, "_can_pack", lambda weights: True)
    return moved


def parameters(given):
    return [
        {key: None if value is None else torch.nn.Parameter(torch.tensor(value)) for key, value in each.items()}
        for each in given.weights
    ]


@pytest.mark.parametrize(("kind", "has_bias"), PACKED)
def test_packed_weights_give_the_same_numbers_and_gradients(packing, kind, has_bias):
    given = problem(kind, layers=2, has_bias=has_bias)
    weights, state = parameters(given), [torch.tensor(part) for part in given.state]
    sources = [value for each in weights for value in each.values() if value is not None]
    for _ in range(2):
        outputs, end = call(torch_recurrence, kind, torch.tensor(given.inputs), state, weights)
        cotangents = [torch.tensor(array) for array in [given.d_outputs, *given.d_state]]
        gradients = torch.autograd.grad([outputs, *end], sources, cotangents)
        expected = [value for name, value in given.expected().items() if name.startswith("gradient of layer")]
        for found, wanted in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * max(1, np.abs(wanted).max()))
    assert packing == [2 * (4 if has_bias else 2)]
    assert len({each.untyped_storage().data_ptr() for each in sources}) == 1


def test_an_optimizers_change_in_place_reaches_the_packed_candidate_bias(packing):
    given = problem("gru")
    weights, state = parameters(given), [torch.tensor(part) for part in given.state]
    call(torch_recurrence, "gru", torch.tensor(given.inputs), state, weights)
    with torch.no_grad():
        weights[0]["candidate_bias"].add_(1.0)
        given.weights[0]["candidate_bias"] += 1.0
        outputs, _ = call(torch_recurrence, "gru", torch.tensor(given.inputs), state, weights)
    np.testing.assert_allclose(outputs, given.expected()["outputs"], rtol=0, atol=1e-12)
    assert packing == [4]


def test_weights_that_were_moved_are_packed_again(packing):
    given = problem("lstm")
    weights, state = parameters(given), [torch.tensor(part) for part in given.state]
    call(torch_recurrence, "lstm", torch.tensor(given.inputs), state, weights)
    weights[0]["recurrent"].data = weights[0]["recurrent"].data.clone()
    call(torch_recurrence, "lstm", torch.tensor(given.inputs), state, weights)
    assert packing == [4, 4]


def test_nothing_is_packed_on_the_cpu():
    weights = [LayerWeights(**each) for each in parameters(problem("lstm"))]
    assert not torch_recurrence._can_pack(weights)


@pytest.mark.parametrize("xla", [True, False])
def test_tensorflow_takes_cudnn_on_a_gpu_outside_xla_only(monkeypatch, xla):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU:0"])
    answers = []

    @tf.function(jit_compile=xla)
    def step(inputs):
        answers.append(tensorflow_recurrence._cudnn_serves(inputs))
        return inputs

    step(tf.zeros(()))
    assert answers == [not xla]
    with tf.device("CPU"):
        assert not tensorflow_recurrence._cudnn_serves(tf.zeros(()))


@pytest.mark.parametrize(("kind", "gates", "parts"), [("lstm", 4, 2), ("gru", 3, 1), ("rnn_relu", 1, 1)])
def test_cudnns_operation_and_its_gradient_have_the_shapes_of_ours(kind, gates, parts):
    with tf.Graph().as_default():
        inputs, start = tf.zeros((5, 3, 4)), [tf.zeros((3, 6))] * parts
        candidate_bias = tf.zeros(6) if kind == "gru" else None
        weights = [tf.zeros((gates * 6, 4)), tf.zeros((gates * 6, 6)), tf.zeros(gates * 6), candidate_bias]
        outputs, *end = tensorflow_recurrence._cudnn_layer(kind, inputs, start, weights)
        sources = [inputs, *start, *(each for each in weights if each is not None)]
        gradients = tf.gradients([outputs, *end], sources)
        assert outputs.shape.rank == 3 and len(end) == parts
        assert all(found.shape.is_compatible_with(each.shape) for found, each in zip(gradients, sources, strict=True))
