"""Update rules in NumPy float64, from the papers' and torch's documented formulas, one parameter and a loop.

Each takes the start value, the gradients of successive updates (None: no gradient then) and the rule's numbers, and
returns the parameter after the last update. `lr` is a number or a list with one rate per update. `t` counts the
parameter's own updates. A dict given as `slots` is filled with what the rule remembers at the end, under the names of
`tbptt.protocols.optimizers`.

    >>> from tbptt.testing.oracles import optimizers as oracle
    >>> float(oracle.sgd(1.0, [2.0, None, 2.0], lr=0.125))
    0.5
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from tbptt.types import Array

Gradients: TypeAlias = Sequence[Any]
Rate: TypeAlias = float | Sequence[float]
Slots: TypeAlias = dict[str, Array]


def _updates(gradients: Gradients, lr: Rate) -> Iterator[tuple[int, float, Array]]:
    rates = [lr] * len(gradients) if isinstance(lr, float | int) else lr
    present = [(rate, g) for rate, g in zip(rates, gradients, strict=True) if g is not None]
    for t, (rate, g) in enumerate(present, start=1):
        yield t, rate, np.asarray(g, np.float64)


def _tell(slots: Slots | None, gradients: Gradients, **values: Array | None) -> None:
    if slots is not None:
        slots["step"] = np.asarray(sum(g is not None for g in gradients), np.int64)
        slots |= {name: value for name, value in values.items() if value is not None}


def sgd(
    start: Any,
    gradients: Gradients,
    lr: Rate = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    slots: Slots | None = None,
) -> Array:
    """Descent, with momentum as torch has it: the first buffer is the gradient itself (Sutskever et al. 2013)."""
    p: Array = np.array(start, np.float64)
    buffer: Array | None = None
    for _, rate, g in _updates(gradients, lr):
        g = g + weight_decay * p
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        p = p - rate * g
    _tell(slots, gradients, momentum_buffer=buffer)
    return p


def adam(
    start: Any,
    gradients: Gradients,
    lr: Rate = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    epsilon_hat: bool = False,
    decoupled: bool = False,
    slots: Slots | None = None,
) -> Array:
    """Kingma & Ba 2015; `epsilon_hat` is the form at the end of their section 2, `decoupled` Loshchilov & Hutter 2019."""
    p: Array = np.array(start, np.float64)
    m, v, largest = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for t, rate, g in _updates(gradients, lr):
        if decoupled:
            p = p - rate * weight_decay * p
        else:
            g = g + weight_decay * p
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        second = largest if amsgrad else v
        correction1, correction2 = 1 - betas[0] ** t, 1 - betas[1] ** t
        if epsilon_hat:
            p = p - rate * np.sqrt(correction2) / correction1 * m / (np.sqrt(second) + eps)
        else:
            p = p - rate * (m / correction1) / (np.sqrt(second / correction2) + eps)
    _tell(slots, gradients, exp_avg=m, exp_avg_sq=v, max_exp_avg_sq=largest if amsgrad else None)
    return p


def adamw(start: Any, gradients: Gradients, lr: Rate = 1e-3, weight_decay: float = 1e-2, **options: Any) -> Array:
    """`adam` with decoupled weight decay, and torch's default of it."""
    return adam(start, gradients, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(
    start: Any,
    gradients: Gradients,
    lr: Rate = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    epsilon_inside: bool = False,
    slots: Slots | None = None,
) -> Array:
    """Hinton's, as torch has it; `centered` is Graves 2013, and with `epsilon_inside` ε is under the root, as in Keras."""
    p: Array = np.array(start, np.float64)
    square, mean, buffer = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for _, rate, g in _updates(gradients, lr):
        g = g + weight_decay * p
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        variance = square - mean**2 if centered else square
        direction = g / (np.sqrt(variance + eps) if epsilon_inside else np.sqrt(variance) + eps)
        buffer = momentum * buffer + direction
        p = p - rate * (buffer if momentum else direction)
    _tell(
        slots,
        gradients,
        square_avg=square,
        grad_avg=mean if centered else None,
        momentum_buffer=buffer if momentum else None,
    )
    return p


def adagrad(
    start: Any,
    gradients: Gradients,
    lr: Rate = 1e-2,
    lr_decay: float = 0.0,
    weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    slots: Slots | None = None,
) -> Array:
    """Duchi et al. 2011, as torch has it."""
    p: Array = np.array(start, np.float64)
    total = np.full_like(p, initial_accumulator_value)
    for t, rate, g in _updates(gradients, lr):
        g = g + weight_decay * p
        total = total + g**2
        p = p - rate / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + eps)
    _tell(slots, gradients, sum=total)
    return p
