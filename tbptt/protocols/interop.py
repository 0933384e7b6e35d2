"""What an engine promises about its native modules (`torch.nn.Module`, `keras.layers.Layer`) as children of ours."""

from __future__ import annotations

from typing import Any, Protocol

from tbptt.types import Array, Parameter


class Interop(Protocol):
    """The module ``interop`` of an adapter."""

    def is_native_module(self, value: Any) -> bool:
        """Whether this is the engine's own kind of module."""
        ...

    def named_parameters(self, module: Any) -> list[tuple[str, Parameter]]:
        """Its trainable parameters, in order, with dotted names. A module that has not built them yet is an error."""
        ...

    def named_buffers(self, module: Any) -> list[tuple[str, Any]]:
        """Its further state that belongs into a weight file."""
        ...

    def is_trainable(self, parameter: Parameter) -> bool:
        """Whether training may change it."""
        ...

    def set_training(self, module: Any, training: bool) -> None:
        """Switch it, and everything in it, between training and evaluation."""
        ...

    def write(self, parameter: Parameter, value: Array) -> None:
        """Set a parameter or buffer of a native module."""
        ...

    def seed(self, value: int) -> None:
        """Seed the generators that native modules draw from. Ours draw in NumPy."""
        ...
