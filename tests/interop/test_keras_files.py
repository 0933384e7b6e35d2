"""Files of Keras 3, as it writes them, and of Keras 2, by its published layout; and files that Keras reads again."""

from __future__ import annotations

import builtins
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from interop.test_keras_weights import Ours, keras_model
from interop.worlds import assert_same, float64, shuffle, values

# isort: split
import keras

from tbptt import interop, nn, ops
from tbptt.errors import BackendNotInstalledError, WeightsError
from tbptt.protocols import Backend

DRAW = np.random.default_rng(7)
TOKENS = DRAW.integers(0, 7, size=(3, 6))
SUFFIXES = (".weights.h5", ".keras", ".h5")


def save(model: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that .h5 is old; how Keras asks its variables for arrays
        (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)


def compiled(model: Any) -> Any:
    """With an optimizer whose state is in the file as well."""
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_keras_3(backend: Backend, tmp_path: Path, suffix: str) -> None:
    with float64():
        theirs, ours = compiled(keras_model()), Ours()
        save(theirs, tmp_path / f"m{suffix}")
        interop.load_keras_file(ours, tmp_path / f"m{suffix}")
        assert_same([ops.to_numpy(ours(ops.asarray(TOKENS)))], [np.array(theirs(TOKENS))])


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
def test_keras_reads_what_we_write(backend: Backend, tmp_path: Path, suffix: str) -> None:
    with float64():
        theirs, ours = keras_model(), Ours()
        interop.save_keras_file(ours, tmp_path / f"m{suffix}")
        theirs.load_weights(tmp_path / f"m{suffix}")
        assert_same([np.array(theirs(TOKENS))], [ops.to_numpy(ours(ops.asarray(TOKENS)))])
        again = Ours()
        interop.load_keras_file(again, tmp_path / f"m{suffix}")
        assert all(np.array_equal(values(again)[name], value) for name, value in values(ours).items())
    assert [path.name for path in tmp_path.iterdir()] == [f"m{suffix}"]


def test_a_functional_model_reads_it_too(backend: Backend, tmp_path: Path) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            self.rnn, self.gru, self.head = nn.RNN(2, 3), nn.GRU(3, 3), nn.Linear(3, 1, bias=False)

    with float64():
        inputs = keras.Input((None, 2))
        hidden = keras.layers.SimpleRNN(3, return_sequences=True)(inputs)
        hidden = keras.layers.GRU(3, return_sequences=True, name="memory")(hidden)
        theirs = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(hidden))
        ours, x = Small(), DRAW.normal(size=(2, 4, 2))
        for name in ("m.weights.h5", "m.h5"):
            interop.save_keras_file(ours, tmp_path / name, {"gru": "memory"})
            shuffle(DRAW, theirs).load_weights(tmp_path / name)
            found = ours.head(ours.gru(ours.rnn(ops.asarray(x))[0])[0])
            assert_same([np.array(theirs(x))], [ops.to_numpy(found)])
    with h5py.File(tmp_path / "m.h5") as file:
        assert [str(name) for name in file.attrs["layer_names"].astype(str)] == ["rnn", "memory", "head"]


def test_a_subclassed_models_file_is_matched_by_its_attributes(backend: Backend, tmp_path: Path) -> None:
    class Theirs(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.zeta, self.alpha = keras.layers.Dense(3, name="one"), keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.alpha(self.zeta(inputs))

    class Named(nn.Module):
        def __init__(self) -> None:
            self.zeta, self.alpha = nn.Linear(3, 3), nn.Linear(3, 3)

    class Renamed(nn.Module):
        def __init__(self) -> None:
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    theirs, x = Theirs(), DRAW.normal(size=(2, 3)).astype("float32")
    wanted = np.array(theirs(x))
    save(theirs, tmp_path / "m.weights.h5")
    for ours, names in ((Named(), None), (Renamed(), {"first": "one", "second": "alpha"})):
        interop.load_keras_file(ours, tmp_path / "m.weights.h5", names)
        inner, outer = ours.children()
        np.testing.assert_allclose(ops.to_numpy(outer(inner(ops.asarray(x)))), wanted, atol=1e-6)
    with pytest.raises(WeightsError, match="unexpected"):  # in the file alpha comes first, by its alphabet
        interop.load_keras_file(Renamed(), tmp_path / "m.weights.h5")


def test_a_model_in_a_model_and_wrapped_cells(backend: Backend, tmp_path: Path) -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            self.lstm, self.head, self.last = nn.LSTM(2, 3, num_layers=2), nn.Linear(3, 4), nn.Linear(4, 1)

    cells = keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.LSTMCell(3)], return_sequences=True)
    inner = keras.Sequential([keras.Input((None, 2)), cells, keras.layers.TimeDistributed(keras.layers.Dense(4))])
    theirs = shuffle(DRAW, keras.Sequential([keras.Input((None, 2)), inner, keras.layers.Dense(1)]))
    x = DRAW.normal(size=(2, 4, 2)).astype("float32")
    for suffix in SUFFIXES:
        save(theirs, tmp_path / f"m{suffix}")
        ours = Flat()
        interop.load_keras_file(ours, tmp_path / f"m{suffix}")
        found = ours.last(ours.head(ours.lstm(ops.asarray(x))[0]))
        np.testing.assert_allclose(ops.to_numpy(found), np.array(theirs(x)), atol=1e-6)


def keras_2_file(
    path: Path, group: str | None, weights: dict[str, dict[str, np.ndarray]], chunked: bool = False
) -> None:
    """Keras 2's HDF5: attributes ``layer_names`` and ``weight_names``, datasets of those names, a group a layer."""
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        names = np.array([name.encode() for name in weights])
        if chunked:
            root.attrs["layer_names0"], root.attrs["layer_names1"] = names[:2], names[2:]
        else:
            root.attrs["layer_names"] = names
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", b"2.15.0"
        for layer, arrays in weights.items():
            place = root.create_group(layer)
            place.attrs["weight_names"] = np.array([name.encode() for name in arrays]) if arrays else np.array([])
            for name, array in arrays.items():
                place[name] = array


@pytest.mark.parametrize("cell", ["/lstm_cell", "/lstm_cell_3", ""])
@pytest.mark.parametrize(("group", "chunked"), [("model_weights", False), (None, False), (None, True)])
def test_files_of_keras_2(backend: Backend, tmp_path: Path, group: str | None, chunked: bool, cell: str) -> None:
    with float64():
        theirs, ours = keras_model(), Ours()
        embedding, lstm, lstm_1, norm, dense = (layer.get_weights() for layer in theirs.layers if layer.weights)
        roles = ("kernel:0", "recurrent_kernel:0", "bias:0")
        weights = {
            "embedding_4": {"embedding_4/embeddings:0": embedding[0]},
            "lstm_9": {f"lstm_9{cell}/{role}": array for role, array in zip(roles, lstm, strict=True)},
            "dropout": {},
            "lstm_10": {f"lstm_10{cell}/{role}": array for role, array in zip(roles, lstm_1, strict=True)},
            "layer_normalization": dict(
                zip(("layer_normalization/gamma:0", "layer_normalization/beta:0"), norm, strict=True)
            ),
            "head": {"head/kernel:0": dense[0], "head/bias:0": dense[1]},
        }
        keras_2_file(tmp_path / "m.h5", group, weights, chunked)
        interop.load_keras_file(ours, tmp_path / "m.h5")
        assert_same([ops.to_numpy(ours(ops.asarray(TOKENS)))], [np.array(theirs(TOKENS))])
        if not group:  # the peer's reader of the same file
            fresh = keras_model()
            fresh.load_weights(tmp_path / "m.h5")
            assert_same([np.array(fresh(TOKENS))], [np.array(theirs(TOKENS))])


def test_weights_of_tensorflow_2_13s_own_h5_layout(backend: Backend, tmp_path: Path) -> None:
    kernel, bias = DRAW.normal(size=(2, 3)), DRAW.normal(size=3)
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        for i, array in enumerate((kernel, bias)):
            file[f"_layer_checkpoint_dependencies/dense/vars/{i}"] = array
        file["optimizer/vars/0"], file["metrics/mean/vars/0"] = np.zeros(()), np.zeros(())
        file.create_group("vars")
    ours = nn.Linear(2, 3)
    interop.load_keras_file(ours, tmp_path / "m.weights.h5")
    np.testing.assert_allclose(values(ours)["weight"], kernel.T.astype("float32"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("layer", "ours", "reason"),
    [
        (lambda: keras.layers.GRU(3, reset_after=False), lambda: nn.GRU(2, 3), "reset_after=False"),
        (
            lambda: keras.layers.GRU(3, reset_after=False, use_bias=False),
            lambda: nn.GRU(2, 3, bias=False),
            "reset_after",
        ),
        (lambda: keras.layers.LSTM(3, go_backwards=True), lambda: nn.LSTM(2, 3), "go_backwards"),
        (
            lambda: keras.layers.LSTM(3, activation="relu"),
            lambda: nn.LSTM(2, 3),
            "activation='relu' in Keras and 'tanh'",
        ),
        (lambda: keras.layers.LSTM(3, recurrent_activation="hard_sigmoid"), lambda: nn.LSTM(2, 3), "hard_sigmoid"),
        (lambda: keras.layers.SimpleRNN(3, activation="relu"), lambda: nn.RNN(2, 3), "activation='relu'"),
        (lambda: keras.layers.LayerNormalization(), lambda: nn.LayerNorm(2), "epsilon=0.001.*make it with eps=0.001"),
        (lambda: keras.layers.Bidirectional(keras.layers.LSTM(3)), lambda: nn.LSTM(2, 3), "is bidirectional in Keras"),
    ],
)
def test_settings_that_make_another_function_are_refused(
    backend: Backend, tmp_path: Path, suffix: str, layer: Any, ours: Any, reason: str
) -> None:
    save(keras.Sequential([keras.Input((None, 2)), layer()]), tmp_path / f"m{suffix}")
    with pytest.raises(WeightsError, match=reason):
        interop.load_keras_file(ours(), tmp_path / f"m{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_everything_that_does_not_fit_is_listed_and_nothing_is_loaded(
    backend: Backend, tmp_path: Path, suffix: str
) -> None:
    save(keras_model("embedding", "lstm", "lstm_1", "norm", "head"), tmp_path / f"m{suffix}")
    ours = Ours(6)
    ours.extra = nn.Linear(1, 1)  # type: ignore[attr-defined]
    before = values(ours)
    with pytest.raises(WeightsError) as raised:
        interop.load_keras_file(ours, tmp_path / f"m{suffix}")
    for part in (
        "missing: lstm.0 (LSTM) of (4, 24), (6, 24), (24,)",
        "unexpected: lstm_1 (Keras LSTM) of (5, 20), (5, 20), (20,)"
        if suffix != ".weights.h5"
        else "unexpected: lstm_1",
        "shape: head.kernel is (5, 3) in Keras' head and (6, 3) in the module",
        "missing: extra (Linear) of (1, 1), (1,)",
    ):
        assert part in str(raised.value)
    assert all(np.array_equal(before[name], value) for name, value in values(ours).items())


def test_equal_names_and_shapes_of_two_kinds_are_refused(backend: Backend, tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            self.table = nn.Linear(3, 3, bias=False)

    save(
        keras.Sequential([keras.Input((None,)), keras.layers.Embedding(3, 3, name="table")]), tmp_path / "m.weights.h5"
    )
    with pytest.raises(WeightsError, match="kind: table is a Linear, Keras' table a Embedding"):
        interop.load_keras_file(Named(), tmp_path / "m.weights.h5")


def test_what_is_no_file_of_keras_is_refused(backend: Backend, tmp_path: Path) -> None:
    for name, content in (("a.h5", b"nothing"), ("b.keras", b"PK\x03\x04 nothing"), ("c.weights.h5", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="no weight file of Keras"):
            interop.load_keras_file(nn.Linear(1, 1), tmp_path / name)
    with pytest.raises(WeightsError, match="no file"):
        interop.load_keras_file(nn.Linear(1, 1), tmp_path / "absent.h5")
    with pytest.raises(WeightsError, match=r"end in \.weights\.h5"):
        interop.save_keras_file(nn.Linear(1, 1), tmp_path / "m.keras")


def test_parameters_of_no_keras_layer_are_not_written(backend: Backend, tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            self.scale, self.head = nn.Parameter(np.ones(3)), nn.Linear(3, 2)

    with pytest.raises(WeightsError, match="the module belong to no layer that Keras has"):
        interop.save_keras_file(Scaled(), tmp_path / "m.weights.h5")
    assert not list(tmp_path.iterdir())


def test_without_h5py_the_message_says_how_to_get_it(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BackendNotInstalledError, match=r"pip install 'tbptt\[keras-files\]'"):
        interop.load_keras_file(nn.Linear(1, 1), tmp_path / "m.h5")


class Stack(nn.Module):
    """Two layers that any two layers of Keras of this size could be."""

    def __init__(self) -> None:
        self.rnn = nn.LSTM(3, 3, num_layers=2)

    def forward(self, inputs: Any) -> Any:
        return self.rnn(inputs)[0]


def lstm(**options: Any) -> Any:
    return keras.layers.LSTM(3, return_sequences=True, **options)


def sequential(*layers: Any, **options: Any) -> Any:
    return keras.Sequential([keras.Input((None, 3)), *layers], **options)


class AttributesAgainstTheAlphabet(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.a_2, self.a_1 = lstm(), lstm()

    def call(self, inputs: Any) -> Any:
        return self.a_1(self.a_2(inputs))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(sequential(lstm()), lstm()),
        lambda: sequential(lstm(), sequential(lstm())),
        lambda: sequential(sequential(lstm(name="one"), name="a"), sequential(lstm(name="one"), name="b")),
        AttributesAgainstTheAlphabet,
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_layers_are_in_the_models_order_or_refused_never_in_the_files(
    backend: Backend, tmp_path: Path, suffix: str, make: Any
) -> None:
    theirs, ours, x = make(), Stack(), DRAW.normal(size=(2, 4, 3)).astype("float32")
    theirs(x)
    save(shuffle(DRAW, theirs), tmp_path / f"m{suffix}")
    before = values(ours)
    try:
        interop.load_keras_file(ours, tmp_path / f"m{suffix}")
    except WeightsError as error:
        assert "missing: rnn.0" in str(error)  # of a file that does not say
        assert suffix == ".weights.h5" or isinstance(theirs, AttributesAgainstTheAlphabet)
        assert all(np.array_equal(before[name], value) for name, value in values(ours).items())
    else:
        np.testing.assert_allclose(ops.to_numpy(ours(ops.asarray(x))), np.array(theirs(x)), atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_equal_names_in_two_models_inside_do_not_confuse_their_order(
    backend: Backend, tmp_path: Path, suffix: str
) -> None:
    theirs = sequential(sequential(lstm(name="r"), name="a"), lstm(name="m"), sequential(lstm(name="r"), name="b"))
    ours, x = nn.LSTM(3, 3, num_layers=3), DRAW.normal(size=(2, 4, 3)).astype("float32")
    save(shuffle(DRAW, theirs), tmp_path / f"m{suffix}")
    interop.load_keras_file(ours, tmp_path / f"m{suffix}")
    np.testing.assert_allclose(ops.to_numpy(ours(ops.asarray(x))[0]), np.array(theirs(x)), atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(sequential(lstm(activation="relu")), lstm()),
        lambda: sequential(
            keras.layers.RNN(
                [keras.layers.LSTMCell(3), keras.layers.LSTMCell(3, activation="relu")], return_sequences=True
            )
        ),
    ],
)
def test_settings_of_layers_inside_others_are_read_too(
    backend: Backend, tmp_path: Path, suffix: str, make: Any
) -> None:
    save(make(), tmp_path / f"m{suffix}")
    with pytest.raises(WeightsError, match=r"refused: rnn\.\d has activation='relu' in Keras"):
        interop.load_keras_file(Stack(), tmp_path / f"m{suffix}")


def test_time_distributed_dense_layers_are_counted(backend: Backend, tmp_path: Path) -> None:
    theirs = sequential(*(keras.layers.TimeDistributed(keras.layers.Dense(3)) for _ in range(2)))
    ours, x = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), DRAW.normal(size=(2, 4, 3)).astype("float32")
    save(shuffle(DRAW, theirs), tmp_path / "m.weights.h5")
    interop.load_keras_file(ours, tmp_path / "m.weights.h5")
    np.testing.assert_allclose(ops.to_numpy(ours(ops.asarray(x))), np.array(theirs(x)), atol=1e-6)


def test_a_setting_called_layers_makes_no_model_of_a_layer(backend: Backend, tmp_path: Path) -> None:
    class Wide(keras.layers.Dense):
        def get_config(self) -> Any:
            return {**super().get_config(), "layers": 2}

    theirs, ours = sequential(Wide(2)), nn.Linear(3, 2)
    save(theirs, tmp_path / "m.keras")
    interop.load_keras_file(ours, tmp_path / "m.keras")
    np.testing.assert_allclose(values(ours)["weight"], theirs.get_weights()[0].T, atol=1e-6)


def test_what_is_not_trained_in_a_model_inside_keeps_its_place(backend: Backend, tmp_path: Path) -> None:
    ours, x = Stack(), DRAW.normal(size=(2, 4, 3)).astype("float32")
    theirs = sequential(sequential(lstm(), lstm()))
    theirs.layers[0].layers[0].trainable = False  # so that Keras 2's format lists it last
    save(shuffle(DRAW, theirs), tmp_path / "m.h5")
    interop.load_keras_file(ours, tmp_path / "m.h5")
    np.testing.assert_allclose(ops.to_numpy(ours(ops.asarray(x))), np.array(theirs(x)), atol=1e-6)


@pytest.mark.parametrize(("ours", "gates", "kind"), [(nn.LSTM, 4, "CuDNNLSTM"), (nn.GRU, 3, "CuDNNGRU")])
def test_cudnns_layers_are_refused_by_name_although_the_file_does_not_say(
    backend: Backend, tmp_path: Path, ours: Any, gates: int, kind: str
) -> None:
    shapes = {"kernel:0": (2, 3 * gates), "recurrent_kernel:0": (3, 3 * gates), "bias:0": (6 * gates,)}
    arrays = {f"layer/{role}": np.zeros(shape) for role, shape in shapes.items()}
    keras_2_file(tmp_path / "m.h5", None, {"layer": arrays})
    with pytest.raises(WeightsError, match=f"refused: the layer is a {kind}"):
        interop.load_keras_file(ours(2, 3), tmp_path / "m.h5")
