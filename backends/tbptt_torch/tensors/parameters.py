"""Parameters: the only tensors that are written to."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Parameter

from tbptt.errors import ShapeError
from tbptt.types import DType
from tbptt_torch.tensors._promotion import native, tensor
from tbptt_torch.tensors.creation import asarray


def parameter(value: Any, *, name: str | None = None, trainable: bool = True, device: str | None = None) -> Parameter:
    # a torch parameter has no name of its own; torch records gradients of floats only
    # Memory of torch's own: it is aligned to 64 bytes, NumPy's is not, and matrix products are some percent faster for it.
    held = asarray(value, device=device).detach().clone()
    return Parameter(held, requires_grad=trainable and held.is_floating_point())


def is_parameter(x: Any) -> bool:
    return isinstance(x, Parameter)


def assign(parameter: Parameter, value: Any) -> None:
    source = tensor(value)
    if source.shape != parameter.shape:  # torch would broadcast
        raise ShapeError(
            f"A value of the shape {tuple(source.shape)} cannot be assigned to a parameter of the shape "
            f"{tuple(parameter.shape)}: the shapes must be equal."
        )
    with torch.no_grad():
        parameter.copy_(source)


def convert_parameter(parameter: Parameter, dtype: DType | None = None, device: str | None = None) -> Parameter:
    # As `torch.nn.Module.to` does it: whoever holds the parameter, an optimizer too, holds the converted one.
    place = None if device is None else device.replace("gpu", "cuda")
    parameter.data = parameter.data.to(place, None if dtype is None else native(dtype))
    return parameter
