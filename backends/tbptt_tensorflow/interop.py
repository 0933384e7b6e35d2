"""Native `keras.layers.Layer` (models too) and `tf.Module` objects as children of ours."""

from __future__ import annotations

import sys
from typing import Any

import tensorflow as tf

from tbptt.errors import ModuleProtocolError
from tbptt.types import Array


def is_native_module(value: Any) -> bool:
    """Whether this is a Keras layer or model, or a `tf.Module`."""
    return isinstance(value, tf.Module) or _is_keras(value, "Layer")


def named_parameters(module: Any) -> list[tuple[str, Any]]:
    """Its trainable parameters, in order, with dotted names."""
    if getattr(module, "built", True) is False:
        raise ModuleProtocolError(
            f"{type(module).__name__} has not made its parameters yet. "
            f"Call it once on data of the right shape, or {module.name}.build(shape), before training starts."
        )
    return _named(module, module.trainable_variables)


def named_buffers(module: Any) -> list[tuple[str, Any]]:
    """Its further state that belongs into a weight file: variables that are not trained."""
    trained = {id(variable) for variable in module.trainable_variables}
    others = module.weights if _is_keras(module, "Layer") else module.variables
    return _named(module, [variable for variable in others if id(variable) not in trained])


def is_trainable(parameter: Any) -> bool:
    """Whether training may change it."""
    return bool(parameter.trainable)


def set_training(module: Any, training: bool) -> None:
    """Keras layers take ``training=`` with each call and keep no such state: pass ``training=self.training``."""


def write(parameter: Any, value: Array) -> None:
    """Set a parameter or buffer."""
    parameter.assign(value)


def seed(value: int) -> None:
    """Seed the generators that native modules draw from. Ours draw in NumPy."""
    tf.random.set_seed(value)


def _named(module: Any, variables: list[Any]) -> list[tuple[str, Any]]:
    # A Keras variable is a shell around the tf.Variable that tapes and optimizers deal with. Its path starts with the
    # layer's own name, which counts up from process to process ("lstm_3/kernel") and says nothing here.
    paths = [getattr(v, "path", v.name).removeprefix(f"{module.name}/").removesuffix(":0") for v in variables]
    natives = [v.value if _is_keras(v, "Variable") else v for v in variables]
    return [(path.replace("/", "."), native) for path, native in zip(paths, natives, strict=True)]


def _is_keras(value: Any, kind: str) -> bool:
    keras = sys.modules.get("keras")  # seconds to import, and nobody has a Keras object who has not imported it
    return keras is not None and isinstance(value, getattr(keras, kind))
