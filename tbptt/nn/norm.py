"""Normalization over features."""

from __future__ import annotations

import numpy as np

from tbptt import ops, precision
from tbptt.nn.module import Module, parameter
from tbptt.types import Tensor


class LayerNorm(Module):
    """Zero mean and unit (biased) variance over the last axes, then a learned scale and shift (Ba et al. 2016).

    Inputs of half precision are normalized in float32.

    Args:
        normalized_shape: size of the last axis, or of the last axes.
        eps: added to the variance.
        elementwise_affine: whether scale (`weight`) and shift (`bias`) are learned.

    >>> import tbptt
    >>> tuple(tbptt.nn.LayerNorm(4)(tbptt.ops.ones((2, 3, 4))).shape)
    (2, 3, 4)
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, elementwise_affine: bool = True
    ) -> None:
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.weight = parameter(np.ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = parameter(np.zeros(self.normalized_shape)) if elementwise_affine else None

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., *normalized_shape) to the same shape."""
        if precision.is_half(inputs):  # eight bits of a mean are not enough to centre by
            return ops.astype(self.forward(precision.raised(inputs)), ops.dtype(inputs))
        axes = tuple(range(-len(self.normalized_shape), 0))
        centred = ops.subtract(inputs, ops.mean(inputs, axis=axes, keepdims=True))
        variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
        outputs = ops.divide(centred, ops.sqrt(ops.add(variance, self.eps)))
        if self.weight is None:
            return outputs
        return ops.add(ops.multiply(outputs, self.weight), self.bias)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"
