"""One cycle: up to a large rate, and down to nearly none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tbptt.errors import ConfigurationError
from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import checked_optimizer, number, one_of, per_group, whole
from tbptt.optim.lr_scheduler.base import LRScheduler, set_initial_rates


class OneCycleLR(LRScheduler):
    """From max_lr / div_factor up to `max_lr`, then down to max_lr / div_factor / final_div_factor; a step is an update.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.Adam([nn.Parameter(np.ones(2))])
    >>> scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, pct_start=0.3, div_factor=10)
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(9):
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> [round(rate, 3) for rate in rates]
    [0.1, 0.55, 1.0, 0.95, 0.812, 0.611, 0.389, 0.188, 0.05, 0.0]

    The rates the optimizer was made with do not count, and schedulers made after this one begin with max_lr / div_factor,
    as in torch. Momentum stays as it is, which in torch asks for ``cycle_momentum=False``: in a compiled step every
    hyperparameter but the rate is a constant.

    Source: `torch.optim.lr_scheduler.OneCycleLR`; Smith & Topin 2018.

    Args:
        optimizer: whose rates are set.
        max_lr: the largest rate, or a list with one for each group.
        total_steps: steps of the whole run; or give both of the next two, whose product it is.
        epochs: epochs of the run.
        steps_per_epoch: steps of an epoch.
        pct_start: the part of the run in which the rate rises, from 0 to 1.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: only False, torch's default being True.
        div_factor: the largest rate over the first.
        final_div_factor: the first rate over the last.
        three_phase: go down as slowly as up, to the first rate, and use the rest of the run for the way to the last.
        last_epoch: as in `LRScheduler`.

    Raises:
        ConfigurationError: if a number is out of range, the steps are not known, or `cycle_momentum` is asked for; in `step`,
            if there were more than `total_steps`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = False,
        *,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        checked_optimizer(optimizer, "OneCycleLR")
        if cycle_momentum:
            raise ConfigurationError(
                "OneCycleLR cannot cycle the momentum: in a compiled step every hyperparameter but the learning rate is a "
                "constant, so the change would be lost. Leave out cycle_momentum=True."
            )
        self.total_steps = _steps(total_steps, epochs, steps_per_epoch)
        self.pct_start = number("pct_start", pct_start, lambda x: 0 <= x <= 1, "from 0 to 1")
        self.anneal_strategy = one_of("anneal_strategy", anneal_strategy, "cos", "linear")
        self.three_phase = bool(three_phase)
        self.max_lrs = [_positive("max_lr", rate) for rate in per_group("max_lr", max_lr, optimizer)]
        first = [rate / _positive("div_factor", div_factor) for rate in self.max_lrs]
        self.min_lrs = [rate / _positive("final_div_factor", final_div_factor) for rate in first]
        set_initial_rates(optimizer, first)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The way from one corner to the next, at this step."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ConfigurationError(
                f"OneCycleLR was made for {self.total_steps} steps and is asked for step {step}. Give the steps of the whole "
                f"run: total_steps, or epochs and steps_per_epoch; and call step() once after each."
            )
        corners = self._corners()
        index = next((i for i, (end, _) in enumerate(corners) if step <= end), len(corners) - 1)
        start, begin = corners[index - 1] if index else (0.0, self.base_lrs)
        end, target = corners[index]
        part = (step - start) / (end - start) if end > start else 1.0
        # torch goes one step beyond the last corner, to a rate no update uses; a line would fall below 0 there
        return [max(self._between(a, b, part), 0.0) for a, b in zip(begin, target, strict=True)]

    def _corners(self) -> list[tuple[float, list[float]]]:
        """The steps at which a phase ends, and the rates there. The first phases may end between two steps."""
        rise = self.pct_start * self.total_steps
        corners = [(rise - 1, self.max_lrs)]
        if self.three_phase:
            corners.append((2 * rise - 2, self.base_lrs))
        return [*corners, (self.total_steps - 1, self.min_lrs)]

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (1 + math.cos(math.pi * part))


def _steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        return whole("total_steps", total_steps, 1)
    if epochs is None or steps_per_epoch is None:
        raise ConfigurationError(
            f"OneCycleLR must know how long the run is: expected total_steps, or both epochs and steps_per_epoch; received "
            f"epochs={epochs}, steps_per_epoch={steps_per_epoch}."
        )
    return whole("epochs", epochs, 1) * whole("steps_per_epoch", steps_per_epoch, 1)


def _positive(name: str, value: float) -> float:
    return number(name, value, lambda x: x > 0, "above 0")
