"""NUMERICS' rows on optimizers and clipping, against Keras and torch as installed. `rows.py` says what is tested elsewhere: every
rule against the NumPy oracle and against torch.optim.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from numerics.peers import BETAS, array, close, float64, keras_train
from tbptt import optim
from tbptt.protocols import Backend
from tbptt.testing.oracles import optimizers as oracle

# isort: split
import keras
import tensorflow as tf

RATE, COUNT = 0.02, 40
DRAW = np.random.default_rng(0)
STARTS = [DRAW.standard_normal(shape) for shape in ((3, 4), (5,))]
UPDATES = [[scale * (DRAW.standard_normal(start.shape) + 0.3) for scale, start in zip((1e-2, 3.0), STARTS, strict=True)]
           for _ in range(COUNT)]  # fmt: skip
RATES = [RATE * 0.9**t for t in range(COUNT)]


def ours(backend: Backend, make: Any, rates: Any = None, updates: Any = UPDATES) -> list[np.ndarray]:
    """Our parameters after all updates."""
    parameters = [backend.tensors.parameter(start) for start in STARTS]
    optimizer = make(parameters)
    for t, gradients in enumerate(updates):
        if rates is not None:
            optimizer.lr = rates[t]
        optimizer.apply([backend.tensors.asarray(gradient) for gradient in gradients])
    return [array(parameter) for parameter in parameters]


def same(received: Any, expected: Any) -> None:
    for one, other in zip(received, expected, strict=True):
        close(one, other)


def apart(one: Any, other: Any) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def by_oracle(rule: Any, **options: Any) -> list[np.ndarray]:
    return [rule(start, [gradients[i] for gradients in UPDATES], **options) for i, start in enumerate(STARTS)]


# -------------------------------------------------------------------------------------------------- SGD momentum


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_momentum_is_that_of_keras_while_the_rate_stays(backend: Backend, nesterov: bool) -> None:
    options: dict[str, Any] = {"momentum": 0.875, "nesterov": nesterov}
    received = ours(backend, lambda p: optim.SGD(p, lr=RATE, **options))
    same(received, keras_train(lambda: keras.optimizers.SGD(RATE, **options), STARTS, UPDATES))


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_momentum_of_keras_has_the_rate_inside_where_ours_and_torchs_is_outside(
    backend: Backend, nesterov: bool
) -> None:
    options: dict[str, Any] = {"momentum": 0.875, "nesterov": nesterov}
    received = ours(backend, lambda p: optim.SGD(p, lr=1.0, **options), RATES)
    same(received, by_oracle(oracle.sgd, lr=RATES, **options))
    held = [torch.nn.Parameter(torch.tensor(start)) for start in STARTS]
    peer = torch.optim.SGD(held, lr=1.0, **options)
    for rate, gradients in zip(RATES, UPDATES, strict=True):
        peer.param_groups[0]["lr"] = rate
        for parameter, gradient in zip(held, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        peer.step()
    same(received, [parameter.detach().numpy() for parameter in held])
    theirs = keras_train(lambda: keras.optimizers.SGD(1.0, **options), STARTS, UPDATES, RATES)
    assert apart(received, theirs) > 1e-2
    # the conversion: gradients times the rate of their own update, and a rate of 1
    scaled = [[rate * gradient for gradient in gradients] for rate, gradients in zip(RATES, UPDATES, strict=True)]
    same(ours(backend, lambda p: optim.SGD(p, lr=1.0, **options), updates=scaled), theirs)


# -------------------------------------------------------------------------------------------------- Adam, weight decay


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_with_epsilon_hat_is_that_of_keras(backend: Backend, amsgrad: bool) -> None:
    received = ours(backend, lambda p: optim.Adam(p, lr=RATE, betas=BETAS, eps=1e-3, epsilon_hat=True, amsgrad=amsgrad))
    theirs = keras_train(lambda: keras.optimizers.Adam(RATE, *BETAS, epsilon=1e-3, amsgrad=amsgrad), STARTS, UPDATES)
    same(received, theirs)


def test_adam_is_that_of_keras_with_an_epsilon_that_grows(backend: Backend) -> None:
    """ε_hat = ε·√(1 − β2^t) at update t."""
    eps = 1e-2

    def grow(optimizer: Any, t: int) -> None:
        optimizer.epsilon = eps * np.sqrt(1 - BETAS[1] ** t)

    theirs = keras_train(lambda: keras.optimizers.Adam(RATE, *BETAS), STARTS, UPDATES, before_update=grow)
    received = ours(backend, lambda p: optim.Adam(p, lr=RATE, betas=BETAS, eps=eps))
    same(received, theirs)
    fixed = keras_train(lambda: keras.optimizers.Adam(RATE, *BETAS, epsilon=eps), STARTS, UPDATES)
    assert apart(received, fixed) > 1e-2


@pytest.mark.parametrize("peer", [keras.optimizers.Adam, keras.optimizers.AdamW])
def test_weight_decay_of_both_adams_of_keras_is_our_adamw(backend: Backend, peer: Any) -> None:
    options: dict[str, Any] = {"betas": BETAS, "eps": 1e-3, "epsilon_hat": True, "weight_decay": 0.25}
    theirs = keras_train(
        lambda: peer(RATE, beta_1=BETAS[0], beta_2=BETAS[1], epsilon=1e-3, weight_decay=0.25), STARTS, UPDATES
    )
    same(ours(backend, lambda p: optim.AdamW(p, lr=RATE, **options)), theirs)
    assert apart(ours(backend, lambda p: optim.Adam(p, lr=RATE, **options)), theirs) > 1e-2  # L2


def test_defaults_are_torchs_and_those_of_keras_differ() -> None:
    def default(function: Any, name: str) -> Any:
        return inspect.signature(function).parameters[name].default

    names = {"SGD": ("momentum", "weight_decay"), "Adam": ("lr", "betas", "eps"), "AdamW": ("eps", "weight_decay"),
             "RMSprop": ("lr", "alpha", "eps"), "Adagrad": ("lr", "initial_accumulator_value", "eps")}  # fmt: skip
    for rule, arguments in names.items():
        for name in arguments:
            assert default(getattr(optim, rule), name) == default(getattr(torch.optim, rule), name), (rule, name)
    theirs = [
        (keras.optimizers.Adam, "epsilon", 1e-7),
        (keras.optimizers.AdamW, "weight_decay", 0.004),
        (keras.optimizers.RMSprop, "rho", 0.9),
        (keras.optimizers.RMSprop, "epsilon", 1e-7),
        (keras.optimizers.Adagrad, "initial_accumulator_value", 0.1),
        (keras.optimizers.Adagrad, "epsilon", 1e-7),
    ]
    for function, name, value in theirs:
        assert default(function, name) == value


# -------------------------------------------------------------------------------------------------- RMSprop, Adagrad


@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop_with_epsilon_inside_is_that_of_keras(backend: Backend, centered: bool) -> None:
    theirs = keras_train(
        lambda: keras.optimizers.RMSprop(RATE, rho=0.875, epsilon=1e-3, centered=centered), STARTS, UPDATES
    )
    options: dict[str, Any] = {"alpha": 0.875, "eps": 1e-3, "centered": centered}
    same(ours(backend, lambda p: optim.RMSprop(p, lr=RATE, epsilon_inside=True, **options)), theirs)
    assert apart(ours(backend, lambda p: optim.RMSprop(p, lr=RATE, **options)), theirs) > 1e-3


def test_adagrad_from_where_keras_begins_and_its_epsilon_is_that_of_keras(backend: Backend) -> None:
    """√(s + ε) with s from s_0 is √s with s from s_0 + ε. Both are exact in float32, through which Keras takes them."""
    first, eps = 0.125, 2.0**-20
    theirs = keras_train(
        lambda: keras.optimizers.Adagrad(RATE, initial_accumulator_value=first, epsilon=eps), STARTS, UPDATES
    )
    received = ours(backend, lambda p: optim.Adagrad(p, lr=RATE, initial_accumulator_value=first + eps, eps=0.0))
    same(received, theirs)
    assert apart(ours(backend, lambda p: optim.Adagrad(p, lr=RATE)), theirs) > 1e-2


# -------------------------------------------------------------------------------------------------- clipping


def test_global_norm_torch_adds_a_millionth_to_it(backend: Backend) -> None:
    gradients, limit = UPDATES[0], 0.5
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    clipped, received = optim.clip_by_global_norm([backend.tensors.asarray(g) for g in gradients], limit)
    close(array(received), norm)
    same([array(gradient) for gradient in clipped], [gradient * min(1.0, limit / norm) for gradient in gradients])
    held = [torch.nn.Parameter(torch.zeros(gradient.shape, dtype=torch.float64)) for gradient in gradients]
    for parameter, gradient in zip(held, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    close(torch.nn.utils.clip_grad_norm_(held, limit).numpy(), norm)
    theirs = [parameter.grad.numpy() for parameter in held]
    assert apart([array(gradient) for gradient in clipped], theirs) > 1e-8
    same([array(gradient) for gradient in clipped], [gradient * (norm + 1e-6) / norm for gradient in theirs])


def test_global_norm_is_that_of_tensorflow_and_keras_and_so_is_a_nan(backend: Backend) -> None:
    for gradients in (UPDATES[0], [np.array([1.0, np.nan]), np.array([2.0])]):
        clipped, norm = optim.clip_by_global_norm([backend.tensors.asarray(g) for g in gradients], 0.5)
        theirs, their_norm = tf.clip_by_global_norm([tf.constant(gradient) for gradient in gradients], 0.5)
        same([array(gradient) for gradient in clipped], [gradient.numpy() for gradient in theirs])
        close(array(norm), their_norm.numpy())
    limited = ours(backend, lambda p: optim.SGD(p, lr=RATE), updates=[_clipped(backend, UPDATES[0], 0.5)])
    same(limited, keras_train(lambda: keras.optimizers.SGD(RATE, global_clipnorm=0.5), STARTS, UPDATES[:1]))


def _clipped(backend: Backend, gradients: Any, limit: float) -> list[np.ndarray]:
    clipped, _ = optim.clip_by_global_norm([backend.tensors.asarray(gradient) for gradient in gradients], limit)
    return [array(gradient) for gradient in clipped]


def test_clipnorm_of_keras_is_each_variable_by_its_own_norm(backend: Backend) -> None:
    each = [_clipped(backend, [gradient], 0.5)[0] for gradient in UPDATES[0]]
    theirs = keras_train(lambda: keras.optimizers.SGD(RATE, clipnorm=0.5), STARTS, UPDATES[:1])
    same(ours(backend, lambda p: optim.SGD(p, lr=RATE), updates=[each]), theirs)
    together = ours(backend, lambda p: optim.SGD(p, lr=RATE), updates=[_clipped(backend, UPDATES[0], 0.5)])
    assert apart(together, theirs) > 1e-5


# -------------------------------------------------------------------------------------------------- repeated rows


def test_repeated_rows_are_summed_before_the_moments_and_keras_gets_them_wrong(backend: Backend) -> None:
    """A token met twice in a window: two rows of one gradient with one index.

    After two updates, because Adam's first step has the same size for any gradient.
    """
    dense = [np.array([[3.0, -1.0], [0.0, 0.0]]), np.array([[0.5, 2.0], [0.0, 0.0]])]
    parts = [[[1.0, -2.0], [2.0, 1.0]], [[-1.5, 1.0], [2.0, 1.0]]]
    start = np.ones((2, 2))
    slices = [
        tf.IndexedSlices(tf.constant(rows, tf.float64), tf.constant([0, 0]), tf.constant([2, 2])) for rows in parts
    ]
    weight = backend.tensors.parameter(start)
    optimizer = optim.Adam([weight], lr=0.1)
    for number, gradient in enumerate(dense):
        sparse = slices[number] if backend.name == "tensorflow" else _torch_sparse(parts[number])
        optimizer.apply([sparse])
        assert np.array_equal(np.sum(parts[number], axis=0), gradient[0])
    expected = oracle.adam(start, dense, lr=0.1)
    close(array(weight), expected)

    def keras_adam(gradients: Any) -> np.ndarray:
        with float64():
            variable, peer = keras.Variable(start, dtype="float64"), keras.optimizers.Adam(0.1, epsilon=1e-8)
            for gradient in gradients:
                peer.apply([gradient], [variable])
            return variable.value.numpy()

    close(keras_adam([tf.constant(gradient) for gradient in dense]), expected, 1e-6)  # β through float32, ε elsewhere
    assert keras.__version__.startswith("3.15"), "another version of Keras: look whether repeated rows are right by now"
    assert np.abs(keras_adam(slices) - expected)[0].max() > 1e-2


def _torch_sparse(rows: Any) -> torch.Tensor:
    return torch.sparse_coo_tensor(
        torch.tensor([[0, 0]]), torch.tensor(rows, dtype=torch.float64), (2, 2), check_invariants=True
    )
