"""An exponential moving average of the weights (EMA), which validation runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tbptt.callbacks.weight_averaging import WeightAveraging
from tbptt.errors import ConfigurationError
from tbptt.types import Tree

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class EMAWeightAveraging(WeightAveraging):
    """average = decay·average + (1 − decay)·weight after updates of the weights. Validation runs on the averages.

    The weights themselves are trained as if nothing were there. A `ModelCheckpoint` holds the averages, which were validated;
    ``trainer.save_checkpoint`` holds the weights. At the end of training the averages become the weights, so that tests run on
    them; after a run that was broken off, do so inside ``with averaging.averaged_weights():``.

    >>> import tbptt
    >>> trainer = tbptt.Trainer(max_epochs=5, callbacks=tbptt.callbacks.EMAWeightAveraging(decay=0.99))

    Args:
        decay: how much of the average stays, from 0 to less than 1.
        update_every_n_steps: optimizer steps between two updates of the averages.
        update_starting_at_step: the first optimizer step, from 0, whose result is taken in; None for the first of all.

    Raises:
        ConfigurationError: if a number is out of range.

    Source: `lightning.pytorch.callbacks.EMAWeightAveraging`; Polyak & Juditsky 1992.
    """

    evaluates_averages = True

    def __init__(
        self, decay: float = 0.999, update_every_n_steps: int = 1, update_starting_at_step: int | None = None
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ConfigurationError(f"decay is {decay!r}; expected a number from 0 to less than 1, like 0.999.")
        if update_every_n_steps < 1:
            raise ConfigurationError(f"update_every_n_steps is {update_every_n_steps!r}; expected 1 or more.")
        self.decay = decay
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self._latest_step = 0
        self._fitting = False

    def share(self) -> float:
        """1 − decay."""
        return 1.0 - self.decay

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        """Weights are swapped inside a fit alone."""
        self._fitting = stage == "fit"

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Updates count from here."""
        self._latest_step = trainer.global_step

    def on_window_end(self, trainer: Trainer, module: Any, outputs: Any, window: Tree, window_idx: int) -> None:
        """Take the weights in, if this window changed them and it is time."""
        steps = trainer.global_step
        if steps == self._latest_step:  # gradients are being accumulated
            return
        self._latest_step = steps
        step = steps - 1
        if step >= (self.update_starting_at_step or 0) and step % self.update_every_n_steps == 0:
            self.update(module)

    def on_validation_start(self, trainer: Trainer, module: Any) -> None:
        """Validate the averages."""
        if self._fitting:
            self._swap_in()

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """Go on training the weights."""
        self._swap_back()
