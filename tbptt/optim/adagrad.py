"""Adagrad as torch defines it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbptt.optim.base import Optimizer
from tbptt.optim.groups import Group, Rate, check_not_negative
from tbptt.types import Number, Parameter, Tensor, Tree


class Adagrad(Optimizer):
    """s += g²; p −= lr/(1 + (t − 1)·lr_decay) · g/(√s + ε), from s = `initial_accumulator_value` (Keras begins at 0.1).

    `weight_decay` is added to g.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optim.Adagrad([nn.Parameter(np.ones(2))], initial_accumulator_value=0.1).lr
    0.01

    Source: Duchi et al. 2011; `torch.optim.Adagrad`.

    Raises:
        ConfigurationError: if a number is negative.
    """

    def __init__(
        self,
        params: Iterable[Any] | Tree,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
            },
        )

    def fills(self, group: Group) -> dict[str, float]:
        """The sum of squares, from its initial value."""
        return {"sum": group["initial_accumulator_value"]}

    def rule(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        group: Group,
    ) -> None:
        """The engine's `adagrad`."""
        self.backend.optimizers.adagrad(
            parameters, gradients, slots, lr, group["lr_decay"], group["eps"], group["weight_decay"]
        )

    def check(self, group: Group) -> None:
        """Numbers from 0 up."""
        super().check(group)
        check_not_negative(group, "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
