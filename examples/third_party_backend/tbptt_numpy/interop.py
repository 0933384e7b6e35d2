"""Native modules: NumPy has none, nor optimizers or generators of its own that a model could hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tbptt.errors import ModuleProtocolError
from tbptt.types import Array, DType
from tbptt_numpy.tensors.parameters import assign


def is_native_module(value: Any) -> bool:
    """Whether this is the engine's own kind of module: nothing is."""
    return False


def is_native_class(cls: type) -> bool:
    """Whether the engine itself defines this class."""
    return cls.__module__.partition(".")[0] == "tbptt_numpy"


def unwrap_parameter(value: Any) -> Any:
    """The value as it is: parameters have no shell."""
    return value


def native_optimizer(optimizer: Any, parameters: Sequence[Any]) -> None:
    """None: it is no optimizer of this engine."""


def named_parameters(module: Any) -> list[tuple[str, Any]]:
    """The trainable parameters of a native module."""
    raise _no_module(module)


def named_buffers(module: Any) -> list[tuple[str, Any]]:
    """What else of a native module belongs into a weight file."""
    raise _no_module(module)


def is_trainable(parameter: Any) -> bool:
    """Whether training may change it."""
    return bool(parameter.trainable)


def set_trainable(parameter: Any, trainable: bool) -> None:
    """Let training change it, or not."""
    parameter.trainable = trainable


def set_training(module: Any, training: bool) -> None:
    """Switch a native module between training and evaluation."""
    raise _no_module(module)


def named_children(module: Any) -> list[tuple[str, Any]]:
    """The native modules that a native module holds."""
    raise _no_module(module)


def move(module: Any, dtype: DType | None, device: str | None) -> None:
    """Convert and move a native module."""
    raise _no_module(module)


def autocast(dtype: DType | None) -> AbstractContextManager[Any]:
    """A scope in which native modules would compute in half precision."""
    return nullcontext()


def write(parameter: Any, value: Array) -> None:
    """Set a parameter."""
    assign(parameter, value)


def as_padded(value: Any) -> tuple[Any, Any] | None:
    """None: the engine has no container of sequences of different length."""
    return None


def take_gradients(parameters: Sequence[Any]) -> list[Any | None] | None:
    """None: no gradients are kept beside parameters."""
    return None


def seed(value: int) -> None:
    """Nothing to seed: no native module draws."""


def random_state() -> Any:
    """None: there is no generator."""
    return None


def set_random_state(state: Any) -> None:
    """Nothing to set."""


def view(module: Any) -> Any:
    """The engine's own kind of module around one of ours."""
    raise ModuleProtocolError("NumPy has no modules of its own, so there is no view of one. Use the module as it is.")


def export(program: Any, path: str, format: str) -> None:
    """Write a program in one of the engine's formats, of which there are none."""
    raise ModuleProtocolError(
        "NumPy has no format to export to. Take the module to torch or tensorflow by its weights."
    )


def _no_module(module: Any) -> ModuleProtocolError:
    return ModuleProtocolError(
        f"A {type(module).__name__} is no module of NumPy, which has none. Use tbptt's own layers."
    )
