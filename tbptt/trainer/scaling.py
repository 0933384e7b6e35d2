"""The loss scale of float16 training: the rule of `torch.amp.GradScaler`, on the host.

Gradients of float16 underflow where the loss is small. The loss is multiplied by a scale before gradients are taken, the gradients
are divided by it, and the scale follows what the numbers bear (Micikevicius et al. 2018, section 3.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tbptt.errors import ConfigurationError, StructureError


class LossScale:
    """A scale that shrinks when gradients overflow and grows after enough updates that did not.

    >>> from tbptt.trainer.scaling import LossScale
    >>> scale = LossScale(initial=8.0, growth_interval=2)
    >>> for finite in (True, True, False):
    ...     scale.update(finite)
    ...     print(scale.value)
    8.0
    16.0
    8.0

    Args:
        initial: the scale to begin with.
        growth_factor: by which it grows; above 1.
        backoff_factor: by which it shrinks; below 1.
        growth_interval: updates in a row with finite gradients before it grows.

    Raises:
        ConfigurationError: if one of them is out of range.
    """

    def __init__(
        self,
        initial: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
    ) -> None:
        for name, value, fits, expected in (
            ("initial", initial, 0 < initial < math.inf, "above 0 and finite"),
            ("growth_factor", growth_factor, growth_factor > 1, "above 1"),
            ("backoff_factor", backoff_factor, 0 < backoff_factor < 1, "between 0 and 1"),
            ("growth_interval", growth_interval, growth_interval >= 1, "at least 1"),
        ):
            if not fits:
                raise ConfigurationError(f"The loss scale's {name} must be {expected}; received {value!r}.")
        self.value = float(initial)
        """What the loss is to be multiplied by."""
        self._growth_factor, self._backoff_factor = float(growth_factor), float(backoff_factor)
        self._growth_interval = int(growth_interval)
        self._finite_updates = 0

    def update(self, finite: bool) -> None:
        """After each update, or what would have been one: whether all gradients were finite. If not, it should be left out."""
        if not finite:
            self.value = _float32(self.value * self._backoff_factor)
            self._finite_updates = 0
            return
        self._finite_updates += 1
        if self._finite_updates == self._growth_interval:
            grown = _float32(self.value * self._growth_factor)
            self.value = grown if math.isfinite(grown) else self.value
            self._finite_updates = 0

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on from here, under the names `torch.amp.GradScaler` has for it."""
        return {
            "scale": self.value,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._finite_updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict`, or a GradScaler, gave.

        Raises:
            StructureError: if an entry is missing; nothing has changed then.
        """
        missing = [name for name in self.state_dict() if name not in state]
        if missing:
            raise StructureError(
                f"This is no state of a loss scale: {', '.join(missing)} is missing, received {sorted(state)}. "
                f"Was the checkpoint written in another precision? (A GradScaler that is switched off has an empty state.)"
            )
        self.value = float(state["scale"])
        self._growth_factor, self._backoff_factor = float(state["growth_factor"]), float(state["backoff_factor"])
        self._growth_interval, self._finite_updates = int(state["growth_interval"]), int(state["_growth_tracker"])

    def __repr__(self) -> str:
        return f"LossScale({self.value})"


def _float32(value: float) -> float:
    """As the product with the loss sees it, and as torch keeps it."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
