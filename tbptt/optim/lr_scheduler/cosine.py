"""Half a cosine down, and up again."""

from __future__ import annotations

import math

from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import not_negative, whole
from tbptt.optim.lr_scheduler.base import LRScheduler


class CosineAnnealingLR(LRScheduler):
    """eta_min + (base − eta_min) · (1 + cos(π · step / T_max)) / 2: down to `eta_min` at `T_max`, and back in as many steps.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=1.0)
    >>> scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(scheduler.get_last_lr()[0], 12))
    ...     scheduler.step()
    >>> rates
    [1.0, 0.5, 0.0, 0.5, 1.0]

    It does not stay at `eta_min`, which is a rate and no fraction of one (Keras' CosineDecay stays, and alpha is a fraction).

    Source: `torch.optim.lr_scheduler.CosineAnnealingLR`; Loshchilov & Hutter 2017, without the restarts.

    Raises:
        ConfigurationError: if `T_max` is no whole number from 1 up or `eta_min` is negative.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803 (torch's name)
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = whole("T_max", T_max, 1)
        self.eta_min = not_negative("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The distance to eta_min times the ratio of this step's height and the last one's.

        From the bottom, where the height is 0, the first stair of the rise.
        """
        if self._is_initial:
            return self._current()
        if (self.last_epoch - 1) % (2 * self.T_max) == self.T_max:
            stair = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                rate + (base - self.eta_min) * stair for rate, base in zip(self._current(), self.base_lrs, strict=True)
            ]
        ratio = self._height(self.last_epoch) / self._height(self.last_epoch - 1)
        return [self.eta_min + ratio * (rate - self.eta_min) for rate in self._current()]

    def _height(self, step: int) -> float:
        return 1 + math.cos(math.pi * step / self.T_max)
