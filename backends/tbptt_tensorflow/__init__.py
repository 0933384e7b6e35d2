"""The TensorFlow adapter: the promises of `tbptt.protocols`, kept with `tensorflow`."""

from tbptt.protocols import Backend
from tbptt_tensorflow import autodiff, compilation, devices, interop, optimizers, recurrence, tensors

compilation.set_float32_matmul_precision("highest")  # until somebody asks for less

backend = Backend(
    name="tensorflow",
    tensors=tensors,
    recurrence=recurrence,
    autodiff=autodiff,
    optimizers=optimizers,
    devices=devices,
    compilation=compilation,
    interop=interop,
)

__all__ = ["backend"]
