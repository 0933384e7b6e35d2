"""Programs in TensorFlow's format, SavedModel."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt.errors import ModuleProtocolError
from tbptt.protocols.interop import Program


def export(view: tf.Module, program: Program, path: str, format: str) -> None:
    """Write a program, of whose module `view` is one, as a SavedModel with the signature ``serving_default``."""
    tf.saved_model.save(view, path, signatures=signature(view, program))


def signature(view: Any, program: Program) -> Any:
    """The program as a traced function of tensors by name, which answers by name."""

    def run(*tensors: Any) -> dict[str, Any]:
        results = program.run(view, tensors)
        return {name: tf.identity(result) for name, result in zip(program.output_names, results, strict=True)}

    first: Exception | None = None
    for names in program.openings:
        specs = [
            tf.TensorSpec(
                [None if axis in names else length for axis, length in zip(axes, array.shape, strict=True)],
                array.dtype,
                name,
            )
            for name, axes, array in zip(program.input_names, program.axes, program.examples(), strict=True)
        ]
        function = tf.function(run, input_signature=specs, autograph=False)
        try:
            function.get_concrete_function()
        except Exception as error:  # perhaps only that the length of an axis is needed: a loop over steps in Python
            first = first or error
            continue
        return function
    raise ModuleProtocolError(
        f"{type(program.module).__name__} cannot be exported: tf.function traces its forward on tensors without values, and raised "
        f"{type(first).__name__}. Expected is a forward that does not look at values; what was raised is:\n{first}"
    ) from first
