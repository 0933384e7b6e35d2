"""What a callback may override: the moments of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tbptt.types import Tree

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class Callback:
    """Override what is needed; a moment nobody overrides costs nothing.

        fit: on_fit_start · on_train_start · epochs · on_train_end · on_fit_end
        epoch: on_train_epoch_start · batches · (validation) · on_train_epoch_end
        batch: on_train_batch_start · windows · on_train_batch_end
        window: on_window_start · the step · on_window_end
        validation: on_validation_start · per batch on_validation_batch_start, on_validation_batch_end · on_validation_end

    `outputs` of a window maps ``"loss"`` and every logged name to its value, which may still be on the device:
    ``float(outputs["loss"])`` waits for it.
    """

    def on_fit_start(self, trainer: Trainer, module: Any) -> None:
        """Before anything is trained; the optimizer exists."""

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Before the first epoch."""

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Before an epoch's first batch."""

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> None:
        """Before a batch's first window."""

    def on_window_start(self, trainer: Trainer, module: Any, window: Tree, window_idx: int) -> None:
        """Before a window's step; `window` is on the device."""

    def on_window_end(
        self, trainer: Trainer, module: Any, outputs: dict[str, Any], window: Tree, window_idx: int
    ) -> None:
        """After a window's step, update included."""

    def on_train_batch_end(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> None:
        """After a batch's last window."""

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """After an epoch, its validation included; `trainer.callback_metrics` has the epoch's means."""

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """After the last epoch."""

    def on_fit_end(self, trainer: Trainer, module: Any) -> None:
        """After everything."""

    def on_validation_start(self, trainer: Trainer, module: Any) -> None:
        """Before validation's first batch; the module is in evaluation mode."""

    def on_validation_batch_start(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> None:
        """Before a validation batch's first window."""

    def on_validation_batch_end(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> None:
        """After a validation batch's last window."""

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """After validation; `trainer.callback_metrics` has its means."""

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """When a run ends by an exception, ctrl-C included; it is raised on afterwards."""


class Callbacks:
    """Calls a moment on every callback that overrides it, in order."""

    def __init__(self, callbacks: Sequence[Callback], trainer: Trainer, module: Any) -> None:
        self._trainer, self._module = trainer, module
        moments = [name for name in vars(Callback) if name.startswith("on_")]
        self._overridden: dict[str, list[Callable[..., None]]] = {
            moment: [
                getattr(callback, moment)
                for callback in callbacks
                if getattr(type(callback), moment, None) not in (None, getattr(Callback, moment))
            ]
            for moment in moments
        }

    def __call__(self, moment: str, *arguments: Any) -> None:
        for function in self._overridden[moment]:
            function(self._trainer, self._module, *arguments)
