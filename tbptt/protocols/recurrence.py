"""What an engine promises about recurrent layers: its fastest kernel, one definition.

Shape legend: T steps, B rows, F input features, H units, L layers. Everything here is time-major (TBF), which is how
kernels loop; `tbptt.nn` turns axes at the edges.

    gates, LSTM    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of  x W_ihᵀ + h W_hhᵀ + b;  c' = f·c + i·g;  h' = o·tanh(c')
    gates, GRU     r, z = sigmoid of x W_ihᵀ + h W_hhᵀ + b;  n = tanh(x W_inᵀ + b_n + r·(h W_hnᵀ + b_hn));  h' = (1 − z)·n + z·h
    RNN            h' = tanh (or relu) of  x W_ihᵀ + h W_hhᵀ + b
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from tbptt.types import Tensor


class LayerWeights(NamedTuple):
    """Weights of one recurrent layer. G = 4 for LSTM (i, f, g, o), 3 for GRU (r, z, n), 1 for RNN."""

    input: Tensor
    """(G·H, F)"""
    recurrent: Tensor
    """(G·H, H)"""
    bias: Tensor | None
    """(G·H,), or None"""
    candidate_bias: Tensor | None = None
    """(H,): b_hn, GRU only; None when `bias` is None"""


Between: TypeAlias = Callable[[int, Tensor], Tensor]
"""``between(layer, outputs_TBH) -> outputs_TBH``, applied to the outputs of every layer but the last."""


class Recurrence(Protocol):
    """The module ``recurrence`` of an adapter.

    Every function takes ``inputs`` (T, B, F), a state whose tensors are (L, B, H), one `LayerWeights` a layer, and
    `between` (None: layers follow each other directly, so the engine may run the whole stack in one kernel). It
    returns ``outputs`` (T, B, H) of the last layer and the state after the last step. Differentiable with respect
    to inputs, state, weights and initial; T = 0 is allowed and returns the state unchanged.

    `resets` are booleans (T, B), True where a row begins anew before that step: every layer's state is `initial` there, a state
    like the other (None: zeros). It is put in the place of the state before, whatever that holds, and no gradient crosses. None
    means there are no resets; then `initial` has no effect, and nothing is spent on either.
    """

    def lstm(
        self,
        inputs: Tensor,
        state: tuple[Tensor, Tensor],
        weights: Sequence[LayerWeights],
        between: Between | None = None,
        resets: Tensor | None = None,
        initial: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Hochreiter & Schmidhuber 1997 with forget gates; ``state`` is ``(h, c)``."""
        ...

    def gru(
        self,
        inputs: Tensor,
        state: Tensor,
        weights: Sequence[LayerWeights],
        between: Between | None = None,
        resets: Tensor | None = None,
        initial: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Cho et al. 2014, reset applied after the matrix product, as cuDNN, torch and Keras' ``reset_after=True``."""
        ...

    def rnn(
        self,
        inputs: Tensor,
        state: Tensor,
        weights: Sequence[LayerWeights],
        between: Between | None = None,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        resets: Tensor | None = None,
        initial: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Elman 1990."""
        ...
