"""What a callback may override: every moment of a run (`tbptt.hooks` has their order)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tbptt.types import Tensor, Tree

if TYPE_CHECKING:
    from tbptt.trainer.optimization import OptimizerHandle
    from tbptt.trainer.trainer import Trainer


class Callback:
    """Override what is needed; a moment nobody overrides costs nothing.

    `outputs` of a window maps ``"loss"`` and whatever else the step returned or logged to its value, which may still be on the
    device: ``float(outputs["loss"])`` waits for it.

    >>> import tbptt
    >>> class Watch(tbptt.Callback):
    ...     def on_train_epoch_end(self, trainer, module):
    ...         print(trainer.current_epoch, trainer.callback_metrics)
    """

    is_base_of_hooks: ClassVar[bool] = True

    after_module: ClassVar[bool] = False
    """Whether its moments come after the module's own, so that it sees what the module logged in them."""

    @property
    def state_key(self) -> str:
        """Under which a checkpoint keeps its state."""
        return type(self).__qualname__

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs of it: plain numbers, strings, lists and dicts."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""

    def setup(self, trainer: Trainer, module: Any, stage: str) -> None:
        """Before a stage does anything: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``."""

    def teardown(self, trainer: Trainer, module: Any, stage: str) -> None:
        """After it."""

    def on_fit_start(self, trainer: Trainer, module: Any) -> None:
        """Before setup and the optimizers."""

    def on_fit_end(self, trainer: Trainer, module: Any) -> None:
        """After everything but teardown."""

    def on_pretrain_routine_start(self, trainer: Trainer, module: Any) -> None:
        """The optimizers exist; nothing has run."""

    def on_pretrain_routine_end(self, trainer: Trainer, module: Any) -> None:
        """Before the sanity validation."""

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Before the first epoch."""

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """After the last epoch."""

    def on_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Before an epoch of training, validation, test or prediction."""

    def on_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """After an epoch of training, validation, test or prediction."""

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Before an epoch's first batch."""

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """After an epoch, its validation included; `trainer.callback_metrics` has the epoch's means."""

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> int | None:
        """Before a batch's first window. Returning -1 ends the epoch before this batch."""

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Tree, batch_idx: int) -> None:
        """After a batch's last window, of which `outputs` are."""

    def on_window_start(self, trainer: Trainer, module: Any, window: Tree, window_idx: int) -> None:
        """Before a window is put on the device: its leaves are slices of the batch."""

    def on_window_end(self, trainer: Trainer, module: Any, outputs: Any, window: Tree, window_idx: int) -> None:
        """After a window's step, update included; `window` is on the device."""

    def on_before_zero_grad(self, trainer: Trainer, module: Any, optimizer: OptimizerHandle) -> None:
        """After a window's forward pass, before the gradients of the last update are forgotten."""

    def on_before_backward(self, trainer: Trainer, module: Any, loss: Tensor) -> None:
        """Before the backward pass."""

    def on_after_backward(self, trainer: Trainer, module: Any) -> None:
        """After the backward pass; ``trainer.optimizer_in_turn.gradients`` has what it found, accumulated so far."""

    def on_before_optimizer_step(
        self, trainer: Trainer, module: Any, optimizer: OptimizerHandle, optimizer_idx: int
    ) -> None:
        """Before clipping and update. ``optimizer.gradients``, one for each of ``optimizer.parameters``, may be set."""

    def on_validation_start(self, trainer: Trainer, module: Any) -> None:
        """Before validation's first batch; the module is in evaluation mode."""

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """After validation; `trainer.callback_metrics` has its means."""

    def on_validation_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Before validation's first batch."""

    def on_validation_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """After validation's last batch."""

    def on_validation_batch_start(
        self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Before a validation batch's first window."""

    def on_validation_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """After a validation batch's last window."""

    def on_test_start(self, trainer: Trainer, module: Any) -> None:
        """Before the test's first batch; the module is in evaluation mode."""

    def on_test_end(self, trainer: Trainer, module: Any) -> None:
        """After the test; `trainer.callback_metrics` has its means."""

    def on_test_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Before the test's first batch."""

    def on_test_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """After the test's last batch."""

    def on_test_batch_start(
        self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Before a test batch's first window."""

    def on_test_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """After a test batch's last window."""

    def on_predict_start(self, trainer: Trainer, module: Any) -> None:
        """Before prediction's first batch; the module is in evaluation mode."""

    def on_predict_end(self, trainer: Trainer, module: Any) -> None:
        """After prediction."""

    def on_predict_epoch_start(self, trainer: Trainer, module: Any) -> None:
        """Before prediction's first batch."""

    def on_predict_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """After prediction's last batch."""

    def on_predict_batch_start(
        self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Before a batch's first window."""

    def on_predict_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """After a batch's last window; `outputs` are joined over its windows."""

    def on_save_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """What goes into a checkpoint; entries of plain numbers, strings, lists and dicts may be added."""

    def on_load_checkpoint(self, trainer: Trainer, module: Any, checkpoint: dict[str, Any]) -> None:
        """What came out of a checkpoint."""

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """When a run ends by an exception, ctrl-C included; it is raised on afterwards."""
