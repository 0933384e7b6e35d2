"""The mean of the weights over the last epochs, at a learning rate of its own (SWA)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from tbptt.callbacks.weight_averaging import WeightAveraging
from tbptt.errors import ConfigurationError
from tbptt.types import Tree

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class StochasticWeightAveraging(WeightAveraging):
    """The mean of the weights after each epoch from `swa_epoch_start` on, at a learning rate of its own (SWA).

    From there the rate goes from what it was to `swa_lrs` within `annealing_epochs` and stays; the optimizer's own schedule no
    longer counts. Validation runs on the weights; when training ends, the mean takes their place.

    >>> import tbptt
    >>> trainer = tbptt.Trainer(max_epochs=20, callbacks=tbptt.callbacks.StochasticWeightAveraging(swa_lrs=1e-2))

    Args:
        swa_lrs: the final learning rate, or a list with one for each parameter group, of all optimizers in order.
        swa_epoch_start: the first epoch that counts: the how manyth (1 is the first), or as a float a part of ``max_epochs``.
        annealing_epochs: epochs until the rate is `swa_lrs`; 0: at once.
        annealing_strategy: ``"cos"`` or ``"linear"``.

    Raises:
        ConfigurationError: if an argument is out of range; when training starts, if the epoch is not known or never comes, or the
            rates are not as many as the parameter groups.

    Source: Izmailov et al. 2018; `torch.optim.swa_utils.SWALR`; `lightning.pytorch.callbacks.StochasticWeightAveraging`, which,
    unlike this and torch's recipe, takes the weights in before an epoch and so misses the last.
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
    ) -> None:
        super().__init__()
        if not all(rate > 0 for rate in (swa_lrs if isinstance(swa_lrs, list) else [swa_lrs])):
            raise ConfigurationError(f"swa_lrs is {swa_lrs!r}; expected a rate more than 0, or a list of such.")
        if not (0 <= swa_epoch_start <= 1 if isinstance(swa_epoch_start, float) else swa_epoch_start >= 1):
            raise ConfigurationError(
                f"swa_epoch_start is {swa_epoch_start!r}; expected a whole number from 1 up, or a float from 0 to 1 for a part of "
                f"max_epochs."
            )
        if annealing_epochs < 0:
            raise ConfigurationError(f"annealing_epochs is {annealing_epochs!r}; expected 0 or more.")
        if annealing_strategy not in ("cos", "linear"):
            raise ConfigurationError(f"annealing_strategy must be 'cos' or 'linear'; received {annealing_strategy!r}.")
        self.swa_lrs = swa_lrs
        self.swa_epoch_start = swa_epoch_start
        self.annealing_epochs = annealing_epochs
        self.annealing_strategy = annealing_strategy
        self._start = 0
        self._rates_before: list[float] = []
        self._rates: list[float] = []

    def share(self) -> float:
        """1/n for the n-th, which makes it the mean."""
        return 1.0 / (self.updates + 1)

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Find the epoch it starts at."""
        self._rates_before = []
        epochs = trainer.max_epochs
        limit = math.inf if epochs is None or epochs < 0 else epochs
        start = self.swa_epoch_start
        if isinstance(start, float):
            if math.isinf(limit):
                raise ConfigurationError(
                    f"swa_epoch_start={start!r} is a part of max_epochs, and this trainer has none. Give swa_epoch_start as a "
                    f"whole number of epochs, or Trainer(max_epochs=...)."
                )
            start = int(start * limit)
        self._start = max(start - 1, 0)
        if self._start >= limit and not trainer.fast_dev_run:
            raise ConfigurationError(
                f"swa_epoch_start is {self.swa_epoch_start!r}, and training ends after {limit} epochs: "
                f"there would be nothing to average."
            )

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Anneal the rates."""
        if trainer.current_epoch < self._start:
            return
        if not self._rates_before:
            self._rates_before = [float(rate) for optimizer in trainer.optimizers for rate in optimizer.rates()]
        final = self.swa_lrs if isinstance(self.swa_lrs, list) else [self.swa_lrs] * len(self._rates_before)
        if len(final) != len(self._rates_before):
            raise ConfigurationError(
                f"swa_lrs has {len(final)} rates, and there are {len(self._rates_before)} parameter groups. Give one rate for "
                f"each, or a single one."
            )
        weight = self._annealed(trainer.current_epoch - self._start)
        self._rates = [
            weight * after + (1.0 - weight) * before for before, after in zip(self._rates_before, final, strict=True)
        ]

    def on_window_start(self, trainer: Trainer, module: Any, window: Tree, window_idx: int) -> None:
        """Set the rates, whatever a schedule has made of them since the last window."""
        if self._rates_before:
            rates = iter(self._rates)
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = next(rates)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """Take the epoch's weights in."""
        if trainer.current_epoch >= self._start:
            self.update(module)

    def _annealed(self, epochs: int) -> float:
        """How much of the way the rate has gone after so many epochs, as `SWALR` has it."""
        if not self.annealing_epochs:
            return 1.0
        part = min(1.0, epochs / self.annealing_epochs)
        return (1.0 - math.cos(math.pi * part)) / 2.0 if self.annealing_strategy == "cos" else part
