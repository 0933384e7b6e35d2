"""RMSprop as torch defines it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbptt.optim.base import Optimizer
from tbptt.optim.groups import Group, Rate, check_decay, check_not_negative
from tbptt.types import Number, Parameter, Tensor, Tree


class RMSprop(Optimizer):
    """v = α·v + (1 − α)·g²; p −= lr·g/(√v + ε), with `epsilon_inside` p −= lr·g/√(v + ε) as in Keras.

    `centered` takes v − (running mean of g)² in place of v (Graves 2013). With `momentum`, buf = μ·buf + g/(√v + ε) and
    p −= lr·buf. `weight_decay` is added to g.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optim.RMSprop([nn.Parameter(np.ones(2))], alpha=0.9, eps=1e-7, epsilon_inside=True).lr
    0.01

    Source: Tieleman & Hinton 2012; `torch.optim.RMSprop`.

    Raises:
        ConfigurationError: if a number is negative or alpha is not in [0, 1).
    """

    def __init__(
        self,
        params: Iterable[Any] | Tree,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        epsilon_inside: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "epsilon_inside": epsilon_inside,
            },
        )

    def fills(self, group: Group) -> dict[str, float]:
        """The mean square; the mean if centered; a buffer if there is momentum."""
        slots = ["square_avg"] + ["grad_avg"] * bool(group["centered"]) + ["momentum_buffer"] * bool(group["momentum"])
        return dict.fromkeys(slots, 0.0)

    def rule(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        group: Group,
    ) -> None:
        """The engine's `rmsprop`."""
        self.backend.optimizers.rmsprop(
            parameters,
            gradients,
            slots,
            lr,
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["centered"],
            group["epsilon_inside"],
        )

    def check(self, group: Group) -> None:
        """Numbers from 0 up; an alpha that decays."""
        super().check(group)
        check_not_negative(group, "eps", "weight_decay", "momentum")
        check_decay("alpha", group["alpha"])
