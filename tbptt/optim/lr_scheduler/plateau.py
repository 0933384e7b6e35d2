"""A smaller rate when a metric no longer improves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, SupportsFloat

from tbptt.errors import ConfigurationError
from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import checked_optimizer, not_negative, number, one_of, per_group, whole
from tbptt.optim.lr_scheduler.base import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """Times `factor` once the metric has not improved for more than `patience` steps.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.5)
    >>> scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> rates = []
    >>> for loss in (3.0, 2.0, 2.5, 2.5, 1.9):
    ...     scheduler.step(loss)
    ...     rates.append(optimizer.lr)
    >>> rates
    [0.5, 0.5, 0.5, 0.25, 0.25]

    NaN is no improvement. `last_epoch` counts the metrics seen. Keras' callback of this name acts at `patience` bad steps,
    one earlier, and its threshold is absolute.

    Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`.

    Args:
        optimizer: whose rates are set.
        mode: ``"min"`` if a smaller metric is better, ``"max"`` if a larger one is.
        factor: what the rates are multiplied by, from 0 and below 1.
        patience: bad steps in a row that are let pass.
        threshold: how far below (above) the best so far is an improvement.
        threshold_mode: ``"rel"``: a fraction of the best, ``"abs"``: a difference.
        cooldown: steps after a reduction in which bad ones do not count.
        min_lr: no rate gets below this; a number, or a list with one for each group.
        eps: a reduction by no more than this is not made.

    Raises:
        ConfigurationError: if an argument is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = checked_optimizer(optimizer, "ReduceLROnPlateau")
        self.mode = one_of("mode", mode, "min", "max")
        self.factor = number("factor", factor, lambda x: 0 <= x < 1, "from 0 and below 1")
        self.patience = whole("patience", patience, 0)
        self.threshold = not_negative("threshold", threshold)
        self.threshold_mode = one_of("threshold_mode", threshold_mode, "rel", "abs")
        self.cooldown = whole("cooldown", cooldown, 0)
        self.min_lrs = [not_negative("min_lr", rate) for rate in per_group("min_lr", min_lr, optimizer)]
        self.eps = not_negative("eps", eps)
        self.last_epoch = 0
        self.base_lrs = self._current()
        self._last_lr = self._current()
        self.best = self._worst
        self.num_bad_epochs = 0
        self.cooldown_counter = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was so lately that bad steps do not count."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]
        """Look at the metric, a number or a scalar tensor, once after each validation; reduce the rates if it is time.

        Raises:
            ConfigurationError: if it is no number.
        """
        current = self._metric(metrics)
        rates = self._current()
        self.last_epoch += 1
        if self._is_better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            rates = [self._reduced(rate, least) for rate, least in zip(rates, self.min_lrs, strict=True)]
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._write(rates)

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler.state_dict`; `best` is None before there is one, as JSON has no infinity."""
        return {**super().state_dict(), "best": None if self.best == self._worst else self.best}

    def _take_state(self, state: Mapping[str, Any]) -> None:
        super()._take_state(state)
        if state["best"] is None:
            self.best = self._worst

    @property
    def _worst(self) -> float:
        return inf if self.mode == "min" else -inf

    def _is_better(self, metric: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        margin = sign * self.threshold
        limit = self.best * (1.0 + margin) if self.threshold_mode == "rel" else self.best + margin
        return metric < limit if self.mode == "min" else metric > limit

    def _reduced(self, rate: float, least: float) -> float:
        reduced = max(rate * self.factor, least)
        return reduced if rate - reduced > self.eps else rate

    @staticmethod
    def _metric(metrics: Any) -> float:
        try:
            return float(metrics)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"ReduceLROnPlateau.step takes the metric it watches, a number or a scalar tensor; received {metrics!r}."
            ) from error
