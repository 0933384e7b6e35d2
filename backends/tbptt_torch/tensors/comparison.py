"""Element by element: questions answered by bool, and the choice by such an answer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tbptt_torch.tensors._promotion import boolean, promote, promote_tensors, tensor


def equal(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 == x2  # type: ignore[no-any-return]  # one of them is a tensor; the other may be a number


def not_equal(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 != x2  # type: ignore[no-any-return]


def less(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 < x2  # type: ignore[no-any-return]


def less_equal(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 <= x2  # type: ignore[no-any-return]


def greater(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 > x2  # type: ignore[no-any-return]


def greater_equal(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 >= x2  # type: ignore[no-any-return]


def isfinite(x: Any) -> Tensor:
    return torch.isfinite(tensor(x))


def isnan(x: Any) -> Tensor:
    return torch.isnan(tensor(x))


def isinf(x: Any) -> Tensor:
    return torch.isinf(tensor(x))


def logical_and(x1: Any, x2: Any) -> Tensor:
    return boolean(x1) & boolean(x2)


def logical_or(x1: Any, x2: Any) -> Tensor:
    return boolean(x1) | boolean(x2)


def logical_xor(x1: Any, x2: Any) -> Tensor:
    return boolean(x1) ^ boolean(x2)


def logical_not(x: Any) -> Tensor:
    return ~boolean(x)


def where(condition: Any, x1: Any, x2: Any) -> Tensor:
    return torch.where(boolean(condition), *promote_tensors(x1, x2))
