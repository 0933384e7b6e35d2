"""The few functions of neural networks that the array API lacks. All answer in floats, `relu` in the dtype of x."""

from __future__ import annotations

from typing import Literal, Protocol

from tbptt.types import Tensor


class Activations(Protocol):
    """Activations and normalised exponentials."""

    def sigmoid(self, x: Tensor) -> Tensor:
        """1 / (1 + e^−x)"""
        ...

    def relu(self, x: Tensor) -> Tensor:
        """max(x, 0); its gradient at 0 is 0."""
        ...

    def elu(self, x: Tensor) -> Tensor:
        """The same where positive, e^x − 1 elsewhere (Clevert et al. 2016)."""
        ...

    def gelu(self, x: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
        """`x · Φ(x)` with Φ the normal distribution function, or an approximation by tanh (Hendrycks & Gimpel 2016)."""
        ...

    def silu(self, x: Tensor) -> Tensor:
        """`x · sigmoid(x)`, also called swish."""
        ...

    def softplus(self, x: Tensor) -> Tensor:
        """log(1 + e^x) without overflow."""
        ...

    def softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        """e^x / Σ e^x along an axis, without overflow."""
        ...

    def log_softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        """`x − log Σ e^x` along an axis, without overflow."""
        ...
