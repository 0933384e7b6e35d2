"""The same layer in three worlds, float64: torch's, Keras', ours; random weights, and how each is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# isort: split
import keras

from numerics import peers
from tbptt import dtypes, nn, ops, tree

KINDS = ("lstm", "gru", "tanh", "relu")


@contextmanager
def float64() -> Iterator[None]:
    """Our modules and Keras' in float64."""
    with peers.float64(), dtypes.dtype_scope("float64"):
        yield


def our_layer(kind: str, inputs: int, units: int, layers: int = 1, bias: bool = True) -> Any:
    if kind in ("lstm", "gru"):
        return {"lstm": nn.LSTM, "gru": nn.GRU}[kind](inputs, units, layers, bias)
    return nn.RNN(inputs, units, layers, bias, nonlinearity=kind)  # type: ignore[arg-type]


def torch_layer(kind: str, inputs: int, units: int, layers: int = 1, bias: bool = True) -> Any:
    options: dict[str, Any] = {"bias": bias, "batch_first": True, "dtype": torch.float64}
    if kind in ("lstm", "gru"):
        return {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](inputs, units, layers, **options)
    return torch.nn.RNN(inputs, units, layers, nonlinearity=kind, **options)


def keras_layers(kind: str, inputs: int, units: int, layers: int = 1, bias: bool = True) -> list[Any]:
    made = []
    for layer in range(layers):
        options: dict[str, Any] = {"return_sequences": True, "return_state": True, "use_bias": bias, "dtype": "float64"}
        if kind in ("lstm", "gru"):
            made.append({"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind](units, **options))
        else:
            made.append(keras.layers.SimpleRNN(units, activation=kind, **options))
        made[-1].build((None, None, units if layer else inputs))
    return made


def shuffle(draw: np.random.Generator, layer: Any) -> Any:
    """Random weights, biases included, which the worlds start at zero."""
    if isinstance(layer, torch.nn.Module):
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.tensor(draw.normal(size=tuple(parameter.shape)) * 0.5))
    else:
        layer.set_weights([draw.normal(size=array.shape) * 0.5 for array in layer.get_weights()])
    return layer


def run_ours(layer: Any, inputs: np.ndarray) -> list[np.ndarray]:
    outputs, state = layer(ops.asarray(inputs))
    return [ops.to_numpy(outputs), *(ops.to_numpy(part) for part in tree.leaves(state))]


def run_torch(layer: Any, inputs: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        outputs, state = layer(torch.tensor(inputs))
    return [outputs.numpy(), *(part.numpy() for part in (state if isinstance(state, tuple) else (state,)))]


def run_keras(layers: list[Any], inputs: np.ndarray) -> list[np.ndarray]:
    outputs, ends = keras.ops.convert_to_tensor(inputs), []
    for layer in layers:
        outputs, *end = layer(outputs)
        ends.append([np.array(part) for part in end])
    return [np.array(outputs), *(np.stack(parts) for parts in zip(*ends, strict=True))]


def assert_same(found: list[np.ndarray], wanted: list[np.ndarray], tolerance: float = 1e-12) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {
        name: np.array(ops.to_numpy(value)) for name, value in (*module.named_parameters(), *module.named_buffers())
    }
