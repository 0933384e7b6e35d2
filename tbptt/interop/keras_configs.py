"""What a Keras model's configuration says about its layers: their order, names, classes, and settings we cannot follow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tbptt.nn.cells import GRUCell, LSTMCell, RNNCell
from tbptt.nn.embedding import Embedding
from tbptt.nn.linear import Linear
from tbptt.nn.norm import LayerNorm
from tbptt.nn.recurrent import GRU, LSTM, RNN

KINDS: dict[str, type | tuple[type, ...]] = {
    "LSTM": (LSTM, LSTMCell),
    "GRU": (GRU, GRUCell),
    "SimpleRNN": (RNN, RNNCell),
    "Dense": Linear,
    "Embedding": Embedding,
    "LayerNormalization": LayerNorm,
}
"""Keras' classes and ours."""


class LayerConfig(NamedTuple):
    """One layer as a configuration describes it."""

    path: str
    """of its group in a Keras 3 weight file"""
    name: str
    kind: str
    config: Mapping[str, Any]
    top: str
    """The name of the layer of the whole model that it is in, or is: that of its group in a Keras 2 file."""


def layer_configs(model: Mapping[str, Any], path: str = "", top: str = "") -> list[LayerConfig]:
    """Every layer of a Sequential or functional model, in order, those of models inside included; none of a subclassed one.

    >>> from tbptt.interop import keras_configs
    >>> layers = [{"class_name": "LSTM", "config": {"name": name}} for name in ("read", "write")]
    >>> found = keras_configs.layer_configs({"class_name": "Sequential", "config": {"layers": layers}})
    >>> [(layer.path, layer.name) for layer in found]
    [('layers/lstm', 'read'), ('layers/lstm_1', 'write')]
    """
    layers = _inside(model) or []
    return [
        found
        for group, layer in zip(group_names([layer["class_name"] for layer in layers]), layers, strict=True)
        for found in _one(layer, f"{path}layers/{group}", top)
    ]


def group_names(classes: list[str]) -> list[str]:
    """The groups of a model's layers in a Keras 3 weight file, from their classes, in the model's order.

    >>> from tbptt.interop import keras_configs
    >>> keras_configs.group_names(["Dense", "LayerNormalization", "Dense"])
    ['dense', 'layer_normalization', 'dense_1']
    """
    seen: dict[str, int] = {}
    names = []
    for kind in classes:
        name = snake_case(kind)
        count = seen[name] = seen.get(name, -1) + 1
        names.append(f"{name}_{count}" if count else name)
    return names


def snake_case(kind: str) -> str:
    """A class's name as Keras writes it in files.

    >>> from tbptt.interop import keras_configs
    >>> keras_configs.snake_case("SimpleRNN")
    'simple_rnn'
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def setting_faults(name: str, module: Any, kind: str | None, config: Mapping[str, Any]) -> list[str]:
    """Settings with which the Keras layer computes something that ours does not; none where nothing is known.

    >>> from tbptt import nn
    >>> from tbptt.interop import keras_configs
    >>> keras_configs.setting_faults("norm", nn.LayerNorm(3), "LayerNormalization", {"epsilon": 0.001})
    ['refused: norm has epsilon=0.001 in Keras and eps=1e-05 here: make it with eps=0.001']

    Args:
        name: the layer's, for the message.
        module: our layer; None asks for settings that no layer of ours follows.
        kind: Keras' class.
        config: the Keras layer's.
    """
    wrong = []
    name = name or "the layer"
    if kind == "Bidirectional":
        wrong.append(f"{name} is bidirectional in Keras: it reads the future, and no state can be carried backwards")
    if kind in ("CuDNNLSTM", "CuDNNGRU"):
        wrong.append(f"{name} is a {kind}, whose layout is cuDNN's: load it in Keras 2 into {kind[5:]}, and save that")
    if config.get("reset_after") is False:
        wrong.append(
            f"{name} is a GRU with reset_after=False, U(r*h) where ours is r*(Uh + b_hn): another function, which no weights of "
            f"ours compute. Train it with reset_after=True, Keras' default"
        )
    if config.get("go_backwards"):
        wrong.append(f"{name} has go_backwards=True in Keras; ours reads forwards. Turn the data instead")
    if isinstance(module, RNN | RNNCell) or kind in ("LSTM", "GRU"):
        ours = {"activation": getattr(module, "nonlinearity", "tanh"), "recurrent_activation": "sigmoid"}
        for setting, value in ours.items():
            theirs = _plain(config.get(setting, value))
            if theirs != value:
                wrong.append(f"{name} has {setting}={theirs!r} in Keras and {value!r} here")
    if isinstance(module, LayerNorm) and config.get("epsilon", module.eps) != module.eps:
        epsilon = config["epsilon"]
        wrong.append(f"{name} has epsilon={epsilon} in Keras and eps={module.eps} here: make it with eps={epsilon}")
    return [f"refused: {line}" for line in wrong]


def _inside(model: Mapping[str, Any]) -> list[Any] | None:
    """The layers of a model; None of what is none, whose own settings may be called layers too."""
    config = model.get("config", {})
    layers = config if isinstance(config, list) else config.get("layers")  # Keras 2.0's Sequential was a bare list
    if not isinstance(layers, list) or not all(
        isinstance(layer, Mapping) and "class_name" in layer for layer in layers
    ):
        return None
    return layers


def _one(layer: Mapping[str, Any], path: str, top: str) -> Iterator[LayerConfig]:
    kind: str = layer["class_name"]
    config: Any = layer.get("config", {})
    name = (config.get("name") if isinstance(config, Mapping) else None) or layer.get("name", "")
    if _inside(layer) is not None:
        yield from layer_configs(layer, f"{path}/", top or name)
        return
    inner = config.get("cell") if kind == "RNN" else config.get("layer") if kind == "TimeDistributed" else None
    if not isinstance(inner, Mapping):
        yield LayerConfig(path, name, kind, config, top or name)
        return
    parts = {path: (name, inner)}
    if inner.get("class_name") == "StackedRNNCells":
        cells = inner["config"]["cells"]
        groups = group_names([cell["class_name"] for cell in cells])
        parts = {
            f"{path}/cell/cells/{group}": (cell["config"].get("name", ""), cell)
            for group, cell in zip(groups, cells, strict=True)
        }
    for place, (called, part) in parts.items():
        settings = {**part.get("config", {}), "go_backwards": config.get("go_backwards")}
        yield LayerConfig(place, called, part.get("class_name", "").removesuffix("Cell"), settings, top or name)


def _plain(activation: Any) -> Any:
    """The name of an activation, which Keras 3 may write as a function with a name."""
    return activation.get("config") if isinstance(activation, Mapping) else activation
