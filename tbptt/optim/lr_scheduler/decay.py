"""Decay by a factor: after every step, after so many, at milestones, or by a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import ClassVar

from tbptt.errors import ConfigurationError
from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import checked_optimizer, not_negative, per_group, whole
from tbptt.optim.lr_scheduler.base import LRScheduler
from tbptt.types import Number


class LambdaLR(LRScheduler):
    """The base rate times a function of the step.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.5)
    >>> scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> scheduler.step()
    >>> optimizer.lr
    0.25

    The functions are not in the state: the script that made them will make them again.

    Source: `torch.optim.lr_scheduler.LambdaLR`.

    Args:
        optimizer: whose rates are set.
        lr_lambda: takes the step, from 0, and returns the factor; or a list of such functions, one for each group.
        last_epoch: as in `LRScheduler`.

    Raises:
        ConfigurationError: if it is no function, the list does not fit, or (also in `step`) it returns no number of 0 or more.
    """

    left_out: ClassVar[frozenset[str]] = LRScheduler.left_out | {"lr_lambdas"}

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], Number] | Sequence[Callable[[int], Number]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = per_group("lr_lambda", lr_lambda, checked_optimizer(optimizer, "LambdaLR"))
        for function in self.lr_lambdas:
            if not callable(function):
                raise ConfigurationError(
                    f"lr_lambda is {function!r}; expected a function of the step that returns the factor, or one for each "
                    f"parameter group."
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The base rate times f(step)."""
        return [
            base_lr * self._factor(function) for base_lr, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def _factor(self, function: Callable[[int], Number]) -> float:
        factor = function(self.last_epoch)
        if not isinstance(factor, Real):
            raise ConfigurationError(
                f"The function given as lr_lambda returned {factor!r} at step {self.last_epoch}; expected a number, the "
                f"factor on the base rate."
            )
        return float(factor)


class StepLR(LRScheduler):
    """Times gamma every `step_size` steps: base · gamma^⌊step / step_size⌋.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.5)
    >>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> optimizer.lr
    0.125

    Source: `torch.optim.lr_scheduler.StepLR`.

    Raises:
        ConfigurationError: if `step_size` is no whole number from 1 up or `gamma` is negative.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = whole("step_size", step_size, 1)
        self.gamma = not_negative("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Times gamma at multiples of step_size."""
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [rate * self.gamma if due else rate for rate in self._current()]


class MultiStepLR(LRScheduler):
    """Times gamma at each milestone: base · gamma^(number of milestones ≤ step).

    Keras' PiecewiseConstantDecay changes one step later.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.5)
    >>> scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
    >>> scheduler.step()
    >>> optimizer.lr
    0.25

    Source: `torch.optim.lr_scheduler.MultiStepLR`.

    Raises:
        ConfigurationError: if a milestone is no whole number from 0 up or `gamma` is negative.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise ConfigurationError(f"milestones is {milestones!r}; expected a list of steps, for example [30, 80].")
        self.milestones = sorted(whole("A milestone", milestone, 0) for milestone in milestones)
        self.gamma = not_negative("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Times gamma at a milestone, as often as it was given."""
        factor = self.gamma ** self.milestones.count(self.last_epoch)
        return [rate * factor for rate in self._current()]


class ExponentialLR(LRScheduler):
    """Times gamma at every step: base · gamma^step.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.5)
    >>> scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler.step()
    >>> optimizer.lr
    0.25

    Source: `torch.optim.lr_scheduler.ExponentialLR`.

    Raises:
        ConfigurationError: if `gamma` is negative.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = not_negative("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Times gamma, but not in the initial step."""
        return [rate if self._is_initial else rate * self.gamma for rate in self._current()]
