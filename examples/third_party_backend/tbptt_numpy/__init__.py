"""A backend in NumPy: the promises of `tbptt.protocols`, kept with arrays and a tape of a hundred lines. Slow; to be read."""

from tbptt.protocols import Backend
from tbptt_numpy import autodiff, compilation, devices, interop, optimizers, recurrence, tensors

backend = Backend(
    name="numpy",
    tensors=tensors,
    recurrence=recurrence,
    autodiff=autodiff,
    optimizers=optimizers,
    devices=devices,
    compilation=compilation,
    interop=interop,
)

__all__ = ["backend"]
