"""Warm-up: a smaller rate for the first steps, constant or rising."""

from __future__ import annotations

from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import number, whole
from tbptt.optim.lr_scheduler.base import LRScheduler


class ConstantLR(LRScheduler):
    """base · factor for `total_iters` steps, base from then on.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.5)
    >>> scheduler = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> rates = []
    >>> for _ in range(3):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.25, 0.25, 0.5]

    Source: `torch.optim.lr_scheduler.ConstantLR`.

    Raises:
        ConfigurationError: if `factor` is not above 0 and at most 1 (torch takes 0 and then divides by it), or
            `total_iters` is no whole number from 1 up.
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.factor = number("factor", factor, lambda x: 0 < x <= 1, "above 0 and at most 1")
        self.total_iters = whole("total_iters", total_iters, 1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Times factor at step 0, divided by it again at step total_iters."""
        change = {0: self.factor, self.total_iters: 1.0 / self.factor}.get(self.last_epoch, 1.0)
        return [rate * change for rate in self._current()]


class LinearLR(LRScheduler):
    """From base · start_factor to base · end_factor in `total_iters` equal steps, and constant from then on.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=1.0)
    >>> scheduler = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 1.0]

    Source: `torch.optim.lr_scheduler.LinearLR`.

    Raises:
        ConfigurationError: if `start_factor` is not above 0 and at most 1, `end_factor` not from 0 to 1, or `total_iters` no
            whole number from 1 up.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("start_factor", start_factor, lambda x: 0 < x <= 1, "above 0 and at most 1")
        self.end_factor = number("end_factor", end_factor, lambda x: 0 <= x <= 1, "from 0 to 1")
        self.total_iters = whole("total_iters", total_iters, 1)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Times the ratio of this step's factor and the last one's."""
        if self.last_epoch == 0:
            return [rate * self.start_factor for rate in self._current()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current()
        rise = self.end_factor - self.start_factor
        ratio = 1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise)
        return [rate * max(ratio, 0.0) for rate in self._current()]  # where it ends at 0, rounding may leave -1e-16
