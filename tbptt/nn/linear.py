"""The affine map."""

from __future__ import annotations

import math

import numpy as np

from tbptt import ops, precision
from tbptt.nn import init as initial
from tbptt.nn.init import Init
from tbptt.nn.module import Module, parameter
from tbptt.types import Tensor


class Linear(Module):
    """``y = x Wᵀ + b`` on the last axis.

    Args:
        in_features: F, size of the last axis of the input (..., F).
        out_features: size of the last axis of the output.
        bias: whether there is a b.
        init: ``"torch"``: U(±1/√F) for both; ``"keras"``: glorot uniform and zeros.

    >>> import numpy as np, tbptt
    >>> layer = tbptt.nn.Linear(3, 2)
    >>> tuple(layer(tbptt.ops.zeros((5, 7, 3))).shape)
    (5, 7, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, init: Init = "torch") -> None:
        initial.check(init)
        self.in_features, self.out_features = in_features, out_features
        shape, bound = (out_features, in_features), 1 / math.sqrt(in_features)
        if init == "torch":
            self.weight = parameter(initial.uniform(shape, bound))
            self.bias = parameter(initial.uniform((out_features,), bound)) if bias else None
        else:
            self.weight = parameter(initial.glorot_uniform(shape))
            self.bias = parameter(np.zeros(out_features)) if bias else None

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        inputs, weight, bias = precision.lowered((inputs, self.weight, self.bias))
        outputs = ops.matmul(inputs, ops.matrix_transpose(weight))
        return outputs if bias is None else ops.add(outputs, bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
