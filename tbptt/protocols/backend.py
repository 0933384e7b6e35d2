"""The record an adapter exports: one module for each protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tbptt.protocols.autodiff import Autodiff
    from tbptt.protocols.compilation import Compilation
    from tbptt.protocols.devices import Devices
    from tbptt.protocols.interop import Interop
    from tbptt.protocols.optimizers import Optimizers
    from tbptt.protocols.recurrence import Recurrence
    from tbptt.protocols.tensors import Tensors


@dataclass(frozen=True)
class Backend:
    """An engine: seven modules, and a name. `reason` says why it is the current one (`tbptt.current_backend`)."""

    name: str
    tensors: Tensors
    recurrence: Recurrence
    autodiff: Autodiff
    optimizers: Optimizers
    devices: Devices
    compilation: Compilation
    interop: Interop
    reason: str = ""

    def __repr__(self) -> str:
        return f"<backend {self.name}" + (f": {self.reason}>" if self.reason else ">")
