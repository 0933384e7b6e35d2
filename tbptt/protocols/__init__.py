"""The promises an engine makes, one file per promise; an adapter has a module of the same name for each."""

from tbptt.protocols.autodiff import Autodiff, Tape
from tbptt.protocols.backend import Backend
from tbptt.protocols.compilation import Compilation, Compiled
from tbptt.protocols.devices import Devices
from tbptt.protocols.interop import Interop
from tbptt.protocols.native_optimizers import Evaluate, NativeOptimizer
from tbptt.protocols.optimizers import Optimizers
from tbptt.protocols.recurrence import Between, LayerWeights, Recurrence
from tbptt.protocols.tensors import Tensors

__all__ = [
    "Autodiff",
    "Backend",
    "Between",
    "Compilation",
    "Compiled",
    "Devices",
    "Evaluate",
    "Interop",
    "LayerWeights",
    "NativeOptimizer",
    "Optimizers",
    "Recurrence",
    "Tape",
    "Tensors",
]
