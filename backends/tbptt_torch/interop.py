"""Native `torch.nn.Module` objects as children of ours, and ours as native ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from tbptt.errors import ModuleProtocolError
from tbptt.protocols.interop import Program
from tbptt.types import Array, DType
from tbptt_torch import exporting, native_optimizers, views
from tbptt_torch.tensors._promotion import native


def is_native_module(value: Any) -> bool:
    """Whether this is a `torch.nn.Module`."""
    return isinstance(value, torch.nn.Module)


def is_native_class(cls: type) -> bool:
    """Whether torch itself defines this class, not somebody who inherits from it."""
    return cls.__module__.partition(".")[0] == "torch"


def unwrap_parameter(value: Any) -> Any:
    """The value as it is: torch's parameters have no shell."""
    return value


def native_optimizer(optimizer: Any, parameters: Sequence[Any]) -> native_optimizers.NativeOptimizer | None:
    """A `torch.optim.Optimizer` with the face of ours; it has been given its parameters. None for anything else."""
    return native_optimizers.NativeOptimizer(optimizer) if isinstance(optimizer, torch.optim.Optimizer) else None


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


def set_trainable(parameter: Any, trainable: bool) -> None:
    """Let training change it, or not."""
    parameter.requires_grad_(trainable)


def set_training(module: Any, training: bool) -> None:
    """Switch it, and everything in it, between training and evaluation."""
    module.train(training)


def named_children(module: Any) -> list[tuple[str, Any]]:
    """The modules it holds directly, by name."""
    return list(module.named_children())


def move(module: Any, dtype: DType | None, device: str | None) -> None:
    """Convert its floating tensors and move everything: `torch.nn.Module.to`, which keeps every parameter's identity."""
    place = None if device is None else device.replace("gpu", "cuda")
    module.to(device=place, dtype=None if dtype is None else native(dtype))


@contextmanager
def autocast(dtype: DType | None) -> Iterator[None]:
    """`torch.autocast` on the devices there are; None switches it off.

    Without its cache of converted weights: a scope may span an update, after which the cached ones would be old.
    """
    half = torch.bfloat16 if dtype is None else native(dtype)
    options: dict[str, Any] = {"dtype": half, "enabled": dtype is not None, "cache_enabled": False}
    on_gpu: Any = torch.autocast("cuda", **options) if torch.cuda.is_available() else nullcontext()
    with torch.autocast("cpu", **options), on_gpu:
        yield


def write(parameter: Any, value: Array) -> None:
    """Set a parameter or buffer."""
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(value))


def as_padded(value: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Values (B, T, ...) and lengths (B,) of a `torch.nn.utils.rnn.PackedSequence`; None for all else."""
    if not isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return None
    return torch.nn.utils.rnn.pad_packed_sequence(value, batch_first=True)


def take_gradients(parameters: Sequence[Any]) -> list[Any | None] | None:
    """What ``loss.backward()`` left in ``.grad``, which is empty afterwards; None if it left nothing."""
    gradients = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    return gradients if any(gradient is not None for gradient in gradients) else None


def seed(value: int) -> None:
    """Seed the generators that native modules draw from. Ours draw in NumPy."""
    torch.manual_seed(value)


def random_state() -> Any:
    """Where the generators stand that native modules draw from: the processor's, and those of the graphics cards in use."""
    cards = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return torch.get_rng_state(), cards


def set_random_state(state: Any) -> None:
    """Let them go on from there."""
    processor, cards = state
    torch.set_rng_state(processor)
    if cards:
        torch.cuda.set_rng_state_all(cards)


def view(module: Any) -> views.View:
    """A `torch.nn.Module` around a module of ours."""
    return views.View(module)


def export(program: Program, path: str, format: str) -> None:
    """Write a program as ``"pt2"`` (`torch.export`) or ``"onnx"``."""
    exporting.export(views.View(program.module), program, path, format)
