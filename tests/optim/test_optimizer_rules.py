"""The optimizers against the NumPy oracle, torch's own and Keras' own; the suite has the rules that engines give them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from optimizer_table import RULES, SHAPES, draw, largest_difference, numpy, parameters, rule_name, tensors, train

import tbptt.backends
from tbptt import optim


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_fifty_updates_equal_the_numpy_oracle(backend, rule):
    optimizer_class, oracle, options = rule
    starts, gradients = draw()
    received = train(backend, optimizer_class, options, starts, gradients)
    expected = [oracle(start, [update[i] for update in gradients], **options) for i, start in enumerate(starts)]
    assert largest_difference(received, expected) < 1e-12


@pytest.mark.parametrize(
    "rule", [r for r in RULES if not r[2].keys() & {"epsilon_hat", "epsilon_inside"}], ids=rule_name
)
def test_fifty_updates_equal_torch_optim(backend, rule):
    optimizer_class, _, options = rule
    starts, gradients = draw(seed=1)
    received = train(backend, optimizer_class, options, starts, gradients)
    peers = [torch.nn.Parameter(torch.tensor(start)) for start in starts]
    peer = getattr(torch.optim, optimizer_class.__name__)(peers, **options)
    for update in gradients:
        for parameter, gradient in zip(peers, update, strict=True):
            parameter.grad = torch.tensor(gradient)
        peer.step()
    assert largest_difference(received, [p.detach().numpy() for p in peers]) < 1e-12


def _keras(optimizer, starts, gradients):
    import keras
    import tensorflow as tf

    dtype = str(starts[0].dtype)
    previous = keras.config.floatx()
    keras.config.set_floatx(dtype)  # Keras keeps its learning rate, and so the precision of its step, in this dtype
    try:
        made = optimizer(keras)
        variables = [keras.Variable(start, dtype=dtype) for start in starts]
        made.build(variables)
        for update in gradients:
            made.apply([tf.constant(gradient) for gradient in update], variables)
        return [variable.value.numpy() for variable in variables]
    finally:
        keras.config.set_floatx(previous)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_epsilon_hat_is_the_adam_of_keras(backend, amsgrad):
    starts, gradients = draw(seed=2)
    beta1, beta2 = 0.875, 1 - 2.0**-10  # exact in float32, through which Keras takes them even in a float64 run
    peer = _keras(
        lambda keras: keras.optimizers.Adam(0.02, beta_1=beta1, beta_2=beta2, epsilon=1e-3, amsgrad=amsgrad),
        starts,
        gradients,
    )
    options = {"lr": 0.02, "betas": (beta1, beta2), "eps": 1e-3, "epsilon_hat": True, "amsgrad": amsgrad}
    assert largest_difference(train(backend, optim.Adam, options, starts, gradients), peer) < 1e-10


@pytest.mark.parametrize("centered", [False, True])
def test_epsilon_inside_is_the_rmsprop_of_keras(backend, centered):
    starts, gradients = draw(seed=3)
    peer = _keras(
        lambda keras: keras.optimizers.RMSprop(0.01, rho=0.9, epsilon=1e-3, centered=centered), starts, gradients
    )
    options = {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "epsilon_inside": True, "centered": centered}
    assert largest_difference(train(backend, optim.RMSprop, options, starts, gradients), peer) < 1e-10


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_engines_agree_in_float32_after_fifty_updates(rule):
    optimizer_class, _, options = rule
    starts, gradients = draw(seed=4, dtype="float32")
    first, second = (
        train(tbptt.backends.load(name), optimizer_class, options, starts, gradients)
        for name in ("torch", "tensorflow")
    )
    assert largest_difference(first, second) < 1e-6
    assert all(array.dtype == np.float32 for array in (*first, *second))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_updates_compile_with_xla_and_take_the_rate_as_a_tensor(dtype):
    """All rules in one program, because compiling is what takes the time."""
    import tensorflow as tf

    backend = tbptt.backends.load("tensorflow")
    starts, gradients = draw(seed=6, shapes=SHAPES[1:], dtype=dtype)
    held = [parameters(backend, starts) for _ in RULES]
    optimizers = [rule[0](mine, **rule[2]) for rule, mine in zip(RULES, held, strict=True)]
    traces = []

    @tf.function(jit_compile=True, autograph=False)
    def update(gradients, factor):
        traces.append(1)
        for rule, optimizer in zip(RULES, optimizers, strict=True):
            optimizer.update(list(gradients), [rule[2]["lr"] * factor])

    factors = [0.97**step for step in range(len(gradients))]
    for factor, arrays in zip(factors, gradients, strict=True):
        update(tuple(tensors(backend, arrays)), tf.constant(factor, tf.float64))
    assert len(traces) == 1
    for rule, mine in zip(RULES, held, strict=True):
        options = {**rule[2], "lr": [rule[2]["lr"] * factor for factor in factors]}
        expected = [rule[1](start, [u[i] for u in gradients], **options) for i, start in enumerate(starts)]
        difference = largest_difference(numpy(backend, mine), expected)
        assert difference < (1e-12 if dtype == "float64" else 2e-6), rule_name(rule)


@pytest.mark.parametrize("rule", [RULES[4], RULES[9], RULES[16], RULES[22]], ids=rule_name)
def test_parameters_of_two_dtypes_and_of_any_layout_share_a_group(backend, rule):
    optimizer_class, oracle, options = rule
    starts, gradients = draw(seed=7, shapes=[(3, 4), (4, 2), (3,)], updates=20)
    starts[2] = starts[2].astype("float32")
    for update in gradients:
        update[2] = update[2].astype("float32")
    held = parameters(backend, starts)
    if backend.name == "torch":  # a parameter whose memory is not in order; other engines have no such thing
        held[1] = torch.nn.Parameter(torch.tensor(starts[1].T.copy()).t())
        assert not held[1].is_contiguous()
    optimizer = optimizer_class(held, **options)
    for update in gradients:
        optimizer.apply(tensors(backend, update))
    expected = [oracle(start, [update[i] for update in gradients], **options) for i, start in enumerate(starts)]
    received = numpy(backend, held)
    assert largest_difference(received[:2], expected[:2]) < 1e-12
    assert largest_difference(received[2:], expected[2:]) < 2e-6


def test_repeated_rows_of_a_sparse_gradient_are_summed():
    """Squares of the parts are not the square of the sum: 1 + 2 on one row must count as 3."""
    import tensorflow as tf

    expected = train(
        tbptt.backends.load("tensorflow"),
        optim.Adagrad,
        {},
        [np.ones((3, 2))],
        [[np.array([[3.0] * 2, [0.0] * 2, [0.0] * 2])]],
    )
    weight = tf.Variable(np.ones((3, 2)))
    slices = tf.IndexedSlices(tf.constant([[1.0] * 2, [2.0] * 2], tf.float64), tf.constant([0, 0]), tf.constant([3, 2]))
    optim.Adagrad([weight]).apply([slices])
    assert np.array_equal(weight.numpy(), expected[0])

    other = torch.nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
    lookup = torch.nn.functional.embedding(torch.tensor([0, 0, 0]), other, sparse=True).sum()
    optim.Adagrad([other]).apply(torch.autograd.grad(lookup, [other]))
    assert torch.equal(other.detach(), torch.tensor(expected[0]))


def test_half_precision_parameters_are_updated_and_saved(backend):
    for dtype in ("float16", "bfloat16"):
        held = [backend.tensors.asarray(np.ones(4, "float32"), dtype=dtype)]
        weights = [backend.tensors.parameter(held[0])]
        optimizer = optim.Adam(weights, lr=0.5)
        optimizer.apply(held)
        assert np.allclose(np.asarray(backend.tensors.to_numpy(weights[0]), "float32"), 0.5, atol=1e-2)
        assert optimizer.state_dict()["groups"][0]["slots"]["exp_avg"][0].dtype == np.float32
        optimizer.load_state_dict(optimizer.state_dict())
