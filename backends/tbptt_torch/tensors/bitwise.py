"""Integers as rows of bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tbptt.dtypes import number
from tbptt_torch.tensors._promotion import promote, promote_tensors, tensor


def bitwise_and(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 & x2  # type: ignore[no-any-return]  # one of them is a tensor; the other may be a number


def bitwise_or(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 | x2  # type: ignore[no-any-return]


def bitwise_xor(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 ^ x2  # type: ignore[no-any-return]


def bitwise_invert(x: Any) -> Tensor:
    return torch.bitwise_not(tensor(x))


def bitwise_left_shift(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 << x2  # type: ignore[no-any-return]


def bitwise_right_shift(x1: Any, x2: Any) -> Tensor:
    x1, x2 = promote(x1, x2)
    return x1 >> x2  # type: ignore[no-any-return]


def logical_right_shift(x1: Any, x2: Any) -> Tensor:
    # torch has no shifts of unsigned integers: shift with the sign and cut its copies off
    shifted: Tensor = tensor(x1)
    top = torch.iinfo(shifted.dtype).bits - 1
    places = number(x2)
    if places is not None:
        return (shifted >> int(places)) & ((1 << (top + 1 - int(places))) - 1) if places else shifted
    shifted, distance = promote_tensors(shifted, x2)
    return (shifted >> distance) & ~((torch.full_like(shifted, -1) << (top - distance)) << 1)
