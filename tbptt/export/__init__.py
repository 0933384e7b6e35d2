"""Modules as programs that run without this library: ONNX, `torch.export`, SavedModel.

A program is a function of named tensors. What ``forward`` takes and returns as trees enters and leaves leaf by leaf, in the order
of `tbptt.tree.leaves`: inputs ``inputs_0``, ``inputs_1``, ..., then the state ``state_0``, ``state_1``, ...; outputs
``outputs_0``, ..., then the state after the window ``next_state_0``, .... The state is always given: zeros where a sequence begins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tbptt import backends
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.export import formats
from tbptt.export.program import Program
from tbptt.export.writing import whole
from tbptt.nn.example_inputs import example_of
from tbptt.nn.module import Module
from tbptt.nn.transplant import transplanted

__all__ = ["export"]


def export(module: Module, path: str | os.PathLike[str], inputs: Any = None, state: Any = None) -> None:
    """Write a module, in evaluation mode, in the format that the path's suffix names (`Module.export`).

    The module itself is left as it is: what is tried and traced is a copy on the format's engine.

    >>> import numpy as np, tempfile, tbptt
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp(), "model.pt2")
    >>> tbptt.nn.Linear(3, 2).export(path, np.zeros((4, 3)))
    >>> path.is_file()
    True

    Raises:
        ConfigurationError: for a path that names no format, or where something else is; if there is no example of the inputs.
        BackendNotInstalledError: if what the format needs is not installed.
        ModuleProtocolError: if the module cannot be exported.
    """
    if not isinstance(module, Module):
        raise ModuleProtocolError(
            f"Exported can be a tbptt.nn.Module; received a {type(module).__module__}.{type(module).__name__}. A native module is "
            f"exported with its engine's own tools, or as an attribute of a tbptt.nn.Module whose forward calls it."
        )
    chosen = formats.of_path(path)
    formats.check(path, chosen)
    inputs = example_of(module) if inputs is None else inputs
    if inputs is None:
        raise ConfigurationError(
            f"Exporting {type(module).__name__} to {os.fspath(path)!r} needs an example of what forward takes before the state: it "
            f"has not been trained here, and has no example_input_array. Give one: export(path, inputs)."
        )
    backend = backends.load(chosen.engine)
    with backends.use_backend(backend.name):
        program = Program(transplanted(module, backend).eval(), backend, inputs, state)
        with whole(Path(path), chosen) as target:
            backend.interop.export(program, str(target), chosen.name)
