"""Element by element: the functions of a pocket calculator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tbptt_torch.tensors._promotion import promote_tensors, real


def sqrt(x: Any) -> Tensor:
    return torch.sqrt(real(x))


def rsqrt(x: Any) -> Tensor:
    return torch.rsqrt(real(x))


def exp(x: Any) -> Tensor:
    return torch.exp(real(x))


def expm1(x: Any) -> Tensor:
    return torch.expm1(real(x))


def log(x: Any) -> Tensor:
    return torch.log(real(x))


def log1p(x: Any) -> Tensor:
    return torch.log1p(real(x))


def log2(x: Any) -> Tensor:
    return torch.log2(real(x))


def log10(x: Any) -> Tensor:
    return torch.log10(real(x))


def sin(x: Any) -> Tensor:
    return torch.sin(real(x))


def cos(x: Any) -> Tensor:
    return torch.cos(real(x))


def tan(x: Any) -> Tensor:
    return torch.tan(real(x))


def asin(x: Any) -> Tensor:
    return torch.asin(real(x))


def acos(x: Any) -> Tensor:
    return torch.acos(real(x))


def atan(x: Any) -> Tensor:
    return torch.atan(real(x))


def sinh(x: Any) -> Tensor:
    return torch.sinh(real(x))


def cosh(x: Any) -> Tensor:
    return torch.cosh(real(x))


def tanh(x: Any) -> Tensor:
    return torch.tanh(real(x))


def asinh(x: Any) -> Tensor:
    return torch.asinh(real(x))


def acosh(x: Any) -> Tensor:
    return torch.acosh(real(x))


def atanh(x: Any) -> Tensor:
    return torch.atanh(real(x))


def erf(x: Any) -> Tensor:
    return torch.erf(real(x))


def atan2(x1: Any, x2: Any) -> Tensor:
    return torch.atan2(*_reals(x1, x2))


def hypot(x1: Any, x2: Any) -> Tensor:
    return torch.hypot(*_reals(x1, x2))


def logaddexp(x1: Any, x2: Any) -> Tensor:
    return torch.logaddexp(*_reals(x1, x2))


def _reals(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    x1, x2 = promote_tensors(x1, x2)
    return real(x1), real(x2)
