"""LSTM, GRU and simple RNN on PyTorch: the kernels behind `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`.

oneDNN's on the CPU (float32 LSTM), cuDNN's on CUDA, ATen's elsewhere. Without `between` the whole stack is one call; with
`resets` inside the window it is one more, over the rows they cut (`tbptt_torch.resets`).

Shape legend: T steps, B rows, F input features, H units, L layers, G gates. Formulas: `tbptt.protocols.recurrence`.

    >>> import torch
    >>> from tbptt.protocols import LayerWeights
    >>> weights = [LayerWeights(torch.ones(4, 1), torch.zeros(4, 1), None)]
    >>> outputs, (hidden, cell) = lstm(torch.zeros(3, 2, 1), (torch.zeros(1, 2, 1), torch.zeros(1, 2, 1)), weights)
    >>> tuple(outputs.shape), tuple(hidden.shape)
    ((3, 2, 1), (1, 2, 1))
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch
from torch import _VF, Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from tbptt.protocols.recurrence import Between, LayerWeights
from tbptt_torch.resets import Resets, begin, run

__all__ = ["gru", "lstm", "rnn"]

_kernels: Any = _VF  # untyped, as torch's own modules call it
_cudnn: Any = torch.backends.cudnn
_cuda: Any = torch.cuda
_CUDNN_MODES = {"rnn_relu": 0, "rnn_tanh": 1, "lstm": 2, "gru": 3}
"""cuDNN's numbers, as `torch.backends.cudnn.rnn.get_cudnn_mode` gives them."""


def lstm(
    inputs: Tensor,
    state: tuple[Tensor, Tensor],
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """LSTM layers, as `torch.nn.LSTM`: inputs (T, B, F), state h and c (L, B, H) -> outputs (T, B, H), state."""
    outputs, (hidden, cell) = _stack("lstm", inputs, state, weights, between, resets, initial)
    return outputs, (hidden, cell)


def gru(
    inputs: Tensor,
    state: Tensor,
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Tensor | None = None,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """GRU layers, as `torch.nn.GRU`: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""
    begun = None if initial is None else (initial,)
    outputs, (hidden,) = _stack("gru", inputs, (state,), weights, between, resets, begun)
    return outputs, hidden


def rnn(
    inputs: Tensor,
    state: Tensor,
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    resets: Tensor | None = None,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Elman layers, as `torch.nn.RNN`: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""
    begun = None if initial is None else (initial,)
    outputs, (hidden,) = _stack(f"rnn_{nonlinearity}", inputs, (state,), weights, between, resets, begun)
    return outputs, hidden


def _stack(
    kind: str,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[LayerWeights],
    between: Between | None,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
) -> tuple[Tensor, Sequence[Tensor]]:
    if inputs.shape[0] == 0:  # the kernels refuse a window without steps
        return inputs.new_zeros((0, *state[0].shape[1:])), state
    cut = None
    if resets is not None:
        state, cut = begin(state, resets, initial)
    if between is None or len(weights) == 1:
        return _rows(kind, inputs, state, weights, cut, initial)
    outputs, ends = inputs, []
    for layer, layer_weights in enumerate(weights):
        if layer > 0:
            outputs = between(layer - 1, outputs)
        start = [part[layer : layer + 1] for part in state]
        begun = None if initial is None else [part[layer : layer + 1] for part in initial]
        outputs, end = _rows(kind, outputs, start, [layer_weights], cut, begun)
        ends.append(end)
    return outputs, [torch.cat(parts) for parts in zip(*ends, strict=True)]


def _rows(
    kind: str,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[LayerWeights],
    cut: Resets | None,
    initial: Sequence[Tensor] | None,
) -> tuple[Tensor, Sequence[Tensor]]:
    """`_kernel`, around the resets where there are any."""
    if cut is None:
        return _kernel(kind, inputs, state, weights)
    return run(lambda *given: _kernel(kind, given[0], given[1], weights, given[2]), inputs, state, cut, initial)


def _kernel(
    kind: str,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[LayerWeights],
    batch_sizes: Tensor | None = None,
) -> tuple[Tensor, Sequence[Tensor]]:
    """The engine's own kernel, over as many layers as there are weights; of packed inputs if they come with batch sizes."""
    second_biases = _packed_biases(kind, weights) if _can_pack(weights) else _second_biases(weights)
    flat = _flat(weights, second_biases)
    parts = [part.contiguous() for part in state]  # cuDNN refuses views with gaps
    start = parts if kind == "lstm" else parts[0]
    # A kernel that is told it trains keeps what backward needs, which is waste when nothing is recorded.
    options = (weights[0].bias is not None, len(weights), 0.0, torch.is_grad_enabled(), False)
    if batch_sizes is None:
        outputs, *end = getattr(_kernels, kind)(inputs, start, flat, *options, False)
    else:
        outputs, *end = getattr(_kernels, kind)(inputs, batch_sizes, start, flat, *options)
    return outputs, end


def _flat(weights: Sequence[LayerWeights], second_biases: Sequence[Tensor]) -> list[Tensor]:
    """W_ih, W_hh and, where there are biases, both of them, layer after layer: the order of the kernels."""
    flat: list[Tensor] = []
    for layer, each in enumerate(weights):
        flat += [each.input, each.recurrent]
        if each.bias is not None:
            flat += [each.bias, second_biases[layer]]
    return flat


def _second_biases(weights: Sequence[LayerWeights]) -> list[Tensor]:
    """What the kernels have and we have not: zeros, or for a GRU [0, 0, b_hn]. Nothing where there are no biases."""
    biases: list[Tensor] = []
    for _, _, bias, candidate in weights:
        if bias is not None and candidate is not None:
            biases.append(torch.nn.functional.pad(candidate, (bias.shape[0] - candidate.shape[0], 0)))
        elif bias is not None:
            biases.append(_zeros(bias.shape[0], bias.dtype, bias.device))
    return biases


def _zeros(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    if torch.compiler.is_compiling():  # a buffer made while tracing must not outlive the trace
        return torch.zeros(size, dtype=dtype, device=device)
    return _kept_zeros(size, dtype, device)


@lru_cache(maxsize=64)
def _kept_zeros(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # a buffer made in inference mode could not be used for training later
        return torch.zeros(size, dtype=dtype, device=device)


# --- packing for cuDNN ------------------------------------------------------------------------------------------------
# cuDNN reads all weights of a stack from one buffer. Unless they already lie in one, torch copies them there at every
# call and warns. `torch.nn.RNNBase.flatten_parameters` moves the parameters into such a buffer once; so does this, with
# the second biases, which are no parameters here, among them.


class _Pack(NamedTuple):
    pointers: list[int]
    """Where the weights lay after packing. Found elsewhere (moved, replaced) they are packed again."""
    second_biases: list[Tensor]


_packs: Any = WeakTensorKeyDictionary()
"""First weight of a stack -> its `_Pack`."""


def _present(weights: Sequence[LayerWeights]) -> list[Tensor]:
    return [tensor for each in weights for tensor in each if tensor is not None]


def _can_pack(weights: Sequence[LayerWeights]) -> bool:
    """`flatten_parameters`' conditions; and only parameters may be moved, not the results of a computation."""
    first = weights[0].input
    if not first.is_cuda or torch.compiler.is_compiling() or not _cudnn.is_acceptable(first):
        return False
    tensors = _present(weights)
    alike = all(isinstance(each, torch.nn.Parameter) and each.dtype == first.dtype for each in tensors)
    apart = len({each.data_ptr() for each in tensors}) == len(tensors)
    return bool(alike and apart and _kernels._use_cudnn_rnn_flatten_weight())


def _packed_biases(kind: str, weights: Sequence[LayerWeights]) -> list[Tensor]:
    """`_second_biases`, lying in one buffer with the weights, which are moved there when they are not there yet."""
    first = weights[0].input
    pack: _Pack | None = _packs.get(first)
    if pack is None or pack.pointers != [each.data_ptr() for each in _present(weights)]:
        pack = _packs[first] = _pack(kind, weights)
    if kind != "gru":
        return pack.second_biases
    return [_candidate_bias(weights[layer].candidate_bias, bias) for layer, bias in enumerate(pack.second_biases)]


def _pack(kind: str, weights: Sequence[LayerWeights]) -> _Pack:
    """Move the weights of a stack into one buffer in cuDNN's order; b_hn becomes a part of its second bias."""
    first, units = weights[0].input, weights[0].recurrent.shape[1]
    with torch.inference_mode(False), torch.no_grad(), _cuda.device_of(first):
        second_biases = [bias.clone() for bias in _second_biases(weights)]
        flat = _flat(weights, second_biases)
        stride = len(flat) // len(weights)
        mode = _CUDNN_MODES[kind]
        _kernels._cudnn_rnn_flatten_weight(flat, stride, first.shape[1], mode, units, 0, len(weights), False, False)
        for layer, bias in enumerate(second_biases):
            candidate = weights[layer].candidate_bias
            if candidate is not None:
                candidate.set_(bias[-units:])
    return _Pack([each.data_ptr() for each in _present(weights)], second_biases)


class _CandidateBias(torch.autograd.Function):
    """The GRU's second bias [0, 0, b_hn] as a function of b_hn that lies in it: nothing is computed, only recorded."""

    @staticmethod
    def forward(ctx: Any, candidate: Tensor, bias: Tensor) -> Tensor:
        ctx.units = candidate.shape[0]
        return bias.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][-ctx.units :], None


_candidate_bias: Any = _CandidateBias.apply
