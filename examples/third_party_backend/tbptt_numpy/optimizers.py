"""Update rules, by their formulas. A slot holds one array for each parameter; updates put another in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tbptt.types import Array, Number
from tbptt_numpy import tensors
from tbptt_numpy.tensor import Tensor


def create_slots(parameters: Sequence[Any], fills: Mapping[str, float]) -> dict[str, Any]:
    """One array per parameter and name, shaped like the parameter and filled; and ``"step"``, zeros."""
    slots: dict[str, Any] = {name: [np.full_like(p.value, fill) for p in parameters] for name, fill in fills.items()}
    return {"step": [0 for _ in parameters], **slots}


def slots_to_numpy(slots: Mapping[str, Any]) -> dict[str, list[Array]]:
    """Copies, one array per parameter and name: counters as int64, halves as float32."""
    values = {
        name: [np.array(x, dtype=_at_least_single(x.dtype)) for x in slots[name]] for name in slots if name != "step"
    }
    return {"step": [np.array(step, dtype="int64") for step in slots["step"]], **values}


def slots_from_numpy(slots: Mapping[str, Any], values: Mapping[str, Sequence[Array]]) -> None:
    """Write values, as `slots_to_numpy` gave them, into existing slots."""
    for name, arrays in values.items():
        if name == "step":
            slots[name][:] = [int(array) for array in arrays]
        else:
            slots[name][:] = [np.array(x, dtype=old.dtype) for x, old in zip(arrays, slots[name], strict=True)]


@np.errstate(all="ignore")
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
    """As `torch.optim.SGD`."""
    for i, p, g, t in _counted(parameters, gradients, slots):
        g = g + weight_decay * p.value
        if momentum:
            buffer = slots["momentum_buffer"]
            buffer[i] = g if t == 1 else momentum * buffer[i] + (1 - dampening) * g
            g = g + momentum * buffer[i] if nesterov else buffer[i]
        _descend(p, float(lr) * g)


@np.errstate(all="ignore")
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
    for i, p, g, t in _counted(parameters, gradients, slots):
        if decoupled:
            _descend(p, float(lr) * weight_decay * p.value)
        else:
            g = g + weight_decay * p.value
        m = slots["exp_avg"][i] = beta1 * slots["exp_avg"][i] + (1 - beta1) * g
        v = slots["exp_avg_sq"][i] = beta2 * slots["exp_avg_sq"][i] + (1 - beta2) * g * g
        if amsgrad:
            v = slots["max_exp_avg_sq"][i] = np.maximum(slots["max_exp_avg_sq"][i], v)
        correction = (1 - beta2**t) ** 0.5
        root = (np.sqrt(v) + eps) / correction if epsilon_hat else np.sqrt(v) / correction + eps
        _descend(p, float(lr) / (1 - beta1**t) * m / root)


@np.errstate(all="ignore")
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
    for i, p, g, _ in _counted(parameters, gradients, slots):
        g = g + weight_decay * p.value
        v = slots["square_avg"][i] = alpha * slots["square_avg"][i] + (1 - alpha) * g * g
        if centered:
            mean = slots["grad_avg"][i] = alpha * slots["grad_avg"][i] + (1 - alpha) * g
            v = v - mean * mean
        g = g / (np.sqrt(v + eps) if epsilon_inside else np.sqrt(v) + eps)
        if momentum:
            g = slots["momentum_buffer"][i] = momentum * slots["momentum_buffer"][i] + g
        _descend(p, float(lr) * g)


@np.errstate(all="ignore")
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
    for i, p, g, t in _counted(parameters, gradients, slots):
        g = g + weight_decay * p.value
        s = slots["sum"][i] = slots["sum"][i] + g * g
        _descend(p, float(lr) / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s) + eps))


def global_norm(gradients: Sequence[Any | None]) -> Any:
    """√Σ‖g‖² over all of them, a scalar tensor; 0 when there is none."""
    present = [np.asarray(g.value, dtype=_at_least_single(g.dtype)) for g in gradients if g is not None]
    if not present:
        return tensors.zeros(())
    with np.errstate(all="ignore"):
        return Tensor(np.sqrt(sum(np.sum(g * g) for g in present)))


def scale(gradients: Sequence[Any | None], factor: Any, donate: bool = False) -> list[Any | None]:
    """Each gradient times a scalar tensor, in the gradient's dtype."""
    return [None if g is None else tensors.astype(tensors.multiply(g, factor), g.dtype) for g in gradients]


def clip_by_global_norm(
    gradients: Sequence[Any | None], max_norm: float, donate: bool = False
) -> tuple[list[Any | None], Any]:
    """Each gradient times min(1, max_norm/norm); and the norm, a scalar tensor."""
    norm = global_norm(gradients)
    return scale(gradients, tensors.minimum(max_norm / norm, 1.0)), norm


def clip(gradients: Sequence[Any | None], limit: float, donate: bool = False) -> list[Any | None]:
    """Each element cut to [−limit, limit]."""
    return [None if g is None else tensors.clip(g, -limit, limit) for g in gradients]


def _counted(
    parameters: Sequence[Any], gradients: Sequence[Any | None], slots: Mapping[str, Any]
) -> Iterator[tuple[int, Any, Array, int]]:
    """Place, parameter, gradient and step, with this update counted, of each parameter that has a gradient."""
    for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        if g is not None:
            slots["step"][i] += 1
            yield i, p, g.value, slots["step"][i]


def _descend(parameter: Any, change: Array) -> None:
    parameter.value = parameter.value - change


def _at_least_single(dtype: Any) -> Any:
    return np.promote_types(dtype, "float32")  # squares of halves overflow at 256
