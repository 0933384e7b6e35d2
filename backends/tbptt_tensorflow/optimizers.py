"""Update rules as TensorFlow operations, in torch's order of operations, so that both engines round alike.

Everything is elementwise on variables made beforehand: it runs eagerly, in a graph, and under XLA, which fuses a rule
into one pass over memory. TensorFlow's own fused Adam uses the other meaning of ε and its own order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tbptt.types import Array, Number

_HALVES = {tf.float16, tf.bfloat16}


def create_slots(parameters: Sequence[Any], fills: Mapping[str, float]) -> dict[str, Any]:
    """One buffer per parameter and name, shaped like the parameter and filled; and ``"step"``, zeros."""
    # Counters are float64, because 1 − 0.999 in float32 has four digits; one vector, because small operations are dear.
    with tf.device(parameters[0].device):
        slots: dict[str, Any] = {"step": tf.Variable(tf.zeros([len(parameters)], tf.float64), trainable=False)}
    for name, fill in fills.items():
        slots[name] = [_buffer(parameter, fill) for parameter in parameters]
    return slots


def slots_to_numpy(slots: Mapping[str, Any]) -> dict[str, list[Array]]:
    """Copies, one array per parameter and name; counters as int64."""
    values = {name: [np.array(_wide(x).numpy()) for x in slots[name]] for name in slots if name != "step"}
    values["step"] = [np.array(step, "int64") for step in slots["step"].numpy()]
    return values


def slots_from_numpy(slots: Mapping[str, Any], values: Mapping[str, Sequence[Array]]) -> None:
    """Write values, as `slots_to_numpy` gave them, into existing slots."""
    for name, arrays in values.items():
        if name == "step":
            slots["step"].assign(tf.constant([float(array) for array in arrays], tf.float64))
            continue
        for slot, array in zip(slots[name], arrays, strict=True):
            slot.assign(tf.constant(array, slot.dtype))


def sgd(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """As `torch.optim.SGD`, its first step included (buffer = gradient, whatever the dampening)."""
    steps = _count(gradients, slots)
    rates = tf.fill(steps.shape, _double(lr))
    shares = tf.where(steps == 1, _double(1.0), _double(1.0 - dampening))
    for i, parameter, grad, rate, share in _present(parameters, gradients, rates, shares):
        grad = _decayed(parameter, grad, weight_decay)
        if momentum:
            buffer = momentum * slots["momentum_buffer"][i] + (share * grad if dampening else grad)
            slots["momentum_buffer"][i].assign(buffer)
            grad = grad + momentum * buffer if nesterov else buffer
        parameter.assign_sub(rate * grad)


def adam(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    decoupled: bool,
    amsgrad: bool,
    epsilon_hat: bool,
) -> None:
    """As `torch.optim.Adam` and `AdamW`; `epsilon_hat` adds ε to the uncorrected root, as Keras does."""
    beta1, beta2 = betas
    steps = _count(gradients, slots)
    corrections = tf.sqrt(1 - tf.pow(_double(beta2), steps))
    rates = _double(lr) / (1 - tf.pow(_double(beta1), steps))
    kept = tf.fill(steps.shape, 1 - _double(lr) * weight_decay)
    for i, parameter, grad, rate, correction, keep in _present(parameters, gradients, rates, corrections, kept):
        value = keep * parameter if decoupled else parameter
        grad = grad if decoupled else _decayed(parameter, grad, weight_decay)
        average, square = slots["exp_avg"][i], slots["exp_avg_sq"][i]
        average = _write(average, average + (1 - beta1) * (grad - average))
        square = _write(square, beta2 * square + (1 - beta2) * (grad * grad))
        if amsgrad:
            square = _write(slots["max_exp_avg_sq"][i], tf.maximum(slots["max_exp_avg_sq"][i], square))
        denominator = (tf.sqrt(square) + eps) / correction if epsilon_hat else tf.sqrt(square) / correction + eps
        parameter.assign(value - rate * (average / denominator))


def rmsprop(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    epsilon_inside: bool,
) -> None:
    """As `torch.optim.RMSprop`; `epsilon_inside` adds ε under the root."""
    steps = _count(gradients, slots)
    rates = tf.fill(steps.shape, _double(lr))
    for i, parameter, grad, rate in _present(parameters, gradients, rates):
        grad = _decayed(parameter, grad, weight_decay)
        square = slots["square_avg"][i]
        square = _write(square, alpha * square + (1 - alpha) * (grad * grad))
        if centered:
            average = slots["grad_avg"][i]
            average = _write(average, average + (1 - alpha) * (grad - average))
            square = square - average * average
        direction = grad / (tf.sqrt(square + eps) if epsilon_inside else tf.sqrt(square) + eps)
        if momentum:
            buffer = slots["momentum_buffer"][i]
            direction = _write(buffer, momentum * buffer + direction)
        parameter.assign_sub(rate * direction)


def adagrad(
    parameters: Sequence[Any],
    gradients: Sequence[Any | None],
    slots: Mapping[str, Any],
    lr: Number | Any,
    lr_decay: float,
    eps: float,
    weight_decay: float,
) -> None:
    """As `torch.optim.Adagrad`."""
    steps = _count(gradients, slots)
    rates = _double(lr) / (1 + (steps - 1) * lr_decay)
    for i, parameter, grad, rate in _present(parameters, gradients, rates):
        grad = _decayed(parameter, grad, weight_decay)
        total = _write(slots["sum"][i], slots["sum"][i] + grad * grad)
        parameter.assign_sub(rate * (grad / (tf.sqrt(total) + eps)))


def global_norm(gradients: Sequence[Any | None]) -> Any:
    """√Σ‖g‖² over all of them, a scalar tensor on the first one's device; 0 when there is none."""
    present = [_wide(_dense(gradient)) for gradient in gradients if gradient is not None]
    if not present:
        return tf.zeros([])
    squares = [tf.reduce_sum(gradient * gradient) for gradient in present]
    widest = tf.float64 if any(square.dtype == tf.float64 for square in squares) else tf.float32
    return tf.sqrt(tf.add_n([tf.cast(square, widest) for square in squares]))


def scale(gradients: Sequence[Any | None], factor: Any, donate: bool = False) -> list[Any | None]:
    """Each gradient times a scalar tensor; tensors here are never written, so `donate` changes nothing."""
    return [None if x is None else _dense(x) * tf.cast(factor, x.dtype) for x in gradients]


def clip_by_global_norm(
    gradients: Sequence[Any | None], max_norm: float, donate: bool = False
) -> tuple[list[Any | None], Any]:
    """Each gradient times min(1, max_norm/norm); and the norm, a scalar tensor."""
    dense = [None if gradient is None else _dense(gradient) for gradient in gradients]
    norm = global_norm(dense)
    return scale(dense, tf.minimum(max_norm / norm, 1.0), donate), norm


def clip(gradients: Sequence[Any | None], limit: float, donate: bool = False) -> list[Any | None]:
    """Each element cut to [−limit, limit]."""
    return [None if x is None else tf.clip_by_value(_dense(x), -limit, limit) for x in gradients]


def _buffer(parameter: Any, fill: float) -> Any:
    with tf.device(parameter.device):
        return tf.Variable(tf.fill(parameter.shape, tf.constant(fill, parameter.dtype)), trainable=False)


def _count(gradients: Sequence[Any | None], slots: Mapping[str, Any]) -> Any:
    """One more update for each parameter that has a gradient; the counters, (parameters,) in float64."""
    return slots["step"].assign_add([float(gradient is not None) for gradient in gradients], read_value=True)


def _present(parameters: Sequence[Any], gradients: Sequence[Any | None], *columns: Any) -> Iterator[tuple[Any, ...]]:
    """Index, parameter, gradient of each parameter that has one, and its number in each column, in its own dtype."""
    rows = [tf.unstack(column) for column in columns]
    for i, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        if gradient is not None:
            yield i, parameter, _dense(gradient), *[tf.cast(row[i], parameter.dtype) for row in rows]


def _write(slot: Any, value: Any) -> Any:
    """The value, written as well: going on with it saves reading the variable again."""
    slot.assign(value)
    return value


def _double(number: Number | Any) -> Any:
    """The number in float64; `tf.cast` alone would take a Python number through float32."""
    return tf.cast(number, tf.float64) if tf.is_tensor(number) else tf.constant(number, tf.float64)


def _dense(gradient: Any) -> Any:
    """The gradient with repeated rows summed: moments and norms of the single slices would be wrong."""
    return tf.convert_to_tensor(gradient) if isinstance(gradient, tf.IndexedSlices) else gradient


def _decayed(parameter: Any, grad: Any, weight_decay: float) -> Any:
    return grad + weight_decay * parameter if weight_decay else grad


def _wide(gradient: Any) -> Any:
    return tf.cast(gradient, tf.float32) if gradient.dtype in _HALVES else gradient  # squares of halves overflow at 256
