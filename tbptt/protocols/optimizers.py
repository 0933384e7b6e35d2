"""What an engine promises about optimizers: the update rules of the field, one definition on every engine.

A rule updates its parameters in place. It is a function of `parameters`, `gradients` and `slots`, lists of one length:
the core owns hyperparameters, groups and learning rates (`tbptt.optim`), the adapter owns the arithmetic. Gradients
have their parameter's shape and dtype, the core has checked it; their memory may lie in any order, and they are not
changed.

`slots` maps a name to one entry per parameter, made by `create_slots`; ``slots["step"]`` counts, per parameter, the
updates it has had. A parameter whose gradient is None is left alone, its slots too (as in torch).

`lr` may be a Python number or a scalar tensor (in a compiled step it arrives as an input, so that a changed rate
causes no new trace). g = gradient, t = the parameter's own step, counted from 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tbptt.types import Array, Number, Parameter, Tensor


class Optimizers(Protocol):
    """The module ``optimizers`` of an adapter."""

    def create_slots(self, parameters: Sequence[Parameter], fills: Mapping[str, float]) -> dict[str, Any]:
        """One engine-side buffer per parameter and name, shaped like the parameter and filled; and ``"step"``, zeros.

        What the rules get is this object, not a copy: an adapter may keep more in it.
        """
        ...

    def slots_to_numpy(self, slots: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Copies, one array per parameter and name: ``"step"`` int64 of shape (), halves as float32."""
        ...

    def slots_from_numpy(self, slots: Mapping[str, Any], values: Mapping[str, Sequence[Array]]) -> None:
        """Write values, as `slots_to_numpy` gave them, into existing slots."""
        ...

    def sgd(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        momentum: float,
        dampening: float,
        nesterov: bool,
        weight_decay: float,
    ) -> None:
        """Descent with g += wd·p; buf = μ·buf + (1 − dampening)·g (first step: buf = g); g = buf, or g + μ·buf if
        nesterov; p −= lr·g.

        Slot ``momentum_buffer`` exists only when momentum is not 0.
        """
        ...

    def adam(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        decoupled: bool,
        amsgrad: bool,
        epsilon_hat: bool,
    ) -> None:
        """Adam: p −= lr/(1 − β1^t) · m / (√v/√(1 − β2^t) + ε).

        `weight_decay` goes into g (Adam, L2), or with `decoupled` first p −= lr·wd·p (AdamW). `amsgrad` uses the
        running maximum of v. `epsilon_hat` means ε is added to the uncorrected √v:
        lr·√(1 − β2^t)/(1 − β1^t) · m / (√v + ε).
        Slots ``exp_avg``, ``exp_avg_sq``, and with amsgrad ``max_exp_avg_sq``.
        """
        ...

    def rmsprop(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
        epsilon_inside: bool,
    ) -> None:
        """With v = α·v + (1 − α)·g²: p −= lr·g/(√v + ε), or lr·g/√(v + ε) if `epsilon_inside`; as torch for the rest.

        Slots ``square_avg``, with momentum ``momentum_buffer``, if centered ``grad_avg``.
        """
        ...

    def adagrad(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        lr_decay: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        """With s += g²: p −= lr/(1 + (t − 1)·lr_decay) · g/(√s + ε). Slot ``sum``, filled with the initial value."""
        ...

    def global_norm(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """√Σ‖g‖² over all of them, a scalar tensor on the gradients' device; 0 when there is none."""
        ...

    def scale(self, gradients: Sequence[Tensor | None], factor: Tensor, donate: bool = False) -> list[Tensor | None]:
        """Each gradient times a scalar tensor, in the gradient's dtype.

        New tensors, the given ones are left alone; with `donate` the caller has no more use for what it gave, whose
        memory may be written. The same goes for clipping below.
        """
        ...

    def clip_by_global_norm(
        self, gradients: Sequence[Tensor | None], max_norm: float, donate: bool = False
    ) -> tuple[list[Tensor | None], Tensor]:
        """Each gradient times min(1, max_norm/norm), and the norm. NaN and infinity go by the formula."""
        ...

    def clip(self, gradients: Sequence[Tensor | None], limit: float, donate: bool = False) -> list[Tensor | None]:
        """Each element cut to [−limit, limit]."""
        ...
