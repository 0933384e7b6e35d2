"""Stochastic gradient descent, with momentum as torch defines it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbptt.errors import ConfigurationError
from tbptt.optim.base import Optimizer
from tbptt.optim.groups import Group, Rate, check_not_negative
from tbptt.types import Number, Parameter, Tensor, Tree


class SGD(Optimizer):
    """g += wd·p; buf = μ·buf + (1 − dampening)·g (first: buf = g); p −= lr·buf, with nesterov p −= lr·(g + μ·buf).

    The rate stands outside the momentum, so a changed rate acts at once (Keras has it inside).

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optim.SGD([nn.Parameter(np.ones(2))], lr=0.1, momentum=0.9, nesterov=True).lr
    0.1

    Source: `torch.optim.SGD`; Sutskever et al. 2013 for Nesterov's momentum in this form.

    Raises:
        ConfigurationError: if a number is negative, or nesterov is asked for without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable[Any] | Tree,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
            },
        )

    def fills(self, group: Group) -> dict[str, float]:
        """A momentum buffer, if there is momentum."""
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def rule(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        group: Group,
    ) -> None:
        """The engine's `sgd`."""
        self.backend.optimizers.sgd(
            parameters,
            gradients,
            slots,
            lr,
            group["momentum"],
            group["dampening"],
            group["nesterov"],
            group["weight_decay"],
        )

    def check(self, group: Group) -> None:
        """Numbers from 0 up; nesterov needs momentum and no dampening."""
        super().check(group)
        check_not_negative(group, "momentum", "weight_decay")
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            raise ConfigurationError(
                f"nesterov=True needs a momentum and no dampening; received momentum={group['momentum']}, "
                f"dampening={group['dampening']}. Give for example momentum=0.9."
            )
