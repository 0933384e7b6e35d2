"""The few functions of neural networks that the array API lacks."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tbptt_torch.tensors._promotion import real, tensor


def sigmoid(x: Any) -> Tensor:
    return torch.sigmoid(real(x))


def relu(x: Any) -> Tensor:
    return torch.relu(tensor(x))


def elu(x: Any) -> Tensor:
    return F.elu(real(x))


def gelu(x: Any, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    return F.gelu(real(x), approximate=approximate)


def silu(x: Any) -> Tensor:
    return F.silu(real(x))


def softplus(x: Any) -> Tensor:
    # above torch's own threshold of 20 the identity is off by 2e-9; above this one by less than float64 can show
    return F.softplus(real(x), threshold=40.0)


def softmax(x: Any, axis: int = -1) -> Tensor:
    return torch.softmax(real(x), dim=axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    return torch.log_softmax(real(x), dim=axis)
