"""The promises an engine makes, one file per promise; an adapter has a module of the same name for each."""

from typing import TYPE_CHECKING

from tbptt import lazily

if TYPE_CHECKING:
    from tbptt.protocols.autodiff import Autodiff, Tape
    from tbptt.protocols.backend import Backend
    from tbptt.protocols.compilation import Compilation, Compiled
    from tbptt.protocols.devices import Devices
    from tbptt.protocols.interop import Interop
    from tbptt.protocols.native_optimizers import Evaluate, NativeOptimizer
    from tbptt.protocols.optimizers import Optimizers
    from tbptt.protocols.recurrence import Between, LayerWeights, Recurrence
    from tbptt.protocols.tensors import Tensors

__getattr__ = lazily.imported(
    "tbptt.protocols",
    {
        "Autodiff": "tbptt.protocols.autodiff",
        "Backend": "tbptt.protocols.backend",
        "Between": "tbptt.protocols.recurrence",
        "Compilation": "tbptt.protocols.compilation",
        "Compiled": "tbptt.protocols.compilation",
        "Devices": "tbptt.protocols.devices",
        "Evaluate": "tbptt.protocols.native_optimizers",
        "Interop": "tbptt.protocols.interop",
        "LayerWeights": "tbptt.protocols.recurrence",
        "NativeOptimizer": "tbptt.protocols.native_optimizers",
        "Optimizers": "tbptt.protocols.optimizers",
        "Recurrence": "tbptt.protocols.recurrence",
        "Tape": "tbptt.protocols.autodiff",
        "Tensors": "tbptt.protocols.tensors",
    },
)

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
