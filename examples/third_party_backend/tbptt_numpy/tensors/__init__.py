"""Tensors under NumPy: the promises of `tbptt.protocols.Tensors`, each in the module of the same name as there."""

from importlib import import_module

from tbptt.protocols import Tensors
from tbptt_numpy.tensors import operators

for _promise in Tensors.__mro__:
    if _promise.__module__.startswith("tbptt.protocols.tensors."):
        _module = import_module(f"{__name__}.{_promise.__module__.rpartition('.')[2]}")
        for _name in vars(_promise):
            if not _name.startswith("_"):
                globals()[_name] = getattr(_module, _name)  # an AttributeError here names the function that is lacking

operators.attach()

__all__ = [_name for _name in dir(Tensors) if not _name.startswith("_")]
