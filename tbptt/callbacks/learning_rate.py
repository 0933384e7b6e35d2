"""The learning rates of the run, logged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from tbptt.callbacks.base import Callback
from tbptt.errors import ConfigurationError
from tbptt.types import Tree

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class LearningRateMonitor(Callback):
    """Logs the rate of the coming update for every optimizer and parameter group.

    ``lr-Adam``; with several groups ``lr-Adam/pg1``, ``lr-Adam/pg2``; for a second optimizer of the class ``lr-Adam-1``.

    >>> import tbptt
    >>> trainer = tbptt.Trainer(max_epochs=1, callbacks=tbptt.callbacks.LearningRateMonitor("epoch"))

    Args:
        logging_interval: at the start of every ``"window"`` or ``"epoch"``; None: at the start of a window, where a value has
            changed.
        log_momentum: log momentum, or β1, too, as ``lr-Adam-momentum``; 0 where there is none.

    Raises:
        ConfigurationError: for another interval.

    Source: `lightning.pytorch.callbacks.LearningRateMonitor`.
    """

    def __init__(self, logging_interval: Literal["window", "epoch"] | None = None, log_momentum: bool = False) -> None:
        if logging_interval not in (None, "window", "epoch"):
            raise ConfigurationError(
                f"logging_interval must be 'window', 'epoch' or None; received {logging_interval!r}."
            )
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self._latest: dict[str, float] = {}

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Nothing of this run is logged yet."""
        self._latest = {}

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Log, if it is to be here."""
        if self.logging_interval == "epoch":
            trainer.log_metrics(self._values(trainer))

    def on_window_start(self, trainer: Trainer, module: Any, window: Tree, window_idx: int) -> None:
        """Log, if it is to be here."""
        if self.logging_interval == "epoch":
            return
        values = self._values(trainer)
        if self.logging_interval == "window" or values != self._latest:
            self._latest = values
            trainer.log_metrics(values)

    def _values(self, trainer: Trainer) -> dict[str, float]:
        values: dict[str, float] = {}
        seen: Counter[str] = Counter()
        for optimizer in trainer.optimizers:
            kind = type(getattr(optimizer, "native", optimizer)).__name__  # the engine's own are behind our face
            name = f"lr-{kind}" + (f"-{seen[kind]}" if seen[kind] else "")
            seen[kind] += 1
            groups = optimizer.param_groups
            for number, (group, rate) in enumerate(zip(groups, optimizer.rates(), strict=True), 1):
                key = f"{name}/pg{number}" if len(groups) > 1 else name
                values[key] = float(rate)
                if self.log_momentum:
                    values[f"{key}-momentum"] = float(
                        group["betas"][0] if "betas" in group else group.get("momentum", 0)
                    )
        return values
