"""What an engine promises about its native modules (`torch.nn.Module`, `keras.layers.Layer`): as children of ours, and ours as
native ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from tbptt.protocols.native_optimizers import NativeOptimizer
from tbptt.types import Array, DType, Parameter, Tensor


class Program(Protocol):
    """A module as a function of named tensors, to be exported: the state goes in among them and comes out again."""

    module: Any
    """One of ours, in evaluation mode; its parameters are the exporting engine's."""
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    axes: tuple[tuple[str | None, ...], ...]
    """For each input the names of its axes: one name wherever lengths agree, None where the length is fixed."""

    openings: tuple[tuple[str, ...], ...]
    """Which axes to leave open, the most first: an exporter takes the first of these it can."""

    def examples(self, *open_axes: str) -> list[Array]:
        """An array for each input. Axes of these names are at least 2 long, for exporters that take 1 to be fixed."""
        ...

    def run(self, model: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The outputs, from the inputs: `model` is called as the module is, and may be a view of it."""
        ...


class Interop(Protocol):
    """The module ``interop`` of an adapter."""

    def is_native_module(self, value: Any) -> bool:
        """Whether this is the engine's own kind of module."""
        ...

    def is_native_class(self, cls: type) -> bool:
        """Whether the engine itself defines this class, not somebody who inherits from it.

        So a user's ``test_step`` can be told from the method of that name every Keras model has.
        """
        ...

    def unwrap_parameter(self, value: Any) -> Any:
        """The parameter inside one of the engine's shells (`keras.Variable`); everything else as it is."""
        ...

    def native_optimizer(self, optimizer: Any, parameters: Sequence[Parameter]) -> NativeOptimizer | None:
        """The engine's own optimizer with the face of ours; None if it is no optimizer of this engine.

        `parameters` are those of the model, for an optimizer that has not been told yet what to train.

        Raises:
            ConfigurationError: if it expects something of the training loop that ours does not do.
        """
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

    def set_trainable(self, parameter: Parameter, trainable: bool) -> None:
        """Let training change it, or not: tapes that begin after this record what happens to it, or do not."""
        ...

    def set_training(self, module: Any, training: bool) -> None:
        """Switch it, and everything in it, between training and evaluation."""
        ...

    def named_children(self, module: Any) -> list[tuple[str, Any]]:
        """The native modules it holds directly, by name."""
        ...

    def move(self, module: Any, dtype: DType | None, device: str | None) -> None:
        """Convert its floating tensors to that dtype and move everything to that device; None leaves either as it is.

        Raises:
            ModuleProtocolError: if modules of this engine cannot; nothing has changed then.
        """
        ...

    def autocast(self, dtype: DType | None) -> AbstractContextManager[Any]:
        """A scope in which native modules compute in that half-precision dtype, with parameters as they are.

        None is a scope in which they do not. Nothing on engines whose modules have a precision of their own.
        """
        ...

    def write(self, parameter: Parameter, value: Array) -> None:
        """Set a parameter or buffer of a native module."""
        ...

    def as_padded(self, value: Any) -> tuple[Tensor, Tensor] | None:
        """Values (B, T, ...) and lengths (B,) of the engine's own container of sequences of different length; None for all else.

        Rows come in the order of the caller, T is the longest, and what lies beyond a row's end is zero.

        Raises:
            DataError: if more than its time differs from row to row.
        """
        ...

    def take_gradients(self, parameters: Sequence[Parameter]) -> list[Tensor | None] | None:
        """Gradients that the user put beside the parameters (torch's ``loss.backward()``), which are taken away from there.

        None if there are none, or the engine keeps no gradients there.
        """
        ...

    def seed(self, value: int) -> None:
        """Seed the generators that native modules draw from. Ours draw in NumPy."""
        ...

    def random_state(self) -> Any:
        """Where the generators stand that native modules draw from; None if they are among the buffers."""
        ...

    def set_random_state(self, state: Any) -> None:
        """Let them go on from there."""
        ...

    def view(self, module: Any) -> Any:
        """The engine's own kind of module around one of ours, whose parameters are the engine's already.

        It has these parameters under their dotted names, is called as the module is, and follows it in mode.

        Raises:
            ModuleProtocolError: if the engine has no such thing, or a name cannot be had there.
        """
        ...

    def export(self, program: Program, path: str, format: str) -> None:
        """Write a program in one of the formats that `tbptt.export.formats` says are this engine's.

        Inputs and outputs have the program's names; axes with names are of any length where the format and the module allow it.

        Raises:
            ModuleProtocolError: if the engine, or the module, cannot be exported.
        """
        ...
