"""What this engine's tensors and parameters are: a NumPy array with an identity of its own, by which a tape knows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt.types import Array


class Tensor:
    """An array that is never written to. Python's operators are added by `tbptt_numpy.tensors.operators`."""

    __array_ufunc__ = None  # so that NumPy leaves ``array + tensor`` to us

    def __init__(self, value: Any) -> None:
        self.value: Array = np.asarray(value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype=dtype) if copy else np.asarray(self.value, dtype=dtype)

    def __dlpack__(self, **options: Any) -> Any:
        return self.value.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.value.__dlpack_device__()

    def __len__(self) -> int:
        return len(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(self.value.item())

    def __index__(self) -> int:
        return self.value.__index__()

    def __float__(self) -> float:
        return float(self.value.item())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({np.array2string(self.value, separator=', ')}, dtype={self.dtype})"


class Parameter(Tensor):
    """A tensor that training changes: it is given another array. Open tapes record it if it is `trainable`."""

    def __init__(self, value: Any, trainable: bool = True) -> None:
        super().__init__(value)
        self.trainable = trainable


def value_of(x: Any) -> Any:
    """The array of a tensor; everything else as it is."""
    return x.value if isinstance(x, Tensor) else x
