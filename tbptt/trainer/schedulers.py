"""Learning-rate schedulers in the trainer's hands: each steps when it is due."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tbptt.errors import ConfigurationError
from tbptt.trainer.configuration import SchedulerConfig


class Schedulers:
    """The schedulers of a run.

    Args:
        configs: them, and when each is due.
        metrics: what was logged, by name, when a scheduler wants to know.
        step: the module's ``lr_scheduler_step``, or None.
    """

    def __init__(
        self,
        configs: Sequence[SchedulerConfig],
        metrics: Callable[[], dict[str, float]],
        step: Callable[..., Any] | None,
    ) -> None:
        self.configs = list(configs)
        self._metrics = metrics
        self._step = step
        self._by_interval = {
            interval: [config for config in self.configs if config.interval == interval]
            for interval in ("window", "batch", "epoch")
        }

    def ended(self, interval: str, optimizers: Collection[int]) -> None:
        """Say that a window, batch or epoch is over in which these optimizers had their turn: schedulers that are due step.

        Raises:
            ConfigurationError: if a monitored value has not been logged.
        """
        for config in self._by_interval[interval]:
            if config.optimizer_idx not in optimizers:
                continue
            config.count += 1
            if config.count % config.frequency == 0:
                self._one(config)

    def _one(self, config: SchedulerConfig) -> None:
        metric = None
        if config.wants_metric:
            metrics = self._metrics()
            if config.monitor not in metrics:
                if not config.strict:
                    return
                raise ConfigurationError(
                    f"{type(config.scheduler).__name__} follows {config.monitor!r}, which has not been logged. Logged so far: "
                    f"{', '.join(sorted(metrics)) or 'nothing'}. Log it with self.log({config.monitor!r}, ...), or name another."
                )
            metric = metrics[config.monitor]
        if self._step:
            self._step(config.scheduler, config.optimizer_idx, metric)
        elif metric is None:
            config.scheduler.step()
        else:
            config.scheduler.step(metric)
