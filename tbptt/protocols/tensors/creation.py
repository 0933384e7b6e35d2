"""Tensors out of nothing, or out of something that is no tensor of this engine.

`device` is a name as in `tbptt.protocols.Devices` (``"cpu"``, ``"gpu:0"``); None means the device of a surrounding
scope, else `tbptt.backends.current_device`. The ``_like`` functions stay on the device of `x`.
"""

from __future__ import annotations

from typing import Any, Protocol

from tbptt.types import Number, Tensor


class Creation(Protocol):
    """Functions that make tensors."""

    def asarray(self, obj: Any, *, dtype: Any = None, copy: bool | None = None, device: str | None = None) -> Tensor:
        """A tensor of a number, a nesting of lists, a NumPy array, a tensor of this engine or of another.

        Floats become the default float dtype and integers int64; arrays and tensors keep theirs. Memory may be shared
        with a NumPy array unless `copy` is True.
        """
        ...

    def from_dlpack(self, x: Any) -> Tensor:
        """A tensor of this engine that shares memory with `x`, any object that speaks DLPack (``__dlpack__``)."""
        ...

    def to_numpy(self, x: Tensor) -> Any:
        """The values as a NumPy array on the host, detached; may share memory. bfloat16 comes as float32."""
        ...

    def is_tensor(self, x: Any) -> bool:
        """Whether this is the engine's own tensor or parameter."""
        ...

    def zeros(self, shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """Zeros of that shape (a number or a tuple), in the default float dtype if none is given."""
        ...

    def ones(self, shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """Ones of that shape, in the default float dtype if none is given."""
        ...

    def empty(self, shape: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """A tensor of that shape whose values are undefined."""
        ...

    def full(self, shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
        """`fill_value` everywhere; its kind gives the dtype if none is given."""
        ...

    def zeros_like(self, x: Tensor, *, dtype: Any = None) -> Tensor:
        """Zeros of the shape and dtype of `x`."""
        ...

    def ones_like(self, x: Tensor, *, dtype: Any = None) -> Tensor:
        """Ones of the shape and dtype of `x`."""
        ...

    def full_like(self, x: Tensor, fill_value: Any, *, dtype: Any = None) -> Tensor:
        """`fill_value` in the shape and dtype of `x`."""
        ...

    def arange(
        self, start: Any, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None
    ) -> Tensor:
        """start, start + step, ... below stop, shape (⌈(stop − start)/step⌉,); one argument is the stop.

        int64 if all of them are integers, else the default float dtype.
        """
        ...

    def linspace(
        self,
        start: Number,
        stop: Number,
        num: int,
        *,
        dtype: Any = None,
        device: str | None = None,
        endpoint: bool = True,
    ) -> Tensor:
        """`num` evenly spaced Python numbers, shape (num,), default float dtype; the last is `stop` if `endpoint`."""
        ...

    def eye(
        self, n_rows: int, n_cols: int | None = None, *, k: int = 0, dtype: Any = None, device: str | None = None
    ) -> Tensor:
        """Ones on the k-th diagonal of an (n_rows, n_cols) matrix of zeros."""
        ...

    def tril(self, x: Tensor, *, k: int = 0) -> Tensor:
        """The lower triangles of matrices (..., M, N), up to the k-th diagonal; zero elsewhere."""
        ...

    def triu(self, x: Tensor, *, k: int = 0) -> Tensor:
        """The upper triangles of matrices (..., M, N), from the k-th diagonal; zero elsewhere."""
        ...
