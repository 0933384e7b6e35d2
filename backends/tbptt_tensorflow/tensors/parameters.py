"""Parameters: the only tensors that are written to."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt.errors import ShapeError
from tbptt.types import DType
from tbptt_tensorflow.devices import device_of
from tbptt_tensorflow.tensors._promotion import Variable, cast, native, on_device, tensor
from tbptt_tensorflow.tensors.creation import asarray


def parameter(value: Any, *, name: str | None = None, trainable: bool = True, device: str | None = None) -> Any:
    with on_device(device):
        return tf.Variable(asarray(value), name=name, trainable=trainable)


def is_parameter(x: Any) -> bool:
    return isinstance(x, Variable)


def assign(parameter: Any, value: Any) -> None:
    source = asarray(value, dtype=parameter.dtype)
    if source.shape != parameter.shape:
        raise ShapeError(
            f"A value of the shape {tuple(source.shape)} cannot be assigned to a parameter of the shape "
            f"{tuple(parameter.shape)}: the shapes must be equal."
        )
    parameter.assign(source)


def convert_parameter(parameter: Any, dtype: DType | None = None, device: str | None = None) -> Any:
    # A tf.Variable has one dtype and one place for life.
    kind = parameter.dtype if dtype is None else native(dtype)
    place = device_of(parameter) if device is None else device
    if kind is parameter.dtype and place == device_of(parameter):
        return parameter
    with on_device(place):
        name = parameter.name.removesuffix(":0")
        return tf.Variable(cast(tensor(parameter), kind), name=name, trainable=parameter.trainable)
