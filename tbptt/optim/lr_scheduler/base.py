"""What every scheduler shares: where it begins, how it steps, its state."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from tbptt.errors import ConfigurationError, StructureError
from tbptt.optim.base import Optimizer
from tbptt.optim.lr_scheduler.arguments import checked_optimizer, current_rates, whole

# The rates an optimizer had before its first scheduler: torch's group["initial_lr"]. Later schedulers begin with them too,
# whatever the first has done meanwhile. They are not in the groups, because an optimizer's state names all that is there,
# and a state saved with a scheduler must fit an optimizer without one.
_initial_rates: WeakKeyDictionary[Optimizer, list[float]] = WeakKeyDictionary()


class LRScheduler:
    """Base of all schedulers. A subclass says in `get_lr` what the rates are at ``self.last_epoch``.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> class Halves(optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base_lr / 2**self.last_epoch for base_lr in self.base_lrs]
    >>> optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=0.8)
    >>> scheduler = Halves(optimizer)
    >>> scheduler.step()
    >>> optimizer.lr, scheduler.last_epoch
    (0.4, 1)

    Source: `torch.optim.lr_scheduler.LRScheduler`.

    Args:
        optimizer: whose ``param_groups[i]["lr"]`` are set.
        last_epoch: -1 at the start. Another number goes on from there on an optimizer that already had a scheduler; to
            resume a saved run, make the scheduler as at the start and call `load_state_dict`.

    Raises:
        ConfigurationError: if it is no optimizer of this library, a rate of it is a function, or `last_epoch` is another
            number and there was no scheduler before.
    """

    optimizer: Optimizer
    last_epoch: int
    """Steps done so far, whatever a step is to the caller: an epoch or an update."""
    base_lrs: list[float]
    """The rate of each group before any scheduler changed it."""
    left_out: ClassVar[frozenset[str]] = frozenset({"optimizer", "_is_initial"})
    """Attributes that are not in the state."""

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        self.optimizer = checked_optimizer(optimizer, name)
        self.last_epoch = whole("last_epoch", last_epoch, -1)
        if last_epoch == -1:
            _initial_rates.setdefault(optimizer, current_rates(optimizer, name))
        elif optimizer not in _initial_rates:
            raise ConfigurationError(
                f"last_epoch is {last_epoch}, but this optimizer had no scheduler before, so the rates {name} should start "
                f"from are unknown. To resume, make it with last_epoch=-1, then load the states of optimizer and scheduler."
            )
        self.base_lrs = list(_initial_rates[optimizer])
        self._initial_step()

    def get_lr(self) -> list[float]:
        """The rate of each group at ``self.last_epoch``, from ``self.base_lrs`` or from the rates found. To be defined."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr().")

    def step(self) -> None:
        """Set the rates of the next step: once after each epoch, or after each update, as the schedule is meant.

        Raises:
            ConfigurationError: if a rate would be negative or no number; nothing has changed then.
        """
        self.last_epoch += 1
        try:
            rates = self._checked(self.get_lr())
        except BaseException:
            self.last_epoch -= 1
            raise
        self._write(rates)

    def get_last_lr(self) -> list[float]:
        """The rates set last, one for each group."""
        return list(self._last_lr)

    def state_dict(self) -> dict[str, Any]:
        """Counters and settings as plain numbers, lists and dicts. The rates in use are in the optimizer's state."""
        own = {name: value for name, value in vars(self).items() if name not in self.left_out}
        return {"scheduler": type(self).__name__, **copy.deepcopy(own)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave. Settings come from the state too, as in torch.

        The optimizer's rates are left alone: load its own state as well, after the scheduler has been made.

        Raises:
            StructureError: if it is another scheduler's, or has other entries or groups. Nothing has changed then.
        """
        self._check_state(state_dict)
        self._take_state(state_dict)

    def _initial_step(self) -> None:
        """The step from -1 to 0. Schedulers that only multiply by the ratio of two steps have nothing to do in it."""
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _rewind(self) -> None:
        """Back to before the initial step; the rates are the caller's to set."""
        self.last_epoch = -1

    def _current(self) -> list[float]:
        return current_rates(self.optimizer, type(self).__name__)

    def _checked(self, rates: Sequence[float]) -> list[float]:
        for i, rate in enumerate(rates):
            if not rate >= 0:
                raise ConfigurationError(
                    f"{type(self).__name__} gives parameter group {i} the learning rate {rate!r} at step {self.last_epoch}; "
                    f"expected a number of 0 or more."
                )
        return [float(rate) for rate in rates]

    def _write(self, rates: Sequence[float]) -> None:
        write_rates(self.optimizer, rates)
        self._last_lr = list(rates)

    def _check_state(self, state: Any) -> None:
        name = type(self).__name__
        if not isinstance(state, Mapping) or state.get("scheduler") != name:
            received = state.get("scheduler") if isinstance(state, Mapping) else type(state).__name__
            raise StructureError(
                f"Expected the state of a {name}, as its state_dict() gives it; received that of {received!r}."
            )
        expected = self.state_dict()
        if set(state) != set(expected):
            raise StructureError(
                f"The state of {name} has the entries {sorted(expected)}; received {sorted(map(str, state))}."
            )
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise StructureError(
                f"The state of {name} is for {len(state['base_lrs'])} parameter groups; the optimizer has "
                f"{len(self.base_lrs)}. Make it with the same groups as the one that was saved."
            )

    def _take_state(self, state: Mapping[str, Any]) -> None:
        vars(self).update({name: copy.deepcopy(value) for name, value in state.items() if name != "scheduler"})

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: learning rates {self.get_last_lr()} at step {self.last_epoch}>"


def write_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    """Set the rate of each group."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def set_initial_rates(optimizer: Optimizer, rates: Sequence[float]) -> None:
    """Let these be the rates that schedulers made from now on begin with."""
    _initial_rates[optimizer] = list(rates)


def initial_rates(optimizer: Optimizer) -> list[float]:
    """The rates that schedulers of this optimizer, which has one, begin with."""
    return list(_initial_rates[optimizer])
