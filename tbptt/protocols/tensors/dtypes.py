"""What kind of numbers a tensor holds."""

from __future__ import annotations

from typing import Any, Protocol

from tbptt.dtypes import FloatInfo, IntegerInfo
from tbptt.types import DType, Tensor


class Dtypes(Protocol):
    """Functions of dtypes. They answer with names."""

    def dtype(self, x: Tensor) -> DType:
        """The name of the dtype, e.g. ``"float32"``."""
        ...

    def astype(self, x: Tensor, dtype: Any, *, copy: bool = False) -> Tensor:
        """`x` in another dtype: floats to integers toward zero, to bool by ``!= 0``.

        Unlike the standard's, it does not copy by default where nothing changes, since tensors are not written to here.
        """
        ...

    def isdtype(self, dtype: Any, kind: Any) -> bool:
        """Whether a dtype is of a kind: ``"bool"``, ``"signed integer"``, ``"unsigned integer"``, ``"integral"``,
        ``"real floating"``, ``"complex floating"``, ``"numeric"``, a dtype, or a tuple of these.
        """
        ...

    def result_type(self, *arrays_and_dtypes: Any) -> DType:
        """The dtype that an operation on all of these (tensors, dtypes, numbers) answers in."""
        ...

    def finfo(self, type: Any) -> FloatInfo:
        """Limits of a floating dtype, or of a tensor's."""
        ...

    def iinfo(self, type: Any) -> IntegerInfo:
        """Limits of an integer dtype, or of a tensor's."""
        ...
