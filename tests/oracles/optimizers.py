"""Update rules in NumPy float64, from the papers' and torch's documented formulas, one parameter and a loop.

Each takes the start value, the gradients of successive updates (None: no gradient then) and the rule's numbers, and
returns the parameter after the last update. `lr` is a number or a list with one rate per update. `t` counts the
parameter's own updates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def _updates(gradients: Sequence[Array | None], lr: float | Sequence[float]):
    rates = [lr] * len(gradients) if isinstance(lr, float | int) else lr
    present = [(rate, g) for rate, g in zip(rates, gradients, strict=True) if g is not None]
    return [(t, rate, np.asarray(g, np.float64)) for t, (rate, g) in enumerate(present, start=1)]


def sgd(start, gradients, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False):
    p = np.array(start, np.float64)
    buffer = None
    for _, rate, g in _updates(gradients, lr):
        g = g + weight_decay * p
        if momentum:
            buffer = g if buffer is None else momentum * buffer + (1 - dampening) * g
            g = g + momentum * buffer if nesterov else buffer
        p = p - rate * g
    return p


def adam(
    start,
    gradients,
    lr=1e-3,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    amsgrad=False,
    epsilon_hat=False,
    decoupled=False,
):
    p = np.array(start, np.float64)
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
    return p


def adamw(start, gradients, lr=1e-3, weight_decay=1e-2, **options):
    return adam(start, gradients, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(
    start,
    gradients,
    lr=1e-2,
    alpha=0.99,
    eps=1e-8,
    weight_decay=0.0,
    momentum=0.0,
    centered=False,
    epsilon_inside=False,
):
    p = np.array(start, np.float64)
    square, mean, buffer = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for _, rate, g in _updates(gradients, lr):
        g = g + weight_decay * p
        square = alpha * square + (1 - alpha) * g**2
        mean = alpha * mean + (1 - alpha) * g
        variance = square - mean**2 if centered else square
        direction = g / (np.sqrt(variance + eps) if epsilon_inside else np.sqrt(variance) + eps)
        buffer = momentum * buffer + direction
        p = p - rate * (buffer if momentum else direction)
    return p


def adagrad(start, gradients, lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10):
    p = np.array(start, np.float64)
    total = np.full_like(p, initial_accumulator_value)
    for t, rate, g in _updates(gradients, lr):
        g = g + weight_decay * p
        total = total + g**2
        p = p - rate / (1 + (t - 1) * lr_decay) * g / (np.sqrt(total) + eps)
    return p
