"""Every update rule with every option, as an adapter is called and as the oracle is; and random gradients for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tbptt.testing.oracles import optimizers as oracle
from tbptt.types import Array

SHAPES = ((3, 4), (5,), ())

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
    "adam": {
        "betas": (0.9, 0.999),
        "eps": 0.0,
        "weight_decay": 0.0,
        "decoupled": False,
        "amsgrad": False,
        "epsilon_hat": False,
    },
    "rmsprop": {
        "alpha": 0.99,
        "eps": 0.0,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
        "epsilon_inside": False,
    },
    "adagrad": {"lr_decay": 0.0, "eps": 0.0, "weight_decay": 0.0},
}
"""All arguments of a rule after the rate. Where ε is 0 it does not matter where it is added: that has cases of its own."""


@dataclass(frozen=True)
class Case:
    """A rule, a rate, and the options that are not as in `_ARGUMENTS`."""

    rule: str
    lr: float
    options: dict[str, Any] = field(default_factory=dict)
    initial_sum: float = 0.0

    def update(
        self, optimizers: Any, parameters: Sequence[Any], gradients: Sequence[Any], slots: Any, lr: Any = None
    ) -> None:
        """One call of the adapter's rule."""
        rate = self.lr if lr is None else lr
        getattr(optimizers, self.rule)(parameters, gradients, slots, rate, **(_ARGUMENTS[self.rule] | self.options))

    def expected(self, start: Array, gradients: Sequence[Any], slots: dict[str, Array] | None = None) -> Array:
        """The parameter after these updates, from the oracle, which writes down what the rule remembers."""
        options = _ARGUMENTS[self.rule] | self.options
        if self.rule == "adagrad":
            options["initial_accumulator_value"] = self.initial_sum
        expected: Array = getattr(oracle, self.rule)(start, gradients, self.lr, slots=slots, **options)
        return expected

    def fills(self) -> dict[str, float]:
        """The slots the rule has been promised, and what they hold at first."""
        names: dict[str, dict[str, bool]] = {
            "sgd": {"momentum_buffer": bool(self.options.get("momentum"))},
            "adam": {"exp_avg": True, "exp_avg_sq": True, "max_exp_avg_sq": bool(self.options.get("amsgrad"))},
            "rmsprop": {
                "square_avg": True,
                "momentum_buffer": bool(self.options.get("momentum")),
                "grad_avg": bool(self.options.get("centered")),
            },
            "adagrad": {"sum": True},
        }
        return {name: self.initial_sum for name, exists in names[self.rule].items() if exists}


CASES: dict[str, Case] = {
    "sgd": Case("sgd", 0.02),
    "sgd-decay": Case("sgd", 0.02, {"weight_decay": 0.1}),
    "sgd-momentum": Case("sgd", 0.02, {"momentum": 0.9}),
    "sgd-nesterov": Case("sgd", 0.02, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "sgd-dampening": Case("sgd", 0.02, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "sgd-dampening-without-momentum": Case("sgd", 0.02, {"dampening": 0.3}),
    "adam": Case("adam", 0.02),
    "adam-betas-decay": Case("adam", 0.02, {"betas": (0.4, 0.95), "weight_decay": 0.1}),
    "adam-amsgrad": Case("adam", 0.02, {"amsgrad": True, "weight_decay": 0.1}),
    "adam-decoupled": Case("adam", 0.02, {"decoupled": True, "weight_decay": 0.3}),
    "adam-decoupled-amsgrad": Case("adam", 0.02, {"decoupled": True, "weight_decay": 0.3, "amsgrad": True}),
    "rmsprop": Case("rmsprop", 0.01),
    "rmsprop-alpha-decay": Case("rmsprop", 0.01, {"alpha": 0.9, "weight_decay": 0.1}),
    "rmsprop-momentum": Case("rmsprop", 0.01, {"momentum": 0.9}),
    "rmsprop-centered": Case("rmsprop", 0.01, {"centered": True, "alpha": 0.9}),
    "rmsprop-centered-momentum": Case(
        "rmsprop", 0.01, {"centered": True, "alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1}
    ),
    "adagrad": Case("adagrad", 0.05),
    "adagrad-lr-decay": Case("adagrad", 0.05, {"lr_decay": 0.1, "weight_decay": 0.1}),
    "adagrad-initial-sum": Case("adagrad", 0.05, initial_sum=0.1),
}

EPSILONS: dict[str, Case] = {
    "adam": Case("adam", 0.02, {"eps": 1e-2}),
    "adam-amsgrad": Case("adam", 0.02, {"eps": 1e-2, "amsgrad": True}),
    "adam-decoupled": Case("adam", 0.02, {"eps": 1e-2, "decoupled": True, "weight_decay": 0.3}),
    "adam-epsilon-hat": Case("adam", 0.02, {"eps": 1e-2, "epsilon_hat": True}),
    "adam-epsilon-hat-amsgrad": Case("adam", 0.02, {"eps": 1e-2, "epsilon_hat": True, "amsgrad": True}),
    "adam-epsilon-hat-decoupled": Case(
        "adam", 0.02, {"eps": 1e-2, "epsilon_hat": True, "decoupled": True, "weight_decay": 0.3}
    ),
    "rmsprop": Case("rmsprop", 0.01, {"eps": 1e-2}),
    "rmsprop-centered": Case("rmsprop", 0.01, {"eps": 1e-2, "centered": True, "momentum": 0.9}),
    "rmsprop-inside": Case("rmsprop", 0.01, {"eps": 1e-2, "epsilon_inside": True}),
    "rmsprop-inside-centered": Case("rmsprop", 0.01, {"eps": 1e-2, "epsilon_inside": True, "centered": True}),
    "adagrad": Case("adagrad", 0.05, {"eps": 1e-2}, initial_sum=0.1),
}


def draw(
    updates: int, shapes: Sequence[tuple[int, ...]] = SHAPES, dtype: str = "float64", seed: int = 0
) -> tuple[list[Array], list[list[Any]]]:
    """Start values, and for each update a gradient for each parameter, of sizes from 1e-3 to 10."""
    generator = np.random.default_rng(seed)
    starts = [np.asarray(generator.normal(size=shape), dtype) for shape in shapes]
    scales = 10.0 ** generator.uniform(-3, 1, size=len(shapes))
    gradients: list[list[Any]] = [
        [
            np.asarray(scale * (generator.normal(size=shape) + 0.3), dtype)
            for scale, shape in zip(scales, shapes, strict=True)
        ]
        for _ in range(updates)
    ]
    return starts, gradients


def assert_close(received: Sequence[Array], expected: Sequence[Array], tolerance: float, what: str = "") -> None:
    """Within the tolerance, relative to 1 or to the expected value, whichever is larger."""
    assert len(received) == len(expected)
    for i, (a, b) in enumerate(zip(received, expected, strict=True)):
        assert a.shape == b.shape, f"{what} {i}: shape {a.shape}, expected {b.shape}"
        error = np.abs(a - b) / np.maximum(1.0, np.abs(b))
        assert not np.max(error, initial=0.0) >= tolerance, f"{what} {i}: received\n{a}\nexpected\n{b}"
        assert not np.isnan(error).any(), f"{what} {i}: received\n{a}\nexpected\n{b}"
