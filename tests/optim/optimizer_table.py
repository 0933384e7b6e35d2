"""Every rule with every option, and short names for making parameters on an engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt import optim
from tbptt.testing.oracles import optimizers as oracle

UPDATES = 50
SHAPES = [(3, 4), (5,), ()]

RULES: list[tuple[Any, Any, dict[str, Any]]] = [
    (optim.SGD, oracle.sgd, {"lr": 0.02}),
    (optim.SGD, oracle.sgd, {"lr": 0.02, "weight_decay": 0.1}),
    (optim.SGD, oracle.sgd, {"lr": 0.02, "momentum": 0.9}),
    (optim.SGD, oracle.sgd, {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    (optim.SGD, oracle.sgd, {"lr": 0.02, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    (optim.SGD, oracle.sgd, {"lr": 0.02, "dampening": 0.3}),
    (optim.Adam, oracle.adam, {"lr": 0.02}),
    (optim.Adam, oracle.adam, {"lr": 0.02, "betas": (0.4, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adam, oracle.adam, {"lr": 0.02, "amsgrad": True, "weight_decay": 0.1}),
    (optim.Adam, oracle.adam, {"lr": 0.02, "epsilon_hat": True, "eps": 1e-2}),
    (optim.Adam, oracle.adam, {"lr": 0.02, "epsilon_hat": True, "eps": 1e-2, "amsgrad": True}),
    (optim.AdamW, oracle.adamw, {"lr": 0.02}),
    (optim.AdamW, oracle.adamw, {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True}),
    (optim.AdamW, oracle.adamw, {"lr": 0.02, "weight_decay": 0.3, "epsilon_hat": True, "eps": 1e-2}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "weight_decay": 0.1}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01, "momentum": 0.9}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01, "centered": True, "eps": 1e-2}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01, "centered": True, "momentum": 0.9, "weight_decay": 0.1, "eps": 1e-2}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01, "epsilon_inside": True, "eps": 1e-2}),
    (optim.RMSprop, oracle.rmsprop, {"lr": 0.01, "epsilon_inside": True, "eps": 1e-2, "centered": True}),
    (optim.Adagrad, oracle.adagrad, {"lr": 0.05}),
    (optim.Adagrad, oracle.adagrad, {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.1}),
    (optim.Adagrad, oracle.adagrad, {"lr": 0.05, "initial_accumulator_value": 0.1, "eps": 1e-2}),
]


def rule_name(rule: tuple[Any, Any, dict[str, Any]]) -> str:
    options = [f"{key}={value}" for key, value in rule[2].items() if key != "lr"]
    return "-".join([rule[0].__name__, *options])


def draw(seed: int = 0, shapes: Any = SHAPES, updates: int = UPDATES, dtype: str = "float64") -> tuple[Any, Any]:
    """Start values, and for each update a gradient for each parameter, of sizes from 1e-3 to 10."""
    generator = np.random.default_rng(seed)
    starts = [np.asarray(generator.normal(size=shape), dtype) for shape in shapes]
    scales = 10.0 ** generator.uniform(-3, 1, size=len(shapes))
    gradients = [
        [
            np.asarray(scale * (generator.normal(size=shape) + 0.3), dtype)
            for scale, shape in zip(scales, shapes, strict=True)
        ]
        for _ in range(updates)
    ]
    return starts, gradients


def parameters(backend: Any, arrays: Any) -> list[Any]:
    return [backend.tensors.parameter(array) for array in arrays]


def tensors(backend: Any, arrays: Any) -> list[Any]:
    return [None if array is None else backend.tensors.asarray(array) for array in arrays]


def numpy(backend: Any, values: Any) -> list[np.ndarray]:
    return [np.array(backend.tensors.to_numpy(value)) for value in values]


def train(backend: Any, optimizer_class: Any, options: dict[str, Any], starts: Any, gradients: Any) -> list[np.ndarray]:
    """The parameters after all updates."""
    held = parameters(backend, starts)
    optimizer = optimizer_class(held, **options)
    for update in gradients:
        optimizer.apply(tensors(backend, update))
    return numpy(backend, held)


def largest_difference(received: Any, expected: Any) -> float:
    """Relative to 1 or to the expected value, whichever is larger."""
    return max(
        float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)), initial=0.0))
        for a, b in zip(received, expected, strict=True)
    )
