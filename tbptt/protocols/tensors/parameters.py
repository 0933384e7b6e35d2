"""Parameters: the only tensors that are written to."""

from __future__ import annotations

from typing import Any, Protocol

from tbptt.types import DType, Parameter


class Parameters(Protocol):
    """Functions of parameters."""

    def parameter(
        self, value: Any, *, name: str | None = None, trainable: bool = True, device: str | None = None
    ) -> Parameter:
        """A `torch.nn.Parameter` or `tf.Variable` holding a copy of `value` (a NumPy array or a tensor), in its dtype.

        `name` is for engines whose parameters have one. One that is not `trainable` is recorded by no tape.
        """
        ...

    def is_parameter(self, x: Any) -> bool:
        """Whether this is the engine's kind of parameter, trainable or not."""
        ...

    def assign(self, parameter: Parameter, value: Any) -> None:
        """Write `value` (a NumPy array or a tensor) into the parameter in place, converted to its dtype.

        Raises:
            ShapeError: if the shapes differ; the parameter is then as before.
        """
        ...

    def convert_parameter(
        self, parameter: Parameter, dtype: DType | None = None, device: str | None = None
    ) -> Parameter:
        """The parameter in another dtype, on another device; None leaves either as it is.

        An engine that can change a parameter in place answers with the same object, another with a new one that is as
        trainable as the old; the same object everywhere if there is nothing to change.
        """
        ...
