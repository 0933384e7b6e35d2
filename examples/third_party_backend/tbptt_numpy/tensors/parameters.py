"""Parameters: the only tensors that change. Their arrays do not: a parameter is given another one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt.errors import ShapeError
from tbptt.types import DType
from tbptt_numpy.tensor import Parameter
from tbptt_numpy.tensors._operands import check_device, native, tensor
from tbptt_numpy.tensors.creation import asarray


def parameter(value: Any, *, name: str | None = None, trainable: bool = True, device: str | None = None) -> Parameter:
    held = asarray(value, device=device).value
    return Parameter(np.array(held), trainable=trainable and held.dtype.kind == "f")


def is_parameter(x: Any) -> bool:
    return isinstance(x, Parameter)


def assign(parameter: Parameter, value: Any) -> None:
    source = tensor(value).value
    if source.shape != parameter.shape:
        raise ShapeError(
            f"A value of the shape {source.shape} cannot be assigned to a parameter of the shape {parameter.shape}: "
            f"the shapes must be equal."
        )
    parameter.value = np.array(source, dtype=parameter.dtype)


def convert_parameter(parameter: Parameter, dtype: DType | None = None, device: str | None = None) -> Parameter:
    check_device(device)
    if dtype is not None:
        parameter.value = parameter.value.astype(native(dtype), copy=False)
    return parameter
