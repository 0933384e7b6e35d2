"""Several schedulers in one: after each other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tbptt.errors import ConfigurationError, StructureError
from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import checked_optimizer, whole
from tbptt.optim.lr_scheduler.base import LRScheduler, initial_rates, write_rates
from tbptt.optim.lr_scheduler.plateau import ReduceLROnPlateau


class Combined(LRScheduler):
    """A scheduler made of others, whose states are in its own."""

    left_out: ClassVar[frozenset[str]] = LRScheduler.left_out | {"_schedulers"}

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """As `LRScheduler.state_dict`, with the schedulers' states in a list."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def _check_state(self, state: Any) -> None:
        super()._check_state(state)
        if len(state["_schedulers"]) != len(self._schedulers):
            raise StructureError(
                f"The state of {type(self).__name__} has {len(state['_schedulers'])} schedulers; expected "
                f"{len(self._schedulers)}."
            )
        for scheduler, own in zip(self._schedulers, state["_schedulers"], strict=True):
            scheduler._check_state(own)

    def _take_state(self, state: Mapping[str, Any]) -> None:
        super()._take_state({name: value for name, value in state.items() if name != "_schedulers"})
        for scheduler, own in zip(self._schedulers, state["_schedulers"], strict=True):
            scheduler._take_state(own)

    def _rewind(self) -> None:
        super()._rewind()
        for scheduler in self._schedulers:
            scheduler._rewind()


class SequentialLR(Combined):
    """One scheduler until the first milestone, then the next, each from its own beginning.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> from tbptt.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=1.0)
    >>> warmup = LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> decay = ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = SequentialLR(optimizer, [warmup, decay], milestones=[3])
    >>> rates = []
    >>> for _ in range(6):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]

    Source: `torch.optim.lr_scheduler.SequentialLR`. Here combined schedulers may be among the schedulers, too.

    Args:
        optimizer: the one all schedulers belong to.
        schedulers: in order. They are stepped by this one alone.
        milestones: the step at which each scheduler after the first takes over; one less than schedulers.
        last_epoch: only -1: to resume, use `load_state_dict`.

    Raises:
        ConfigurationError: if there are no schedulers or one needs a metric, belongs to another optimizer, or is none; if
            milestones are too few, too many, not in order or no whole numbers from 0 up.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if last_epoch != -1:
            raise ConfigurationError(
                f"last_epoch is {last_epoch!r}; SequentialLR can only be made at the start, with -1. To resume, load its state."
            )
        self.optimizer = checked_optimizer(optimizer, "SequentialLR")
        self._schedulers = _checked_schedulers("SequentialLR", schedulers, optimizer)
        self._milestones = [whole("A milestone", milestone, 0) for milestone in milestones]
        if len(self._milestones) != len(self._schedulers) - 1 or self._milestones != sorted(self._milestones):
            raise ConfigurationError(
                f"milestones is {milestones!r} for {len(self._schedulers)} schedulers; expected {len(self._schedulers) - 1} "
                f"steps in rising order, at which the next scheduler takes over."
            )
        self.base_lrs = initial_rates(optimizer)
        write_rates(optimizer, self.base_lrs)
        self._rewind()
        self._initial_step()

    def step(self) -> None:
        """Step the scheduler whose turn it is; at a milestone, start the next one."""
        step = self.last_epoch + 1
        index = bisect_right(self._milestones, step)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == step:
            write_rates(self.optimizer, scheduler.base_lrs)
            scheduler._rewind()
            scheduler._initial_step()
        else:
            scheduler.step()
        self.last_epoch = step
        self._last_lr = scheduler.get_last_lr()

    def _initial_step(self) -> None:
        scheduler = self._schedulers[bisect_right(self._milestones, 0)]
        scheduler._initial_step()
        self.last_epoch = 0
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(Combined):
    """All schedulers at every step, in order, each changing what the one before it left.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> from tbptt.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=1.0)
    >>> scheduler = ChainedScheduler([ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, gamma=0.5)])
    >>> rates = []
    >>> for _ in range(4):
    ...     rates += scheduler.get_last_lr()
    ...     scheduler.step()
    >>> rates
    [0.5, 0.25, 0.25, 0.125]

    Source: `torch.optim.lr_scheduler.ChainedScheduler`.

    Args:
        schedulers: in order. They are stepped by this one alone.
        optimizer: the one all belong to; the first one's if left out.

    Raises:
        ConfigurationError: if there are no schedulers, or one needs a metric, belongs to another optimizer, or is none.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._schedulers = _checked_schedulers("ChainedScheduler", schedulers, optimizer)
        self.optimizer = self._schedulers[0].optimizer
        self.base_lrs = list(self._schedulers[0].base_lrs)
        self._look()

    def step(self) -> None:
        """Step every scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._look()

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._look()

    def _look(self) -> None:
        self.last_epoch = self._schedulers[0].last_epoch
        self._last_lr = self._current()


def _checked_schedulers(name: str, schedulers: Any, optimizer: Optimizer | None) -> list[LRScheduler]:
    found = list(schedulers) if isinstance(schedulers, Iterable) else [schedulers]
    if not found:
        raise ConfigurationError(f"{name} was given no scheduler; expected a list of at least one.")
    for i, scheduler in enumerate(found):
        if not isinstance(scheduler, LRScheduler):
            raise ConfigurationError(
                f"{name} takes schedulers of tbptt.optim.lr_scheduler; number {i} is a {type(scheduler).__module__}."
                f"{type(scheduler).__qualname__}."
            )
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ConfigurationError(
                f"{name} steps without a metric, which its scheduler {i}, ReduceLROnPlateau, needs. Step that one by itself."
            )
        if scheduler.optimizer is not (optimizer or found[0].optimizer):
            raise ConfigurationError(
                f"Scheduler {i} of {name}, a {type(scheduler).__name__}, belongs to another optimizer. All must set the "
                f"rates of one."
            )
    return found
