"""LSTM, GRU and simple RNN on TensorFlow: one loop over time forward, one backward, written for XLA.

Autodiff of a `tf.while_loop` stacks every intermediate of a step and forms the weight gradients step by step. Here the
input product is one matrix product over all T·B rows before the loop, the loop backward carries only what the next step
needs, and the weight gradients are one product over all T·B rows after it (`benchmarks/recurrence.py` has the figures).
Outside XLA the same code runs eagerly and in a plain `tf.function`; on a GPU there it is cuDNN's kernel, unless there are
resets inside the window, which that does not know (`tbptt_tensorflow.resets`).

Shape legend: T steps, B rows, F input features, H units, L layers, G gates. Formulas: `tbptt.protocols.recurrence`.

    >>> import tensorflow as tf
    >>> from tbptt.protocols import LayerWeights
    >>> weights = [LayerWeights(tf.ones((4, 1)), tf.zeros((4, 1)), None)]
    >>> outputs, (hidden, cell) = lstm(tf.zeros((3, 2, 1)), (tf.zeros((1, 2, 1)), tf.zeros((1, 2, 1))), weights)
    >>> tuple(outputs.shape), tuple(hidden.shape)
    ((3, 2, 1), (1, 2, 1))
"""

# ruff: noqa: N803, N806  (names end in their shape)

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from tbptt.protocols.recurrence import Between, LayerWeights
from tbptt_tensorflow.resets import Resets, Step

__all__ = ["gru", "lstm", "rnn"]

Tensor: TypeAlias = Any
_Pullback: TypeAlias = Callable[..., Sequence[Tensor]]


def lstm(
    inputs: Tensor,
    state: tuple[Tensor, Tensor],
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """A stack of LSTM layers: inputs (T, B, F), state h and c (L, B, H) -> outputs (T, B, H), state."""
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
    """A stack of GRU layers: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""
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
    """A stack of Elman layers: inputs (T, B, F), state (L, B, H) -> outputs (T, B, H), state."""
    begun = None if initial is None else (initial,)
    outputs, (hidden,) = _stack(f"rnn_{nonlinearity}", inputs, (state,), weights, between, resets, begun)
    return outputs, hidden


@tf.autograph.experimental.do_not_convert
def _stack(
    kind: str,
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[LayerWeights],
    between: Between | None,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
) -> tuple[Tensor, Sequence[Tensor]]:
    outputs = tf.convert_to_tensor(inputs)
    if outputs.shape[0] == 0:
        return tf.zeros((0, *_sizes(state[0])[1:]), outputs.dtype), state
    starts = zip(*(tf.unstack(part, num=len(weights)) for part in state), strict=True)
    ends = []
    for layer, (start, layer_weights) in enumerate(zip(starts, weights, strict=True)):
        if layer > 0 and between is not None:
            outputs = between(layer - 1, outputs)
        begun = None if initial is None else [part[layer] for part in initial]
        outputs, *end = _kernel(kind, outputs, start, layer_weights, resets, begun)
        ends.append(end)
    return outputs, [tf.stack(parts) for parts in zip(*ends, strict=True)]


def _kernel(
    kind: str,
    inputs: Tensor,
    start: Sequence[Tensor],
    weights: LayerWeights,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
) -> list[Tensor]:
    """One layer: outputs (T, B, H), then every part (B, H) of the state after the last step."""
    # Read variables here: inside `tf.custom_gradient` they would have to be declared.
    tensors = [None if each is None else tf.convert_to_tensor(each) for each in weights]
    if resets is None and _cudnn_serves(inputs):  # cuDNN knows no resets
        return _cudnn_layer(kind, inputs, start, tensors)
    layer: Any = {"lstm": _lstm_layer, "gru": _gru_layer, "rnn_tanh": _tanh_layer, "rnn_relu": _relu_layer}[kind]
    arguments = [inputs, *start, *tensors]
    before_initial = len(arguments)
    if resets is not None:
        arguments += [tf.zeros_like(part) for part in start] if initial is None else initial
    is_given = [each is not None for each in arguments]

    @tf.custom_gradient
    def run(*given: Tensor) -> Any:
        remaining = iter(given)
        values = [next(remaining) if there else None for there in is_given]
        cut = None if resets is None else Resets(resets[:, :, None], values[before_initial:])
        results, pullback = layer(*values[:before_initial], cut)

        def gradient(*cotangents: Tensor) -> Sequence[Tensor]:
            return [each for each, there in zip(pullback(*cotangents), is_given, strict=True) if there]

        return results, gradient

    results: list[Tensor] = run(*(each for each in arguments if each is not None))
    return results


# --- the three layers: results, and the one callable that takes them back ---------------------------------------------


def _lstm_layer(
    x_TBF: Tensor,
    h_BH: Tensor,
    c_BH: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
    _: None,
    resets: Resets | None,
) -> tuple[tuple[Tensor, ...], _Pullback]:
    steps, units = _sizes(x_TBF)[0], w_hh.shape[1]
    product_TBG = _times(x_TBF, tf.transpose(w_ih), bias)
    w_HG = tf.transpose(w_hh)
    # σ(z) = ½ tanh(½z) + ½: with a scale and a shift per gate all four are one tanh over one contiguous tensor.
    half, one, none = (tf.fill((units,), tf.constant(value, x_TBF.dtype)) for value in (0.5, 1.0, 0.0))
    scale, shift = tf.concat([half, half, one, half], 0), tf.concat([half, half, none, half], 0)

    def step(t: Tensor, h: Tensor, c: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        gates = tf.tanh((product_TBG[t] + tf.matmul(h, w_HG)) * scale) * scale + shift
        i, f, g, o = tf.split(gates, 4, axis=-1)
        c = f * c + i * g
        h = o * tf.tanh(c)
        return [h, c], [gates, c, h]

    start = [h_BH, c_BH]
    (h_end, c_end), (gates_TBG, c_TBH, h_TBH) = _loop(step, start, steps, [4 * units, units, units], resets)

    def pullback(dout_TBH: Tensor, dh_BH: Tensor, dc_BH: Tensor) -> Sequence[Tensor]:
        # All factors of the chain rule that do not wait for the step after, for all steps at once.
        i, f, g, o = tf.split(gates_TBG, 4, axis=-1)
        tanh_c = tf.tanh(c_TBH)
        previous_TBH = _previous(c_BH, c_TBH, resets, part=1)
        slopes = [g * i * (1 - i), previous_TBH * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)]
        slopes_TBG, slope_TBH = tf.concat(slopes, -1), o * (1 - tanh_c * tanh_c)

        def step_back(t: Tensor, dh: Tensor, dc: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            dh = dh + dout_TBH[t]
            dc = dc + dh * slope_TBH[t]
            dgates = tf.concat([dc, dc, dc, dh], -1) * slopes_TBG[t]
            return [tf.matmul(dgates, w_hh), dc * f[t]], [dgates]

        (dh, dc, *dinitial), (dgates_TBG,) = _loop_back(step_back, [dh_BH, dc_BH], steps, [4 * units], resets)
        dw_ih, dw_hh, dbias = _weight_gradients(dgates_TBG, x_TBF, _previous(h_BH, h_TBH, resets))
        return _times(dgates_TBG, w_ih), dh, dc, dw_ih, dw_hh, dbias, None, *dinitial

    return (h_TBH, h_end, c_end), pullback


def _gru_layer(
    x_TBF: Tensor,
    h_BH: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
    candidate_bias: Tensor,
    resets: Resets | None,
) -> tuple[tuple[Tensor, ...], _Pullback]:
    steps, units = _sizes(x_TBF)[0], w_hh.shape[1]
    product_TBG = _times(x_TBF, tf.transpose(w_ih), bias)
    w_HG = tf.transpose(w_hh)

    def step(t: Tensor, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        from_x, from_h = product_TBG[t], tf.matmul(h, w_HG)
        rz = tf.tanh((from_x[:, : 2 * units] + from_h[:, : 2 * units]) * 0.5) * 0.5 + 0.5
        r, z = tf.split(rz, 2, axis=-1)
        q = from_h[:, 2 * units :] if candidate_bias is None else from_h[:, 2 * units :] + candidate_bias
        n = tf.tanh(from_x[:, 2 * units :] + r * q)
        h = n + z * (h - n)
        return [h], [rz, q, n, h]

    (h_end,), (rz_TBG, q_TBH, n_TBH, h_TBH) = _loop(step, [h_BH], steps, [2 * units, units, units, units], resets)

    def pullback(dout_TBH: Tensor, dh_BH: Tensor) -> Sequence[Tensor]:
        previous_TBH = _previous(h_BH, h_TBH, resets)
        r, z = tf.split(rz_TBG, 2, axis=-1)
        slope_n = (1 - z) * (1 - n_TBH * n_TBH)
        slopes = [slope_n * q_TBH * r * (1 - r), (previous_TBH - n_TBH) * z * (1 - z), slope_n * r]
        slopes_TBG = tf.concat(slopes, -1)

        def step_back(t: Tensor, dh: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            dh = dh + dout_TBH[t]
            return [dh * z[t] + tf.matmul(tf.concat([dh, dh, dh], -1) * slopes_TBG[t], w_hh)], [dh]

        (dh, *dinitial), (dh_TBH,) = _loop_back(step_back, [dh_BH], steps, [units], resets)
        # The candidate's two products get different cotangents: r stands between them.
        drz_TBG = tf.concat([dh_TBH, dh_TBH], -1) * slopes_TBG[:, :, : 2 * units]
        dfrom_x_TBG = tf.concat([drz_TBG, dh_TBH * slope_n], -1)
        dfrom_h_TBG = tf.concat([drz_TBG, dh_TBH * slopes[2]], -1)
        dw_ih, dbias = _weight_gradients(dfrom_x_TBG, x_TBF)
        dw_hh, dsecond = _weight_gradients(dfrom_h_TBG, previous_TBH)
        return _times(dfrom_x_TBG, w_ih), dh, dw_ih, dw_hh, dbias, dsecond[2 * units :], *dinitial

    return (h_TBH, h_end), pullback


def _tanh_layer(*arguments: Any) -> tuple[tuple[Tensor, ...], _Pullback]:
    return _rnn_layer(tf.tanh, lambda h: 1 - h * h, *arguments)


def _relu_layer(*arguments: Any) -> tuple[tuple[Tensor, ...], _Pullback]:
    return _rnn_layer(tf.nn.relu, lambda h: tf.cast(h > 0, h.dtype), *arguments)


def _rnn_layer(
    activation: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    x_TBF: Tensor,
    h_BH: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    bias: Tensor,
    _: None,
    resets: Resets | None,
) -> tuple[tuple[Tensor, ...], _Pullback]:
    steps, units = _sizes(x_TBF)[0], w_hh.shape[1]
    product_TBH = _times(x_TBF, tf.transpose(w_ih), bias)
    w_HH = tf.transpose(w_hh)

    def step(t: Tensor, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        h = activation(product_TBH[t] + tf.matmul(h, w_HH))
        return [h], [h]

    (h_end,), (h_TBH,) = _loop(step, [h_BH], steps, [units], resets)

    def pullback(dout_TBH: Tensor, dh_BH: Tensor) -> Sequence[Tensor]:
        def step_back(t: Tensor, dh: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            dsum = (dh + dout_TBH[t]) * slope(h_TBH[t])
            return [tf.matmul(dsum, w_hh)], [dsum]

        (dh, *dinitial), (dsum_TBH,) = _loop_back(step_back, [dh_BH], steps, [units], resets)
        dw_ih, dw_hh, dbias = _weight_gradients(dsum_TBH, x_TBF, _previous(h_BH, h_TBH, resets))
        return _times(dsum_TBH, w_ih), dh, dw_ih, dw_hh, dbias, None, *dinitial

    return (h_TBH, h_end), pullback


# --- what they share --------------------------------------------------------------------------------------------------


def _loop(
    step: Step, start: list[Tensor], steps: Any, widths: list[int], resets: Resets | None
) -> tuple[list[Tensor], list[Tensor]]:
    """``carry, emitted = step(t, *carry)`` for every t -> the last carry, and what was emitted, each (T, B, width)."""
    return _run(step if resets is None else resets.forward(step), start, steps, widths, backward=False)


def _loop_back(
    step: Step, start: list[Tensor], steps: Any, widths: list[int], resets: Resets | None
) -> tuple[list[Tensor], list[Tensor]]:
    """`_loop` from the last t to the first; with resets the last carry has the cotangents of `initial` behind it."""
    if resets is not None:
        step, start = resets.backward(step), [*start, *(tf.zeros_like(part) for part in resets.initial)]
    return _run(step, start, steps, widths, backward=True)


def _run(
    step: Step, start: list[Tensor], steps: Any, widths: list[int], backward: bool
) -> tuple[list[Tensor], list[Tensor]]:
    rows, dtype = start[0].shape[0], start[0].dtype
    arrays = [tf.TensorArray(dtype, steps, element_shape=(rows, width)) for width in widths]

    def advance(count: Tensor, carry: list[Tensor], arrays: list[Any]) -> tuple[Tensor, list[Tensor], list[Any]]:
        t = steps - 1 - count if backward else count
        carry, emitted = step(t, *carry)
        return count + 1, carry, [array.write(t, each) for array, each in zip(arrays, emitted, strict=True)]

    # XLA needs `maximum_iterations` to give the arrays their size.
    first = tf.constant(0)
    _, end, arrays = tf.while_loop(
        lambda count, *_: count < steps, advance, (first, start, arrays), maximum_iterations=steps
    )
    return end, [array.stack() for array in arrays]


def _times(x_TBX: Tensor, w_XY: Tensor, bias: Tensor = None) -> Tensor:
    """One product over all T·B rows: x w, plus the bias."""
    product = tf.matmul(tf.reshape(x_TBX, (-1, x_TBX.shape[-1])), w_XY)
    return tf.reshape(product if bias is None else product + bias, (*_sizes(x_TBX)[:2], w_XY.shape[-1]))


def _weight_gradients(dproduct_TBG: Tensor, *inputs_TBX: Tensor) -> list[Tensor]:
    """Σ over t, b of dproduct ⊗ input for each input, and of dproduct itself (the bias), in one matrix product.

    Inputs come first in the product although weights are (G, X): on XLA's CPU [x, h, 1]ᵀ d, turned afterwards, takes
    two thirds of the time of dᵀ x and dᵀ h.
    """
    widths: Any = [each.shape[-1] for each in inputs_TBX]
    rows = [tf.reshape(each, (-1, width)) for each, width in zip(inputs_TBX, widths, strict=True)]
    rows.append(tf.ones_like(rows[0][:, :1]))
    product_XG = tf.matmul(tf.concat(rows, 1), tf.reshape(dproduct_TBG, (-1, dproduct_TBG.shape[-1])), transpose_a=True)
    *weights_XG, bias_1G = tf.split(product_XG, [*widths, 1], 0)
    return [*(tf.transpose(each) for each in weights_XG), bias_1G[0]]


def _previous(start_BH: Tensor, states_TBH: Tensor, resets: Resets | None, part: int = 0) -> Tensor:
    """The state that each step started from, or one part of it."""
    previous_TBH = tf.concat([start_BH[None], states_TBH], 0)[:-1]
    return previous_TBH if resets is None else resets.before(previous_TBH, part)


def _sizes(x: Tensor) -> list[Any]:
    """The axes' lengths: numbers where they are known while tracing, else scalar tensors."""
    return [known if known is not None else tf.shape(x)[axis] for axis, known in enumerate(x.shape)]


# --- cuDNN ------------------------------------------------------------------------------------------------------------


def _cudnn_serves(inputs: Tensor) -> bool:
    """Whether cuDNN's kernel can run here: on a GPU, and not inside a program of XLA's, which cannot call it."""
    in_xla = control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    return bool(not in_xla and "CPU" not in inputs.device and tf.config.list_logical_devices("GPU"))


def _cudnn_layer(kind: str, inputs: Tensor, start: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """One layer by cuDNN, which takes one vector: W_ih, W_hh, first bias, second bias, with the gates in our order.

    Differentiable: TensorFlow has the gradient of the operation. (Not run by the tests, which have no GPU.)
    """
    w_ih, w_hh, bias, candidate_bias = weights
    first = tf.zeros_like(w_hh[:, 0]) if bias is None else bias
    second = tf.zeros_like(first)
    if candidate_bias is not None:
        second = tf.concat([second[: -candidate_bias.shape[0]], candidate_bias], 0)
    outputs, *end, _, _ = tf.raw_ops.CudnnRNNV2(
        input=inputs,
        input_h=start[0][None],
        input_c=start[1][None] if kind == "lstm" else tf.zeros_like(start[0][None]),
        params=tf.concat([tf.reshape(w_ih, (-1,)), tf.reshape(w_hh, (-1,)), first, second], 0),
        rnn_mode=kind,
        is_training=True,
    )
    return [outputs, *(each[0] for each in end[: len(start)])]
