"""NUMERICS' rows on layers, against torch.nn and Keras layers as installed, in float64. `rows.py` says what is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from numerics.peers import array, close, float64, keras_gru_order
from tbptt import clock, nn, ops, optim
from tbptt.clock import Origin
from tbptt.protocols import Backend

# isort: split
import keras
import tensorflow as tf

B, T, F, H = 3, 6, 4, 5
DRAW = np.random.default_rng(0)
X, Y = DRAW.standard_normal((B, T, F)), DRAW.standard_normal((B, T, H))


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    with tbptt.dtypes.dtype_scope("float64"), float64():
        tbptt.seed_everything(3)
        yield


def assign(backend: Backend, module: Any, **values: np.ndarray) -> None:
    for name, value in values.items():
        backend.tensors.assign(getattr(module, name), value)


def descend(backend: Backend, layer: Any, rate: float) -> None:
    """One step of plain descent on the squared distance of all outputs from Y."""
    with tbptt.GradientTape() as tape:
        loss = nn.functional.mse_loss(layer(ops.asarray(X))[0], ops.asarray(Y))
    optim.SGD(layer.parameters(), lr=rate).apply(tape.gradient(loss, layer.parameters()))


# -------------------------------------------------------------------------------------------------- LSTM bias


def test_lstm_bias_torchs_two_are_summed_and_move_it_twice_as_far(backend: Backend) -> None:
    peer = torch.nn.LSTM(F, H, batch_first=True, dtype=torch.float64)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    ih, hh, first, second = (getattr(peer, name).detach().numpy().copy() for name in names)
    layer = nn.LSTM(F, H)
    assign(backend, layer, weight_ih_l0=ih, weight_hh_l0=hh, bias_l0=first + second)
    outputs, _ = peer(torch.tensor(X))
    close(array(layer(ops.asarray(X))[0]), outputs.detach().numpy())
    torch.nn.functional.mse_loss(outputs, torch.tensor(Y)).backward()
    torch.optim.SGD(peer.parameters(), lr=0.1).step()
    descend(backend, layer, 0.1)
    theirs = sum(getattr(peer, name).detach().numpy() for name in names[2:]) - (first + second)
    ours = array(layer.bias_l0) - (first + second)
    assert np.abs(ours).max() > 1e-3
    close(theirs, 2 * ours)
    close(array(layer.weight_ih_l0), peer.weight_ih_l0.detach().numpy())


def test_lstm_bias_keras_has_one_too_and_a_step_moves_it_as_far(backend: Backend) -> None:
    layer, peer = nn.LSTM(F, H), keras.layers.LSTM(H, return_sequences=True)
    peer.build((B, T, F))
    held = [array(layer.weight_ih_l0).T, array(layer.weight_hh_l0).T, array(layer.bias_l0)]
    peer.set_weights(held)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(peer(X) - Y))
    gradients = tape.gradient(loss, peer.trainable_weights)
    keras.optimizers.SGD(0.1).apply(gradients, peer.trainable_variables)
    descend(backend, layer, 0.1)
    assert np.abs(array(layer.bias_l0) - held[2]).max() > 1e-3
    for ours, theirs in zip(layer.parameters(), peer.get_weights(), strict=True):
        close(array(ours).T, theirs)


# -------------------------------------------------------------------------------------------------- GRU


def test_gru_torchs_biases_are_summed_outside_the_candidate_and_kept_apart_in_it(backend: Backend) -> None:
    peer = torch.nn.GRU(F, H, batch_first=True, dtype=torch.float64)
    ih, hh, first, second = (parameter.detach().numpy() for parameter in peer.parameters())
    bias = np.concatenate([(first + second)[: 2 * H], first[2 * H :]])
    layer = nn.GRU(F, H)
    assign(backend, layer, weight_ih_l0=ih, weight_hh_l0=hh, bias_l0=bias, bias_hn_l0=second[2 * H :])
    outputs, end = peer(torch.tensor(X))
    received, state = layer(ops.asarray(X))
    close(array(received), outputs.detach().numpy())
    close(array(state), end.detach().numpy())


def test_gru_keras_with_reset_after_is_the_same_and_without_is_another_layer(backend: Backend) -> None:
    layer = nn.GRU(F, H)
    ih, hh, bias, inside = (array(parameter) for parameter in layer.parameters())
    second = np.concatenate([np.zeros(2 * H), inside])
    kernels = [keras_gru_order(ih).T, keras_gru_order(hh).T]
    peer = keras.layers.GRU(H, return_sequences=True, reset_after=True)
    peer.build((B, T, F))
    peer.set_weights([*kernels, np.stack([keras_gru_order(bias), keras_gru_order(second)])])
    received = array(layer(ops.asarray(X))[0])
    close(received, np.array(peer(X)))
    other = keras.layers.GRU(H, return_sequences=True, reset_after=False)
    other.build((B, T, F))
    other.set_weights([*kernels, keras_gru_order(bias + second)])
    assert np.abs(np.array(other(X)) - received).max() > 1e-4


# -------------------------------------------------------------------------------------------------- first weights


def test_first_weights_of_the_peers_lie_within_the_bounds_ours_are_drawn_from() -> None:
    def spread(values: Any, bound: float) -> bool:
        values = np.abs(np.asarray(values))
        return bool(values.max() <= bound and values.max() > 0.95 * bound)

    torch.manual_seed(0)
    for peer in (torch.nn.LSTM(30, 100), torch.nn.GRU(30, 100), torch.nn.RNN(30, 100), torch.nn.Linear(100, 50)):
        for value in peer.parameters():
            assert spread(value.detach(), 0.1)
    table = torch.nn.Embedding(200, 100).weight.detach()
    assert abs(float(table.std()) - 1) < 0.02
    keras.utils.set_random_seed(0)
    lstm, dense, embedding = keras.layers.LSTM(20), keras.layers.Dense(50), keras.layers.Embedding(99, 9)
    for built, shape in ((lstm, (1, 2, 30)), (dense, (1, 100)), (embedding, (1, 2))):
        built.build(shape)
    kernel, recurrent, bias = lstm.get_weights()
    assert spread(kernel, np.sqrt(6 / (30 + 80)))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(20), atol=1e-12)
    np.testing.assert_array_equal(bias, np.repeat([0.0, 1.0, 0.0, 0.0], 20))
    weight, zeros = dense.get_weights()
    assert weight.shape == (100, 50) and spread(weight, np.sqrt(6 / 150)) and not zeros.any()
    assert spread(embedding.get_weights()[0], 0.05)


@pytest.mark.parametrize("init", ["torch", "keras"])
def test_linear_of_either_habit_is_the_peers_layer_with_its_weights(backend: Backend, init: Any) -> None:
    layer = nn.Linear(F, H, init=init)
    weight, bias = array(layer.weight), array(layer.bias)
    assert weight.shape == (H, F) and bool(bias.any()) == (init == "torch")
    received = array(layer(ops.asarray(X)))
    close(received, X @ weight.T + bias)
    close(received, torch.nn.functional.linear(*map(torch.tensor, (X, weight, bias))).numpy())
    dense = keras.layers.Dense(H)
    dense.build((B, F))
    dense.set_weights([weight.T, bias])
    close(received, np.array(dense(X)))


def test_embedding_is_the_peers_lookup(backend: Backend) -> None:
    layer, tokens = nn.Embedding(7, F), np.array([[1, 6, 1], [0, 0, 5]])
    table = array(layer.weight)
    received = array(layer(ops.asarray(tokens)))
    np.testing.assert_array_equal(received, table[tokens])
    np.testing.assert_array_equal(received, torch.nn.functional.embedding(*map(torch.tensor, (tokens, table))).numpy())
    peer = keras.layers.Embedding(7, F)
    peer.build((2, 3))
    peer.set_weights([table])
    np.testing.assert_array_equal(received, np.array(peer(tokens)))


# -------------------------------------------------------------------------------------------------- dropout

KEY, EPOCH, ROW, TIME, P = 0x1234ABCD, 3, 2**31 + 5, 2**33 + 7, 0.4
ORIGIN = Origin(EPOCH, ROW, TIME)


def lowbias32(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))


def masks_by_hand(rows: int, steps: int, units: int) -> np.ndarray:
    """Which units are kept, in NumPy's own unsigned arithmetic: a 64-bit count for each of row, time and unit, high word first."""

    def absorb(key: np.ndarray, word: int) -> np.ndarray:
        return lowbias32(lowbias32(key) ^ np.uint32(word))

    def counted(key: np.ndarray, first: int, count: int) -> np.ndarray:
        places = np.arange(count, dtype=np.uint64) + np.uint64(first)
        high = (places >> np.uint64(32)).astype(np.uint32)
        return lowbias32(lowbias32(high ^ key) ^ places.astype(np.uint32))

    key = absorb(np.array([KEY], np.uint32), EPOCH)
    row_words = counted(key, ROW, rows)
    step_words = counted(absorb(key, 1), TIME, steps)
    unit_words = counted(absorb(key, 2), 0, units)
    places = lowbias32(row_words[:, None] ^ step_words[None, :])
    bits = lowbias32(places[:, :, None] ^ unit_words)
    return bits.view(np.int32).astype(np.int64) + 2**31 >= round(P * 2**32)


def test_dropout_mask_is_the_hash_of_where_it_falls(backend: Backend) -> None:
    received = array(tbptt.random.keep_mask(KEY, ORIGIN, B, T, H, P))
    np.testing.assert_array_equal(received, masks_by_hand(B, T, H))
    assert 0 < received.mean() < 1


def test_dropout_in_a_stack_is_torchs_layers_with_the_mask_in_between(backend: Backend) -> None:
    """Per element and step, scaled by 1/(1 − p), between layers and nowhere else."""
    layer = nn.LSTM(F, H, num_layers=2, dropout=P)
    layer.dropouts[0]._key = KEY
    x, stack = torch.tensor(X), []
    for number, size in enumerate((F, H)):
        peer = torch.nn.LSTM(size, H, batch_first=True, dtype=torch.float64)
        values = [array(getattr(layer, f"{role}_l{number}")) for role in ("weight_ih", "weight_hh", "bias")]
        with torch.no_grad():
            for parameter, value in zip(peer.parameters(), [*values, np.zeros(4 * H)], strict=True):
                parameter.copy_(torch.tensor(value))
            stack.append(peer)
    with torch.no_grad():
        between = stack[0](x)[0] * torch.tensor(masks_by_hand(B, T, H)) / (1 - P)
        expected = stack[1](between)[0].numpy()
    with clock.at(ORIGIN):
        close(array(layer(ops.asarray(X))[0]), expected)


def test_dropout_of_keras_is_on_the_inputs_with_one_mask_for_the_window() -> None:
    """What ours is not: one mask over all steps shows as columns of the input that are gone in each of them."""
    keras.utils.set_random_seed(1)
    peer = keras.layers.SimpleRNN(F, activation=None, return_sequences=True, dropout=0.5)
    peer.build((B, T, F))
    peer.set_weights([np.eye(F), np.zeros((F, F)), np.zeros(F)])  # outputs are inputs after dropout
    kept = np.array(peer(np.ones((B, T, F)), training=True))
    assert set(np.unique(kept)) == {0.0, 2.0}
    np.testing.assert_array_equal(kept, np.repeat(kept[:, :1], T, axis=1))


# -------------------------------------------------------------------------------------------------- LayerNorm


def test_layer_norm_has_torchs_epsilon_and_keras_another(backend: Backend) -> None:
    layer, x = nn.LayerNorm(F), 1e-2 * X  # small, so that it matters what is added to the variance
    received = array(layer(ops.asarray(x)))
    centred = x - x.mean(-1, keepdims=True)
    close(received, centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5))
    close(received, torch.nn.LayerNorm(F, dtype=torch.float64)(torch.tensor(x)).detach().numpy())
    close(received, np.array(keras.layers.LayerNormalization(epsilon=1e-5)(x)))
    default = keras.layers.LayerNormalization()
    assert default.epsilon == 1e-3 and np.abs(np.array(default(x)) - received).max() > 0.1
    other = nn.LayerNorm(F, eps=1e-3)
    close(array(other(ops.asarray(x))), np.array(default(x)))
