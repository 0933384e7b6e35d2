"""Adam, and AdamW, whose weight decay goes past the moments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tbptt.errors import ConfigurationError
from tbptt.optim.base import Optimizer
from tbptt.optim.groups import Group, Rate, check_decay, check_not_negative
from tbptt.types import Number, Parameter, Tensor, Tree


class Adam(Optimizer):
    """m = β1·m + (1 − β1)·g; v = β2·v + (1 − β2)·g²; p −= lr/(1 − β1^t) · m / (√v/√(1 − β2^t) + ε).

    `weight_decay` is added to g (L2). `amsgrad` divides by the largest v so far. With `epsilon_hat` ε is added to the
    uncorrected √v instead, as in Keras and in the shortened form at the end of the paper's section 2.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optim.Adam([nn.Parameter(np.ones(2))], lr=2e-3, betas=(0.9, 0.99)).lr
    0.002

    Source: Kingma & Ba 2015; `torch.optim.Adam`; Reddi et al. 2018 for amsgrad.

    Raises:
        ConfigurationError: if a number is negative or a beta is not in [0, 1).
    """

    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Any] | Tree,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        epsilon_hat: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "epsilon_hat": epsilon_hat,
            },
        )

    def fills(self, group: Group) -> dict[str, float]:
        """Both moments; with amsgrad the largest second one."""
        return {"exp_avg": 0.0, "exp_avg_sq": 0.0} | ({"max_exp_avg_sq": 0.0} if group["amsgrad"] else {})

    def rule(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        group: Group,
    ) -> None:
        """The engine's `adam`."""
        self.backend.optimizers.adam(
            parameters,
            gradients,
            slots,
            lr,
            group["betas"],
            group["eps"],
            group["weight_decay"],
            self.decoupled,
            group["amsgrad"],
            group["epsilon_hat"],
        )

    def check(self, group: Group) -> None:
        """Numbers from 0 up; two betas that decay."""
        super().check(group)
        check_not_negative(group, "eps", "weight_decay")
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ConfigurationError(f"betas is {betas!r}; expected two numbers, for example (0.9, 0.999).")
        for i, beta in enumerate(betas):
            check_decay(f"betas[{i}]", beta)


class AdamW(Adam):
    """Adam with decoupled weight decay: p −= lr·wd·p first, and g is left as it is.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optim.AdamW([nn.Parameter(np.ones(2))]).param_groups[0]["weight_decay"]
    0.01

    Source: Loshchilov & Hutter 2019; `torch.optim.AdamW`.

    Raises:
        ConfigurationError: as `Adam`.
    """

    decoupled: ClassVar[bool] = True

    def __init__(
        self,
        params: Iterable[Any] | Tree,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        epsilon_hat: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, epsilon_hat)
