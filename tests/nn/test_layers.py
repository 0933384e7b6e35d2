"""Layers: same first weights to the bit, definitions of NUMERICS.md, states of any kind refused that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.protocols import Backend

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(5, 3),
    "linear, keras": lambda: nn.Linear(5, 3, init="keras"),
    "embedding": lambda: nn.Embedding(7, 4),
    "embedding, keras": lambda: nn.Embedding(7, 4, init="keras"),
    "lstm": lambda: nn.LSTM(3, 5, num_layers=2),
    "lstm, keras": lambda: nn.LSTM(3, 5, num_layers=2, init="keras"),
    "gru": lambda: nn.GRU(3, 5, num_layers=2),
    "rnn": lambda: nn.RNN(3, 5),
    "lstm cell": lambda: nn.LSTMCell(3, 5),
    "layer norm": lambda: nn.LayerNorm(4),
}


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.to_numpy(x))


@pytest.mark.parametrize("name", BUILDERS)
def test_first_weights_are_identical_to_the_bit_on_both_engines(name: str) -> None:
    drawn = []
    for engine in ("torch", "tensorflow"):
        with tbptt.use_backend(engine):
            tbptt.seed_everything(11)
            drawn.append({key: array(value) for key, value in BUILDERS[name]().named_parameters()})
    assert list(drawn[0]) == list(drawn[1])
    for key in drawn[0]:
        assert drawn[0][key].tobytes() == drawn[1][key].tobytes(), key


def test_torch_initialization_is_uniform_within_its_bounds(backend: Backend) -> None:
    tbptt.seed_everything(0)
    for layer, bound in ((nn.Linear(100, 300), 0.1), (nn.LSTM(50, 100), 0.1), (nn.GRU(50, 100), 0.1)):
        for name, value in layer.named_parameters():
            drawn = array(value)
            assert np.abs(drawn).max() <= bound, name
            assert abs(drawn.mean()) < 5 * bound / np.sqrt(3 * drawn.size), name
            assert np.abs(drawn).max() > 0.9 * bound, name
    table = array(nn.Embedding(200, 100).weight)
    assert abs(table.std() - 1) < 0.02 and abs(table.mean()) < 0.04


def test_keras_initialization_is_glorot_orthogonal_and_a_forget_bias_of_one(backend: Backend) -> None:
    tbptt.seed_everything(0)
    lstm = nn.LSTM(30, 20, init="keras")
    assert np.abs(array(lstm.weight_ih_l0)).max() <= np.sqrt(6 / (30 + 80))
    recurrent = array(lstm.weight_hh_l0)
    np.testing.assert_allclose(recurrent.T @ recurrent, np.eye(20), atol=1e-6)
    np.testing.assert_array_equal(array(lstm.bias_l0), np.repeat([0.0, 1.0, 0.0, 0.0], 20))
    assert np.abs(array(nn.Embedding(9, 9, init="keras").weight)).max() <= 0.05


def test_lstm_and_rnn_have_one_bias_a_layer_and_gru_one_more_inside_its_candidate(backend: Backend) -> None:
    assert [n for n, _ in nn.LSTM(3, 5, num_layers=2).named_parameters()] == [
        "weight_ih_l0", "weight_hh_l0", "bias_l0", "weight_ih_l1", "weight_hh_l1", "bias_l1",
    ]  # fmt: skip
    shapes = {n: tuple(v.shape) for n, v in nn.GRU(3, 5).named_parameters()}
    assert shapes == {"weight_ih_l0": (15, 3), "weight_hh_l0": (15, 5), "bias_l0": (15,), "bias_hn_l0": (5,)}


@pytest.mark.parametrize(("layer", "cell"), [(nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell), (nn.RNN, nn.RNNCell)])
def test_a_cell_stepped_over_time_is_its_layer(backend: Backend, layer: Any, cell: Any) -> None:
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(1)
        whole = layer(3, 5)
        tbptt.seed_everything(1)
        single = cell(3, 5)
        x = ops.asarray(np.random.default_rng(0).standard_normal((2, 6, 3)))
        outputs, final = whole(x)
        state = None
        for t in range(6):
            output, state = single(x[:, t], state)
            np.testing.assert_allclose(array(output), array(outputs)[:, t], rtol=1e-12, atol=1e-14)
        for ours, theirs in zip(tbptt.tree.leaves(state), tbptt.tree.leaves(final), strict=True):
            np.testing.assert_allclose(array(ours), array(theirs)[0], rtol=1e-12, atol=1e-14)


def test_axes_of_batch_and_time_are_chosen_by_batch_first(backend: Backend) -> None:
    tbptt.seed_everything(1)
    first = nn.GRU(3, 5)
    tbptt.seed_everything(1)
    second = nn.GRU(3, 5, batch_first=False)
    x = np.random.default_rng(0).standard_normal((2, 6, 3)).astype("float32")
    a, b = first(ops.asarray(x))[0], second(ops.asarray(np.swapaxes(x, 0, 1).copy()))[0]
    np.testing.assert_array_equal(array(a), np.swapaxes(array(b), 0, 1))


def test_layer_norm_is_torchs(backend: Backend) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4, 6))
    with tbptt.dtypes.dtype_scope("float64"):
        layer = nn.LayerNorm(6)
        flat = nn.LayerNorm((4, 6), elementwise_affine=False)
    theirs = torch.nn.functional.layer_norm(torch.from_numpy(x), (6,))
    np.testing.assert_allclose(array(layer(ops.asarray(x))), theirs.numpy(), rtol=1e-12, atol=1e-13)
    theirs = torch.nn.functional.layer_norm(torch.from_numpy(x), (4, 6))
    np.testing.assert_allclose(array(flat(ops.asarray(x))), theirs.numpy(), rtol=1e-12, atol=1e-13)


def test_dropout_between_layers_acts_in_training_only_and_not_after_the_last(backend: Backend) -> None:
    tbptt.seed_everything(1)
    lstm = nn.LSTM(3, 50, num_layers=2, dropout=0.5)
    x = ops.ones((2, 6, 3))
    training, evaluating = array(lstm(x)[0]), array(lstm.eval()(x)[0])
    assert not np.allclose(training, evaluating)
    assert (training != 0).all()
    assert np.array_equal(evaluating, array(lstm(x)[0]))


def test_modules_find_parameters_in_lists_and_dicts_each_once_in_order(backend: Backend) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.blocks = [nn.Linear(2, 2, bias=False), {"a": nn.Linear(2, 2, bias=False)}]
            self.again = self.blocks[0]
            self.scale = nn.Parameter(np.ones(1))
            self.fixed = nn.Parameter(np.ones(1), trainable=False)

    net = Net()
    assert [name for name, _ in net.named_parameters()] == ["scale", "blocks.0.weight", "blocks.1.a.weight"]
    assert [name for name, _ in net.named_buffers()] == ["fixed"]
    assert len(net.parameters()) == 3
    net.eval()
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LSTM(3, 5)(ops.zeros((2, 6, 4))), ShapeError, "3 features; received shape"),
        (lambda: nn.LSTM(3, 5)(ops.zeros((2, 3))), ShapeError, r"\(batch, time, features\)"),
        (lambda: nn.LSTM(3, 5)(ops.zeros((2, 6, 3)), ops.zeros((1, 2, 5))), ShapeError, "expected a state"),
        (lambda: nn.GRU(3, 5)(ops.zeros((2, 6, 3)), ops.zeros((1, 4, 5))), ShapeError, r"\(1, 2, 5\)"),
        (lambda: nn.LSTMCell(3, 5)(ops.zeros((2, 6, 3))), ShapeError, "one step"),
        (lambda: nn.LSTM(3, 0), ConfigurationError, "hidden_size"),
        (lambda: nn.RNN(3, 5, nonlinearity="selu"), ConfigurationError, "nonlinearity"),  # type: ignore[arg-type]
        (lambda: nn.GRU(3, 5, init="xavier"), ConfigurationError, "'torch' or 'keras'"),  # type: ignore[arg-type]
    ],
)
def test_misuse_says_what_was_expected(backend: Backend, call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
