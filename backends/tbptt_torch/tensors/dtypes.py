"""What kind of numbers a torch tensor holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tbptt.dtypes import finfo, iinfo, isdtype, result_type
from tbptt.types import DType
from tbptt_torch.tensors._promotion import NAMES, native, tensor

__all__ = ["astype", "dtype", "finfo", "iinfo", "isdtype", "result_type"]


def dtype(x: Any) -> DType:
    return NAMES[tensor(x).dtype]


def astype(x: Any, dtype: Any, *, copy: bool = False) -> Tensor:
    return tensor(x).to(native(dtype), copy=copy)
