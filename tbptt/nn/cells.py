"""One step at a time: the cells of the recurrent layers, written in `tbptt.ops`.

``output, state = cell(inputs, state)`` with inputs (B, F) and state tensors (B, H). For a loop over steps of one's
own; a window at once is faster through the layers. Definitions are those of `tbptt.protocols.recurrence`; names of
weights too, without the layer.
"""

from __future__ import annotations

from typing import Literal

from tbptt import ops, precision
from tbptt.backends import backend_of
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.nn import init as initial
from tbptt.nn.init import Init
from tbptt.nn.module import Module, parameter
from tbptt.nn.recurrent import draw_weights
from tbptt.types import Parameter, Tensor


class Cell(Module):
    """What the cells have in common: weights and products."""

    gates: int
    weight_ih: Parameter
    weight_hh: Parameter

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, init: Init = "torch") -> None:
        initial.check(init)
        self.input_size, self.hidden_size = input_size, hidden_size
        for role, value in draw_weights(self.gates, input_size, hidden_size, bias, init).items():
            setattr(self, role, parameter(value))

    def _zeros(self, inputs: Tensor) -> Tensor:
        shape = (ops.shape(inputs)[0], self.hidden_size)
        return backend_of(inputs).tensors.zeros(shape, dtype=ops.dtype(inputs))

    def _project(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``x W_ihᵀ + b`` and ``h W_hhᵀ``, (B, G·H) each."""
        if len(inputs.shape) != 2 or inputs.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__} expected inputs (batch, {self.input_size}), one step; received shape "
                f"{tuple(inputs.shape)}. For a window of steps use the layer instead of the cell."
            )
        weight_ih, weight_hh, bias = precision.lowered((self.weight_ih, self.weight_hh, getattr(self, "bias", None)))
        from_inputs = ops.matmul(inputs, ops.matrix_transpose(weight_ih))
        if bias is not None:
            from_inputs = ops.add(from_inputs, bias)
        return from_inputs, ops.matmul(hidden, ops.matrix_transpose(weight_hh))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class LSTMCell(Cell):
    """One step of `LSTM`; state ``(h, c)``, each (B, H).

    >>> import tbptt
    >>> output, (h, c) = tbptt.nn.LSTMCell(3, 5)(tbptt.ops.zeros((4, 3)))
    >>> tuple(output.shape)
    (4, 5)
    """

    gates = 4

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(B, F) and the state before, to (B, H) and the state after."""
        inputs, state = precision.lowered((inputs, state))
        hidden, memory = state if state is not None else (self._zeros(inputs), self._zeros(inputs))
        i, f, g, o = ops.split(ops.add(*self._project(inputs, hidden)), 4, axis=-1)
        memory = ops.add(ops.multiply(ops.sigmoid(f), memory), ops.multiply(ops.sigmoid(i), ops.tanh(g)))
        hidden = ops.multiply(ops.sigmoid(o), ops.tanh(memory))
        return hidden, (hidden, memory)


class GRUCell(Cell):
    """One step of `GRU`; state (B, H).

    >>> import tbptt
    >>> output, state = tbptt.nn.GRUCell(3, 5)(tbptt.ops.zeros((4, 3)))
    >>> tuple(output.shape)
    (4, 5)
    """

    gates = 3

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, F) and the state before, to (B, H) and the state after."""
        inputs, state = precision.lowered((inputs, state))
        hidden = self._zeros(inputs) if state is None else state
        from_inputs, from_hidden = self._project(inputs, hidden)
        r_in, z_in, n_in = ops.split(from_inputs, 3, axis=-1)
        r_hidden, z_hidden, n_hidden = ops.split(from_hidden, 3, axis=-1)
        bias_hn = precision.lowered(getattr(self, "bias_hn", None))
        if bias_hn is not None:
            n_hidden = ops.add(n_hidden, bias_hn)
        reset, update = ops.sigmoid(ops.add(r_in, r_hidden)), ops.sigmoid(ops.add(z_in, z_hidden))
        candidate = ops.tanh(ops.add(n_in, ops.multiply(reset, n_hidden)))
        hidden = ops.add(ops.multiply(ops.subtract(1, update), candidate), ops.multiply(update, hidden))
        return hidden, hidden


class RNNCell(Cell):
    """One step of `RNN`; state (B, H).

    >>> import tbptt
    >>> output, state = tbptt.nn.RNNCell(3, 5)(tbptt.ops.zeros((4, 3)))
    >>> tuple(output.shape)
    (4, 5)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        init: Init = "torch",
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigurationError(f"nonlinearity must be 'tanh' or 'relu'; received {nonlinearity!r}.")
        super().__init__(input_size, hidden_size, bias, init)
        self.nonlinearity = nonlinearity

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, F) and the state before, to (B, H) and the state after."""
        inputs, state = precision.lowered((inputs, state))
        hidden = self._zeros(inputs) if state is None else state
        activation = ops.tanh if self.nonlinearity == "tanh" else ops.relu
        hidden = activation(ops.add(*self._project(inputs, hidden)))
        return hidden, hidden
