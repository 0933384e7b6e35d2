"""Native `keras.layers.Layer` (models too) and `tf.Module` objects as children of ours, and ours as native ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from tbptt.errors import DataError, ModuleProtocolError
from tbptt.protocols.interop import Program
from tbptt.types import Array, DType
from tbptt_tensorflow import exporting, native_optimizers, views
from tbptt_tensorflow.devices import device_of


def is_native_module(value: Any) -> bool:
    """Whether this is a Keras layer or model, or a `tf.Module`."""
    return isinstance(value, tf.Module) or _is_keras(value, "Layer")


def is_native_class(cls: type) -> bool:
    """Whether Keras or TensorFlow itself defines this class, not somebody who inherits from it."""
    return cls.__module__.partition(".")[0] in {"keras", "tensorflow"}


def unwrap_parameter(value: Any) -> Any:
    """The `tf.Variable` inside a `keras.Variable`, which is what tapes and optimizers deal with; others as they are."""
    return native_optimizers.native_variable(value) if _is_keras(value, "Variable") else value


def native_optimizer(optimizer: Any, parameters: Sequence[Any]) -> native_optimizers.NativeOptimizer | None:
    """A `keras.Optimizer` with the face of ours; it is built for the parameters if it was not before. None for anything else."""
    return native_optimizers.NativeOptimizer(optimizer, parameters) if _is_keras(optimizer, "Optimizer") else None


def named_parameters(module: Any) -> list[tuple[str, Any]]:
    """Its trainable parameters, in order, with dotted names."""
    if not _is_built(module):
        raise ModuleProtocolError(
            f"{type(module).__name__} has not made its parameters yet. "
            f"Call it once on data of the right shape, or {module.name}.build(shape), before training starts."
        )
    # A layer that Keras itself was told not to train says so by its lists alone; what was stopped by `set_trainable` is in them.
    return [(name, variable) for name, variable in _named(module, module.trainable_variables) if variable.trainable]


def named_buffers(module: Any) -> list[tuple[str, Any]]:
    """Its further state that belongs into a weight file: variables that are not trained."""
    trained = {id(variable) for _, variable in named_parameters(module)}
    everything = _named(module, module.weights if _is_keras(module, "Layer") else module.variables)
    return [(name, variable) for name, variable in everything if id(variable) not in trained]


def is_trainable(parameter: Any) -> bool:
    """Whether training may change it."""
    return bool(parameter.trainable)


def set_trainable(parameter: Any, trainable: bool) -> None:
    """Let training change it, or not.

    `tf.Variable.trainable` has no setter, but is read at every access: by tapes, and by `tf.Module.trainable_variables`.
    """
    parameter._trainable = trainable


def set_training(module: Any, training: bool) -> None:
    """Keras layers take ``training=`` with each call and keep no such state: pass ``training=self.training``."""


def named_children(module: Any) -> list[tuple[str, Any]]:
    """The modules it holds directly, by name: a Keras model's layers, a `tf.Module`'s attributes."""
    if _is_keras(module, "Layer"):
        return [(layer.name, layer) for layer in getattr(module, "layers", [])]
    return [(name, value) for name, value in vars(module).items() if is_native_module(value)]


def move(module: Any, dtype: DType | None, device: str | None) -> None:
    """Nothing, if everything is there already; else an error: a `tf.Variable` has one dtype and one place for life.

    Our own modules get new variables; of a Keras layer nobody knows what else holds the old ones.
    """
    for name, variable in (*named_parameters(module), *named_buffers(module)):
        if not variable.dtype.is_floating:
            continue
        wanted = variable.dtype.name if dtype is None else dtype
        place = device_of(variable) if device is None else device
        if (variable.dtype.name, device_of(variable)) != (wanted, place):
            how = f"keras.config.set_floatx({wanted!r})" if _is_keras(module, "Layer") else f"dtype={wanted!r}"
            raise ModuleProtocolError(
                f"{type(module).__name__} cannot be moved: its variable {name} is {variable.dtype.name} on "
                f"{device_of(variable)}, {wanted} on {place} was asked for, and TensorFlow's variables keep the dtype and the "
                f"device they are made with. Build it there to begin with: {how}, inside tf.device({place.upper()!r})."
            )


def autocast(dtype: DType | None) -> AbstractContextManager[Any]:
    """Nothing: a Keras layer computes in the dtype policy it was made with (`keras.config.set_dtype_policy`)."""
    return nullcontext()


def write(parameter: Any, value: Array) -> None:
    """Set a parameter or buffer."""
    parameter.assign(value)


def as_padded(value: Any) -> tuple[Any, Any] | None:
    """Values (B, T, ...) and lengths (B,) of a `tf.RaggedTensor` whose axis 1 is ragged; None for all else."""
    if not isinstance(value, tf.RaggedTensor):
        return None
    steps = value.values  # of all rows, one after the other
    if isinstance(steps, tf.RaggedTensor):  # tf.ragged.constant calls every axis ragged, also those that are not
        dense = steps.to_tensor()
        if tf.size(dense) != tf.size(steps.flat_values):
            raise DataError(
                f"A RaggedTensor of shape {value.shape} is ragged beyond its axis 1. Only time, axis 1, may differ from row to "
                f"row: make the axes after it even, with to_tensor()."
            )
        value = value.with_values(dense)
    return value.to_tensor(), value.row_lengths()


def take_gradients(parameters: Sequence[Any]) -> list[Any | None] | None:
    """None: variables carry no gradients."""
    return None


def seed(value: int) -> None:
    """Seed the generators that native modules draw from. Ours draw in NumPy."""
    tf.random.set_seed(value)


def random_state() -> Any:
    """Nothing: Keras keeps its generators in variables of its layers, and they are among the buffers."""
    return None


def set_random_state(state: Any) -> None:
    """Nothing to set."""


def view(module: Any) -> views.View:
    """A `tf.Module` around a module of ours."""
    return views.View(module)


def export(program: Program, path: str, format: str) -> None:
    """Write a program as a SavedModel, which is the only `format`."""
    exporting.export(views.View(program.module), program, path, format)


def _is_built(module: Any) -> bool:
    # A subclassed model counts itself as built when it has been called as a whole. Where training_step calls its layers
    # instead, that never happens; what it has to build is in the layers then.
    if getattr(module, "built", True):
        return True
    keras = sys.modules["keras"]
    if type(module).build is not keras.layers.Layer.build:
        return False
    if not isinstance(module, keras.Model):
        return bool(module.variables)  # made in __init__
    return bool(module.layers) and all(map(_is_built, module.layers))


def _named(module: Any, variables: list[Any]) -> list[tuple[str, Any]]:
    # The path of a Keras variable starts with the layer's own name, which counts up from model to model
    # ("lstm_3/kernel") and says nothing here.
    paths = [getattr(v, "path", v.name).removeprefix(f"{module.name}/").removesuffix(":0") for v in variables]
    own = _own_names(module)
    names = [".".join([own.get(part, part) for part in str(path).split("/")]) for path in paths]
    return [(name, unwrap_parameter(v)) for name, v in zip(names, variables, strict=True)]


def _own_names(module: Any) -> dict[str, str]:
    """For the layers below that Keras has named by their class, a count that starts with this model: two models have one set of
    names then, and weights go from one into the other.
    """
    if not _is_keras(module, "Layer"):
        return {}
    counts: dict[str, int] = {}
    names = {}
    for layer in module._flatten_layers(include_self=False):
        kind = re.sub(r"_\d+$", "", layer.name)
        if kind.replace("_", "") == type(layer).__name__.lower():
            number = counts[kind] = counts.get(kind, -1) + 1
            names[layer.name] = f"{kind}_{number}" if number else kind
    return names


def _is_keras(value: Any, kind: str) -> bool:
    keras = sys.modules.get("keras")  # seconds to import, and nobody has a Keras object who has not imported it
    return keras is not None and isinstance(value, getattr(keras, kind))
