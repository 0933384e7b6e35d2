"""Products of vectors and matrices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tbptt_torch.tensors._promotion import promote_all, promote_tensors, tensor


def matmul(x1: Any, x2: Any) -> Tensor:
    return torch.matmul(*promote_tensors(x1, x2))


def matrix_transpose(x: Any) -> Tensor:
    return tensor(x).mT


def tensordot(x1: Any, x2: Any, *, axes: Any = 2) -> Tensor:
    x1, x2 = promote_tensors(x1, x2)
    dims = axes if isinstance(axes, int) else tuple(map(_list, axes))
    return torch.tensordot(x1, x2, dims)  # type: ignore[no-any-return]  # torch leaves it untyped


def vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Tensor:
    x1, x2 = promote_tensors(x1, x2)
    return torch.sum(x1 * x2, dim=axis, dtype=x1.dtype)


def einsum(subscripts: str, *operands: Any) -> Tensor:
    return torch.einsum(subscripts, *promote_all(operands))


def _list(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes)
