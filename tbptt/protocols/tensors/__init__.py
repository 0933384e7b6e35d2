"""What an engine promises about tensors: functions with the names and argument names of the Python array API 2024.12.

A tensor `x` is the engine's own (`torch.Tensor`, `tf.Tensor`); a parameter (`torch.nn.Parameter`, `tf.Variable`) serves
wherever a tensor does. Nothing here writes into an argument, except `assign`. What holds for every function:

- A **dtype argument** is a name (``"float32"``), a NumPy dtype or the engine's own. The default float dtype is
  `tbptt.dtypes.default_dtype`; it is what Python floats become, and what functions of real numbers answer to integers.
- **Two operands** broadcast. Different dtypes promote as `tbptt.dtypes.promote` says, whatever their ranks. A Python or
  NumPy *number* takes the tensor's dtype unless its kind is higher; a NumPy *array* counts as a tensor of its dtype.
- **axis** may be negative. In reductions it is a number, a tuple or None (all axes); `keepdims` keeps them as 1.
- Floating functions are **differentiable**. Where a maximum is attained twice the gradient is shared equally.
- Everything may be **compiled**, but where the answer's shape depends on values (`nonzero`, `unique_values`) not every
  compiler can.
"""

from __future__ import annotations

from typing import Protocol

from tbptt.protocols.tensors.activations import Activations
from tbptt.protocols.tensors.arithmetic import Arithmetic
from tbptt.protocols.tensors.bitwise import Bitwise
from tbptt.protocols.tensors.comparison import Comparison
from tbptt.protocols.tensors.creation import Creation
from tbptt.protocols.tensors.dtypes import Dtypes
from tbptt.protocols.tensors.indexing import Indexing
from tbptt.protocols.tensors.linear_algebra import LinearAlgebra
from tbptt.protocols.tensors.parameters import Parameters
from tbptt.protocols.tensors.reduction import Axis, Reduction
from tbptt.protocols.tensors.shaping import Shaping
from tbptt.protocols.tensors.transcendental import Transcendental

__all__ = ["Axis", "Tensors"]


class Tensors(
    Creation,
    Dtypes,
    Arithmetic,
    Transcendental,
    Comparison,
    Bitwise,
    Reduction,
    Shaping,
    Indexing,
    LinearAlgebra,
    Activations,
    Parameters,
    Protocol,
):
    """The package ``tensors`` of an adapter; its modules bear the names of the modules here."""
