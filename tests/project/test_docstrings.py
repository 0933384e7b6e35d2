"""The examples in docstrings run, on both engines."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tbptt
from tbptt.protocols import Backend

MODULES = [info.name for info in pkgutil.walk_packages(tbptt.__path__, "tbptt.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_module_run(backend: Backend, name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
