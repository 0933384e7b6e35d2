"""Native `torch.nn.Module` objects as children of ours."""

from __future__ import annotations

from typing import Any

import torch

from tbptt.errors import ModuleProtocolError
from tbptt.types import Array


def is_native_module(value: Any) -> bool:
    """Whether this is a `torch.nn.Module`."""
    return isinstance(value, torch.nn.Module)


def named_parameters(module: Any) -> list[tuple[str, Any]]:
    """Its trainable parameters, in order, with dotted names."""
    named = list(module.named_parameters())
    lazy = [name for name, parameter in named if torch.nn.parameter.is_lazy(parameter)]
    if lazy:
        raise ModuleProtocolError(
            f"{type(module).__name__} has not made its parameters {', '.join(lazy)} yet. "
            f"Call it once on data of the right shape before training starts."
        )
    return [(name, parameter) for name, parameter in named if parameter.requires_grad]


def named_buffers(module: Any) -> list[tuple[str, Any]]:
    """Its further state that belongs into a weight file: buffers, and parameters that are not trained."""
    trained = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    return [(name, value) for name, value in module.state_dict(keep_vars=True).items() if name not in trained]


def is_trainable(parameter: Any) -> bool:
    """Whether training may change it."""
    return bool(parameter.requires_grad)


def set_training(module: Any, training: bool) -> None:
    """Switch it, and everything in it, between training and evaluation."""
    module.train(training)


def write(parameter: Any, value: Array) -> None:
    """Set a parameter or buffer."""
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(value))


def seed(value: int) -> None:
    """Seed the generators that native modules draw from. Ours draw in NumPy."""
    torch.manual_seed(value)
