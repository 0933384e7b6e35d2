"""Names of a package that are imported when they are first asked for, so that importing the package stays quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def imported(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

    >>> from tbptt import lazily
    >>> lazily.imported("tbptt", {"StepLR": "tbptt.optim.lr_scheduler"})("StepLR").__name__
    'StepLR'

    Args:
        package: its name.
        homes: name to the module it is in; a name whose home is the package itself is a module of the package.
    """

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if home == package:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(home), name)
        setattr(sys.modules[package], name, value)  # the next time it is there
        return value

    return get
