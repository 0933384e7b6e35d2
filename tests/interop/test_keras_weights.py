"""Lists of weights from and to Keras layers: outputs and states are Keras' own; which layer is which is never guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from interop.worlds import KINDS, assert_same, float64, keras_layers, our_layer, run_keras, run_ours, shuffle, values

# isort: split
import keras

from tbptt import interop, nn, ops
from tbptt.errors import ConfigurationError, WeightsError
from tbptt.protocols import Backend

DRAW = np.random.default_rng(6)
X = DRAW.normal(size=(3, 6, 4))


class Ours(nn.Module):
    def __init__(self, width: int = 5) -> None:
        self.embedding = nn.Embedding(7, 4)
        self.lstm = nn.LSTM(4, width, num_layers=2)
        self.norm = nn.LayerNorm(width, eps=1e-3)
        self.head = nn.Linear(width, 3)

    def forward(self, tokens: Any) -> Any:
        return self.head(self.norm(self.lstm(self.embedding(tokens))[0]))


def keras_model(*names: str) -> Any:
    """The same model with those names, else with whatever numbers Keras gives its layers by now."""
    given = [{"name": name} for name in names] or [{}] * 5
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(7, 4, **given[0]),
            keras.layers.LSTM(5, return_sequences=True, **given[1]),
            keras.layers.Dropout(0.3),
            keras.layers.LSTM(5, return_sequences=True, **given[2]),
            keras.layers.LayerNormalization(**given[3]),
            keras.layers.Dense(3, **given[4]),
        ]
    )
    return shuffle(DRAW, model)


def lists(model: Any) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers_compute_what_keras_do_and_back(backend: Backend, kind: str, layers: int, bias: bool) -> None:
    theirs = [shuffle(DRAW, layer) for layer in keras_layers(kind, 4, 5, layers, bias)]
    weights = [layer.get_weights() for layer in theirs]
    with float64():
        ours = our_layer(kind, 4, 5, layers, bias)
        interop.load_keras_weights(ours, weights if layers > 1 else weights[0])
        wanted = run_keras(theirs, X)
        assert_same(run_ours(ours, X), wanted)
        given = interop.keras_weights(ours)
        fresh = keras_layers(kind, 4, 5, layers, bias)
        for layer, arrays in zip(fresh, given if layers > 1 else [given], strict=True):
            layer.set_weights(arrays)
        assert_same(run_keras(fresh, X), wanted)


def test_cells_compute_what_keras_do(backend: Backend) -> None:
    for ours_class, theirs_class in (
        (nn.LSTMCell, keras.layers.LSTMCell),
        (nn.GRUCell, keras.layers.GRUCell),
        (nn.RNNCell, keras.layers.SimpleRNNCell),
    ):
        with float64():
            theirs = theirs_class(5)
            theirs.build((None, 4))
            shuffle(DRAW, theirs)
            ours = ours_class(4, 5)
            interop.load_keras_weights(ours, theirs.get_weights())
            start = theirs.get_initial_state(3)
            wanted, _ = theirs(keras.ops.convert_to_tensor(X[:, 0]), start if isinstance(start, list) else [start])
            assert_same([ops.to_numpy(ours(ops.asarray(X[:, 0]))[0])], [np.array(wanted)])


def test_a_model_computes_what_keras_does_and_back(backend: Backend) -> None:
    tokens = DRAW.integers(0, 7, size=(3, 6))
    with float64():
        theirs, ours = keras_model(), Ours()
        interop.load_keras_weights(ours, lists(theirs))
        wanted = np.array(theirs(tokens))
        assert_same([ops.to_numpy(ours(ops.asarray(tokens)))], [wanted])
        given, fresh = interop.keras_weights(ours), keras_model()
        assert list(given) == ["embedding", "lstm", "norm", "head"]
        flat = [given["embedding"], *given["lstm"], given["norm"], given["head"]]
        for layer, arrays in zip([layer for layer in fresh.layers if layer.weights], flat, strict=True):
            layer.set_weights(arrays)
        assert_same([np.array(fresh(tokens))], [wanted])
        again = Ours()
        interop.load_keras_weights(again, given)  # our own form
        assert all(np.array_equal(values(again)[name], value) for name, value in values(ours).items())


class TwoAlike(nn.Module):
    def __init__(self) -> None:
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)


def dense(value: float) -> list[np.ndarray]:
    return [np.full((3, 3), value), np.full(3, value)]


@pytest.mark.parametrize(
    ("weights", "names", "expected"),
    [
        ({"a": dense(1), "b": dense(2)}, None, (1, 2)),  # equal names,
        ({"b": dense(2), "a": dense(1)}, None, (1, 2)),  # whatever the order
        ({"x": dense(1), "y": dense(2)}, None, (1, 2)),  # else the order
        ({"x": dense(1), "y": dense(2)}, {"a": "y"}, (2, 1)),  # but what is said goes first
        ({"b": dense(1), "y": dense(2)}, None, (2, 1)),  # then names, then what is left
    ],
)
def test_layers_are_matched_by_given_name_then_equal_name_then_order(
    backend: Backend, weights: Any, names: Any, expected: tuple[int, int]
) -> None:
    ours = TwoAlike()
    interop.load_keras_weights(ours, weights, names)
    assert (values(ours)["a.bias"][0], values(ours)["b.bias"][0]) == expected


def test_where_there_is_a_choice_both_sides_are_listed(backend: Backend) -> None:
    ours = TwoAlike()
    before = values(ours)
    with pytest.raises(WeightsError) as raised:
        interop.load_keras_weights(ours, {"x": dense(1), "y": dense(2), "z": dense(3)})
    for part in (
        "missing: a (Linear) of (3, 3), (3,)",
        "missing: b",
        "unexpected: x (Keras layer) of",
        "unexpected: z",
        "names=",
    ):
        assert part in str(raised.value)
    assert all(np.array_equal(before[name], value) for name, value in values(ours).items())
    interop.load_keras_weights(TwoAlike(), {"x": dense(1), "y": dense(2), "z": []}, {"b": "x"})
    for names, match in (
        ({"a": "nobody"}, "0 Keras layers have that name"),
        ({"a": ["x", "y"]}, "a is 1 Keras layers, and"),
    ):
        with pytest.raises(WeightsError, match=match):
            interop.load_keras_weights(TwoAlike(), {"x": dense(1), "y": dense(2)}, names)
    with pytest.raises(ConfigurationError, match=r"'c'.*'a', 'b'"):
        interop.load_keras_weights(TwoAlike(), {"x": dense(1), "y": dense(2)}, {"c": "x"})


def test_a_stack_of_ours_can_be_named_layer_by_layer(backend: Backend) -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            self.gru, self.head = nn.GRU(4, 4, num_layers=2), nn.Linear(4, 4)

    low, high = (layer.get_weights() for layer in keras_layers("gru", 4, 4, 2))
    theirs = {"high": high, "low": low, "dense": [np.ones((4, 4)), np.ones(4)]}
    ours = Stack()
    for names in ({"gru": ["low", "high"]}, {"gru.0": "low"}, {"gru.1": "high", "head": "dense"}):
        interop.load_keras_weights(ours, theirs, names)
        for found, wanted in zip(interop.keras_weights(ours)["gru"], (low, high), strict=True):
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6)


def test_everything_that_does_not_fit_is_listed_and_nothing_is_loaded(backend: Backend) -> None:
    theirs = lists(keras_model("embedding", "lstm.0", "lstm.1", "norm", "head"))
    theirs["norm"] = theirs["norm"][:1]
    theirs["head"].append(np.zeros(2))
    ours = Ours(6)
    before = values(ours)
    with pytest.raises(WeightsError) as raised:
        interop.load_keras_weights(ours, theirs)
    for part in (
        "shape: lstm.0.kernel is (4, 20) in Keras' lstm.0 and (4, 24) in the module",
        "shape: lstm.1.recurrent_kernel is (5, 20)",
        "missing: norm.beta (6,)",
        "unexpected: head.2 (2,)",
    ):
        assert part in str(raised.value)
    assert all(np.array_equal(before[name], value) for name, value in values(ours).items())


def test_a_gru_without_reset_after_is_refused_with_the_reason(backend: Backend) -> None:
    layer = keras.layers.GRU(5, reset_after=False)
    layer.build((None, None, 4))
    with pytest.raises(WeightsError, match=r"reset_after=False.*another function"):
        interop.load_keras_weights(nn.GRU(4, 5), layer.get_weights())


def test_a_modules_own_parameters_go_as_they_are(backend: Backend) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.scale, self.head = nn.Parameter(np.ones((2, 3))), nn.Linear(3, 2)

    ours = Scaled()
    interop.load_keras_weights(ours, {"custom": [np.full((2, 3), 5.0)], "dense": [np.ones((3, 2)), np.ones(2)]})
    assert values(ours)["scale"].tolist() == [[5.0] * 3] * 2
    assert interop.keras_weights(ours)[""][0].tolist() == [[5.0] * 3] * 2


@pytest.mark.parametrize("weights", ["m.weights.h5", np.ones((2, 1)), {"dense": {"kernel": np.ones((2, 1))}}, 1])
def test_what_is_no_list_of_arrays_is_refused_with_the_way_to_one(backend: Backend, weights: Any) -> None:
    with pytest.raises(WeightsError, match=r"get_weights\(\).*received a.*load_keras_file"):
        interop.load_keras_weights(nn.Linear(2, 1), weights)
