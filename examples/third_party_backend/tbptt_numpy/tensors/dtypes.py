"""What kind of numbers a tensor holds."""

from __future__ import annotations

from typing import Any

from tbptt.dtypes import finfo, iinfo, isdtype, result_type
from tbptt.types import DType
from tbptt_numpy.tensors._operands import tensor
from tbptt_numpy.tensors.creation import asarray

__all__ = ["astype", "dtype", "finfo", "iinfo", "isdtype", "result_type"]


def dtype(x: Any) -> DType:
    return str(tensor(x).dtype)


def astype(x: Any, dtype: Any, *, copy: bool = False) -> Any:
    return asarray(tensor(x), dtype=dtype, copy=copy)
