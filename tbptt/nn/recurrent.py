"""Recurrent layers over a window: functions of an explicit state, ``outputs, state = layer(inputs, state)``.

The arithmetic is the engine's fastest kernel (`tbptt.protocols.recurrence`); here are weights, checks and axes. Shape
legend: B rows, T steps, F input features, H units, L layers. LSTM and RNN have one bias a layer, GRU one more inside
its candidate.

Rows may end inside the window (`lengths`). The kernels know nothing of that: layers then run one by one, and each row's
h is taken from the outputs at its last step. An LSTM's c, which kernels show only at the end of the window, is held by the gates
instead: one more input feature is 1 at steps that do not count, and its weights drive the forget gate to 1 and the input gate to 0.

Rows may begin anew (`resets`). Before the window's first step that is a choice between two states; inside the window it is the
kernels' business.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from tbptt import backends, ops, precision, tree
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.nn import init as first
from tbptt.nn.dropout import Dropout
from tbptt.nn.init import Init
from tbptt.nn.lengths import at_the_end, counted_steps, row_lengths
from tbptt.nn.module import Module, parameter
from tbptt.nn.resets import begin, initial_state, reset_mask
from tbptt.protocols import Between, LayerWeights, Recurrence
from tbptt.types import Array, Tensor, Tree

_SATURATED = 1e4
"""Drives a sigmoid to exactly 0 or 1 in every dtype, whatever of ordinary size is added to it; float16 holds it."""


def draw_weights(gates: int, inputs: int, units: int, bias: bool, init: Init) -> dict[str, Array]:
    """First weights of one layer, by role: ``weight_ih``, ``weight_hh``, ``bias``, and of a GRU (3 gates) ``bias_hn``.

    ``"torch"``: U(±1/√H) everywhere. ``"keras"``: each gate's input kernel glorot uniform as one matrix, recurrent orthogonal,
    biases zero, an LSTM's forget gate one.
    """
    rows = gates * units
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, units)}
    if bias:
        shapes |= {"bias": (rows,)} | ({"bias_hn": (units,)} if gates == 3 else {})
    if init == "torch":
        return {role: first.uniform(shape, 1 / math.sqrt(units)) for role, shape in shapes.items()}
    values = {role: np.zeros(shape) for role, shape in shapes.items()}
    values["weight_ih"] = first.glorot_uniform((rows, inputs))
    values["weight_hh"] = first.orthogonal((rows, units))
    if bias and gates == 4:
        values["bias"][units : 2 * units] = 1.0
    return values


class Recurrent(Module):
    """What LSTM, GRU and RNN have in common: weights by layer, a state of zeros, checks, axes, dropout between layers."""

    gates: int
    """Blocks of rows in each weight matrix."""
    held: tuple[int, ...] = ()
    """What a step that does not count adds to each gate, in units of `_SATURATED`; nothing where no gate needs it."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        init: Init = "torch",
    ) -> None:
        first.check(init)
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"{name} must be a whole number from 1; received {value!r}.")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first = bias, batch_first
        for layer in range(num_layers):
            inputs = hidden_size if layer else input_size
            for role, drawn in draw_weights(self.gates, inputs, hidden_size, bias, init).items():
                setattr(self, f"{role}_l{layer}", parameter(drawn))
        self.dropouts = [Dropout(dropout) for _ in range(num_layers - 1)] if dropout else []

    def forward(
        self, inputs: Tensor, state: Tree = None, lengths: Any = None, resets: Any = None, initial: Tree = None
    ) -> tuple[Tensor, Any]:
        """Run the window.

        Args:
            inputs: (B, T, F), or (T, B, F) with ``batch_first=False``.
            state: of the step before the window; None means `initial`. Tensors (L, B, H).
            lengths: the steps of each row that count in this window, as `tbptt.windows` hands them out: (B,) integers, 0
                for a row that ended before it; or a mask of booleans shaped as the first two axes of the inputs, True
                up to each row's end. None: all count. What the inputs hold beyond a row's end, NaN included, has no
                effect on anything.
            resets: where rows begin anew from `initial`: booleans (B,), before the window's first step, or shaped as the first
                two axes of the inputs, before that step. The state before is gone, NaN included, and no gradient crosses.
                Beyond a row's end a reset does nothing.
            initial: what rows begin from: a tree like the state whose leaves broadcast to (L, B, H), such as parameters
                (L, 1, H), which are then learned. None means zeros.

        Returns:
            outputs of the last layer, (B, T, H) or (T, B, H), zero beyond a row's end; the state after each row's last
            step that counts (unchanged where none does), shaped like `state`.

        Raises:
            ShapeError: naming what was expected and what came.
        """
        rows = self._check_inputs(inputs)
        inputs, state, initial = precision.lowered((inputs, state, initial))
        if initial is not None:
            initial = initial_state(initial, self._zeros(rows, inputs), type(self).__name__)
        if state is not None:
            state = self._check_state(state, rows)
        elif initial is not None:
            state = initial
        else:
            state = self._zeros(rows, inputs)
        inputs_tbf = ops.permute_dims(inputs, (1, 0, 2)) if self.batch_first else inputs
        weights = [self._layer(layer) for layer in range(self.num_layers)]
        if resets is not None:
            resets = reset_mask(resets, inputs, lengths, time_major=not self.batch_first)
        if inputs_tbf.shape[0] == 0:  # no step to begin anew before, none that could count
            lengths = resets = None
        elif resets is not None and len(resets.shape) == 1:
            state, resets = begin(resets, state, initial), None
        if lengths is None:
            outputs, state = self._kernel(inputs_tbf, state, weights, self._between(), resets, initial)
        else:
            steps = row_lengths(lengths, inputs, time_major=not self.batch_first)
            outputs, state = self._run_rows(inputs_tbf, state, weights, self._between(), steps, resets, initial)
        return (ops.permute_dims(outputs, (1, 0, 2)) if self.batch_first else outputs), state

    def _run_rows(
        self,
        inputs: Tensor,
        state: Tree,
        weights: list[LayerWeights],
        between: Between | None,
        lengths: Tensor,
        resets: Tensor | None,
        initial: Tree,
    ) -> tuple[Tensor, Tree]:
        """`_kernel` where rows have lengths, layer by layer."""
        counted_tb1 = ops.expand_dims(counted_steps(lengths, inputs, time_major=True), axis=2)
        outputs, ends = ops.where(counted_tb1, inputs, 0.0), []
        padding = ops.astype(ops.logical_not(counted_tb1), ops.dtype(inputs))
        for layer, layer_weights in enumerate(weights):
            if layer > 0 and between is not None:
                outputs = between(layer - 1, outputs)
            if self.held:
                outputs, layer_weights = ops.concat([outputs, padding], axis=2), self._holding(layer_weights)
            start, begun = tree.map(lambda part, layer=layer: part[layer : layer + 1], (state, initial))
            outputs, end = self._kernel(outputs, start, [layer_weights], None, resets, begun)
            # h runs on over what does not count, c (where there is one) was held
            (start_h, *_), (_, *end_c) = tree.leaves(start), tree.leaves(end)
            ends.append([ops.expand_dims(at_the_end(outputs, lengths, start_h[0])), *end_c])
            outputs = ops.where(counted_tb1, outputs, 0.0)
        return outputs, tree.unflatten(
            tree.structure(state), [ops.concat(list(parts)) for parts in zip(*ends, strict=True)]
        )

    def _holding(self, weights: LayerWeights) -> LayerWeights:
        """With a last column that, where its feature is 1, holds the layer."""
        full = backends.backend_of(weights.input).tensors.full
        kind = ops.dtype(weights.input)
        column = ops.concat([full((self.hidden_size, 1), sign * _SATURATED, dtype=kind) for sign in self.held])
        return weights._replace(input=ops.concat([weights.input, column], axis=1))

    def _kernel(
        self,
        inputs: Tensor,
        state: Tree,
        weights: list[LayerWeights],
        between: Between | None,
        resets: Tensor | None,
        initial: Tree,
    ) -> tuple[Tensor, Tree]:
        run = self._of(backends.backend_of(inputs).recurrence)
        return run(inputs, state, weights, between, resets=resets, initial=initial)  # type: ignore[no-any-return]

    def _of(self, recurrence: Recurrence) -> Callable[..., Any]:
        """The engine's kernel for this kind of layer."""
        raise NotImplementedError

    def _layer(self, layer: int) -> LayerWeights:
        roles = ("weight_ih", "weight_hh", "bias", "bias_hn")
        return precision.lowered(LayerWeights(*(getattr(self, f"{role}_l{layer}", None) for role in roles)))  # type: ignore[no-any-return]

    def _between(self) -> Between | None:
        if not self.training or not self.dropouts:
            return None
        return lambda layer, outputs: self.dropouts[layer](outputs, time_major=True)

    def _structure(self, make: Callable[[], Tensor]) -> Tree:
        """A state of this layer's structure."""
        return make()

    def _zeros(self, rows: int | Tensor, inputs: Tensor) -> Tree:
        shape = (self.num_layers, rows, self.hidden_size)
        kind = ops.dtype(inputs)
        return self._structure(lambda: backends.backend_of(inputs).tensors.zeros(shape, dtype=kind))

    def _check_inputs(self, inputs: Tensor) -> int | Tensor:
        shape = tuple(inputs.shape)
        axes = "(batch, time, features)" if self.batch_first else "(time, batch, features)"
        if len(shape) != 3 or shape[2] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__} expected inputs {axes} with {self.input_size} features; received shape {shape}. "
                f"Check batch_first={self.batch_first} and input_size={self.input_size}, or add the missing axis."
            )
        return ops.shape(inputs)[0 if self.batch_first else 1]

    def _check_state(self, state: Tree, rows: int | Tensor) -> Tree:
        expected = (self.num_layers, rows, self.hidden_size)
        pattern = tree.structure(self._structure(lambda: 0))
        given = tuple(state) if isinstance(state, list) else state
        shapes = [tuple(getattr(leaf, "shape", ())) for leaf in tree.leaves(given)]
        if tree.structure(given) != pattern or any(shape != expected for shape in shapes if None not in shape):
            kind = "a pair (h, c) of tensors" if pattern.num_leaves == 2 else "one tensor"
            raise ShapeError(
                f"{type(self).__name__} expected a state of {kind}, (layers, batch, units) = {expected}; received "
                f"{type(state).__name__} with shapes {shapes}. Pass state=None to start from zeros, or a state of as "
                f"many rows as the batch."
            )
        return given

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, batch_first={self.batch_first}"


class LSTM(Recurrent):
    """Long short-term memory. State: ``(h, c)``, each (L, B, H), as in `torch.nn.LSTM`; one bias a layer.

    Args:
        input_size: F.
        hidden_size: H.
        num_layers: L, stacked.
        bias: whether there is one.
        batch_first: whether axis 0 is the batch (the default) or time.
        dropout: probability between layers, per element and step, while training.
        init: ``"torch"`` or ``"keras"`` initial weights.

    >>> import tbptt
    >>> lstm = tbptt.nn.LSTM(3, 5, num_layers=2)
    >>> outputs, (h, c) = lstm(tbptt.ops.zeros((4, 7, 3)))
    >>> tuple(outputs.shape), tuple(h.shape)
    ((4, 7, 5), (2, 4, 5))
    """

    gates = 4
    held = (-1, 1, 0, 0)

    def _structure(self, make: Callable[[], Tensor]) -> Tree:
        return make(), make()

    def _of(self, recurrence: Recurrence) -> Callable[..., Any]:
        return recurrence.lstm


class GRU(Recurrent):
    """Gated recurrent unit, reset applied after the matrix product. State: one tensor (L, B, H). Arguments as `LSTM`.

    >>> import tbptt
    >>> outputs, state = tbptt.nn.GRU(3, 5)(tbptt.ops.zeros((4, 7, 3)))
    >>> tuple(outputs.shape), tuple(state.shape)
    ((4, 7, 5), (1, 4, 5))
    """

    gates = 3

    def _of(self, recurrence: Recurrence) -> Callable[..., Any]:
        return recurrence.gru


class RNN(Recurrent):
    """Elman's network. State: one tensor (L, B, H). Arguments as `LSTM`, and `nonlinearity`: ``"tanh"`` or ``"relu"``.

    >>> import tbptt
    >>> outputs, state = tbptt.nn.RNN(3, 5, nonlinearity="relu")(tbptt.ops.zeros((4, 7, 3)))
    >>> tuple(outputs.shape), tuple(state.shape)
    ((4, 7, 5), (1, 4, 5))
    """

    gates = 1
    held = (-1,)  # not to hold h, but relu may grow without bound over thousands of steps that nobody asked for

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        dropout: float = 0.0,
        init: Init = "torch",
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigurationError(f"nonlinearity must be 'tanh' or 'relu'; received {nonlinearity!r}.")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, init)
        self.nonlinearity: Literal["tanh", "relu"] = nonlinearity

    def _of(self, recurrence: Recurrence) -> Callable[..., Any]:
        return partial(recurrence.rnn, nonlinearity=self.nonlinearity)
