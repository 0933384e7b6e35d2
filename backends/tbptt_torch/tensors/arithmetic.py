"""Element by element: sums, products, signs, rounding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tbptt.dtypes import number
from tbptt_torch.tensors._promotion import promote, promote_tensors, real, tensor


def add(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 + x2  # type: ignore[no-any-return]  # one of them is a tensor; the other may be a number


def subtract(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 - x2  # type: ignore[no-any-return]


def multiply(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 * x2  # type: ignore[no-any-return]


def divide(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    if not (x1.is_floating_point() if isinstance(x1, Tensor) else x2.is_floating_point()):
        x1, x2 = real(x1), real(x2)
    return x1 / x2  # type: ignore[no-any-return]


def floor_divide(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 // x2  # type: ignore[no-any-return]


def remainder(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 % x2  # type: ignore[no-any-return]


def pow(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1**x2  # type: ignore[no-any-return]


def negative(x: Any) -> Tensor:
    return -tensor(x)


def positive(x: Any) -> Tensor:
    return tensor(x)


def abs(x: Any) -> Tensor:
    return torch.abs(tensor(x))


def sign(x: Any) -> Tensor:
    x = tensor(x)
    return torch.where(torch.isnan(x), x, torch.sign(x)) if x.is_floating_point() else torch.sign(x)


def square(x: Any) -> Tensor:
    return torch.square(tensor(x))


def reciprocal(x: Any) -> Tensor:
    return torch.reciprocal(real(x))


def maximum(x1: Any, x2: Any) -> Tensor:
    return torch.maximum(*promote_tensors(x1, x2))


def minimum(x1: Any, x2: Any) -> Tensor:
    return torch.minimum(*promote_tensors(x1, x2))


def clip(x: Any, min: Any = None, max: Any = None) -> Tensor:
    held: Tensor = tensor(x)
    bounds = [bound for bound in (min, max) if bound is not None]
    for bound in bounds:
        held, _ = promote(held, bound)
    if not bounds:
        return held
    if all(number(bound) is not None for bound in bounds):
        return torch.clamp(held, min, max)
    low, high = (None if bound is None else promote_tensors(held, bound)[1] for bound in (min, max))
    return torch.clamp(held, low, high)


def round(x: Any) -> Tensor:
    return torch.round(tensor(x))


def floor(x: Any) -> Tensor:
    return torch.floor(tensor(x))


def ceil(x: Any) -> Tensor:
    return torch.ceil(tensor(x))


def trunc(x: Any) -> Tensor:
    return torch.trunc(tensor(x))
