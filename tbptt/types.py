"""Names for the few types everything speaks of.

A `Tensor` is the engine's own (`torch.Tensor`, `tf.Tensor`): the core never wraps one, and a type checker cannot
know which it is, so the name documents and `Any` checks. The same goes for a `Parameter`
(`torch.nn.Parameter`, `tf.Variable`).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Tensor: TypeAlias = Any
Parameter: TypeAlias = Any
Array: TypeAlias = npt.NDArray[Any]
Number: TypeAlias = float | int | np.number[Any]
DType: TypeAlias = str
"""A dtype by its array-API name, e.g. ``"float32"``, ``"int64"``, ``"bool"``."""
Tree: TypeAlias = Any
"""Any nesting of tuples, lists, dicts, namedtuples, registered classes and None around leaves."""
