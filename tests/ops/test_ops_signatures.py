"""Both adapters, and `tbptt.ops`, have the protocol's functions, with its argument names, order, kinds and defaults."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from tbptt import ops
from tbptt.protocols import Tensors

NAMES = [name for name in dir(Tensors) if not name.startswith("_")]


def form(function: Any) -> list[tuple[Any, ...]]:
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.kind, one.default) for one in parameters if one.name != "self"]


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_an_adapter_has_the_signatures_of_the_protocol(engine: str) -> None:
    tensors = importlib.import_module(f"tbptt_{engine}.tensors")
    assert {name: form(getattr(tensors, name)) for name in NAMES} == {
        name: form(getattr(Tensors, name)) for name in NAMES
    }


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_an_adapter_exports_the_protocol_and_nothing_else(engine: str) -> None:
    tensors = importlib.import_module(f"tbptt_{engine}.tensors")
    assert set(tensors.__all__) == set(NAMES)


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_a_function_lives_in_the_module_of_the_same_name_as_its_promise(engine: str) -> None:
    tensors = importlib.import_module(f"tbptt_{engine}.tensors")
    for name in NAMES:
        assert (
            getattr(tensors, name).__module__.rpartition(".")[2] == getattr(Tensors, name).__module__.rpartition(".")[2]
        )


def test_ops_has_every_function_with_signature_docstring_and_module() -> None:
    assert set(ops.__all__) == set(NAMES)
    for name in NAMES:
        function, promise = getattr(ops, name), getattr(Tensors, name)
        assert form(function) == form(promise)
        assert (function.__name__, function.__module__, function.__doc__) == (name, "tbptt.ops", promise.__doc__)
        assert promise.__doc__
