"""The PyTorch adapter: the promises of `tbptt.protocols`, kept with `torch`."""

from tbptt.protocols import Backend
from tbptt_torch import autodiff, compilation, devices, interop, optimizers, recurrence, tensors

compilation.set_float32_matmul_precision("highest")  # until somebody asks for less

backend = Backend(
    name="torch",
    tensors=tensors,
    recurrence=recurrence,
    autodiff=autodiff,
    optimizers=optimizers,
    devices=devices,
    compilation=compilation,
    interop=interop,
)

__all__ = ["backend"]
