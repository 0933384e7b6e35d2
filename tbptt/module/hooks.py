"""What a module may override, and what each of these does when it does not (`tbptt.hooks` has their order)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tbptt.data.datamodule import DataHooks
from tbptt.types import Tensor, Tree

if TYPE_CHECKING:
    from tbptt.trainer.optimization import OptimizerHandle


class ModuleHooks(DataHooks):
    """The moments of a run, seen by the module. A moment nobody overrides costs nothing.

    One that lies inside a window's step (from `on_before_zero_grad` to `optimizer_step`) splits the compiled step there. The step
    itself, `training_step_end` included, is compiled where the engine compiles: Python in it runs when it is traced.
    """

    is_base_of_hooks: ClassVar[bool] = True

    def configure_callbacks(self) -> Any:
        """Callbacks that come with this model: a callback or a list; one of a class the trainer has too replaces it."""
        return []

    def on_fit_start(self) -> None:
        """Before setup and the optimizers."""

    def on_fit_end(self) -> None:
        """After everything but teardown."""

    def on_pretrain_routine_start(self) -> None:
        """The optimizers exist; nothing has run."""

    def on_pretrain_routine_end(self) -> None:
        """Before the sanity validation."""

    def on_train_start(self) -> None:
        """Before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch."""

    def on_epoch_start(self) -> None:
        """Before an epoch of training, validation, test or prediction."""

    def on_epoch_end(self) -> None:
        """After an epoch of training, validation, test or prediction."""

    def on_train_epoch_start(self) -> None:
        """Before an epoch's first batch."""

    def training_epoch_end(self, outputs: list[Any]) -> None:
        """What ``training_step`` returned in this epoch, state left out: a dict a batch.

        Where batches are cut into windows the entry of a batch is a list, a dict a window; where there are several optimizers each
        of these is a list, a dict an optimizer. Outputs are kept only if this is overridden.
        """

    def on_train_epoch_end(self) -> None:
        """After an epoch."""

    def on_train_batch_start(self, batch: Tree, batch_idx: int, dataloader_idx: int = 0) -> int | None:
        """Before a batch's first window. Returning -1 ends the epoch before this batch."""

    def on_train_batch_end(self, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a batch's last window, of which `outputs` are."""

    def tbptt_split_batch(self, batch: Tree, split_size: int) -> list[Tree]:
        """The windows of a batch in order, each a tree like the batch. Override it to cut differently.

        Args:
            batch: as the data brings it.
            split_size: ``truncated_bptt_steps``.
        """
        from tbptt.windowing import WindowedBatch

        windowed = WindowedBatch(batch, split_size)
        return [windowed.slice(span) for span in windowed.spans()]

    def on_window_start(self, window: Tree, window_idx: int) -> None:
        """Before a window is put on the device: its leaves are slices of the batch."""

    def transfer_batch_to_device(self, batch: Tree, device: str, dataloader_idx: int) -> Tree:
        """The window as tensors on the device."""
        return self.trainer.place(batch)  # type: ignore[attr-defined]

    def on_window_boundary(self, state: Tree, is_last: bool) -> Tree:
        """The gradient that the state leaving a window is to have, which truncation makes zero: a tree like the state, None
        anywhere in it for none. With a model of the future's gradient here, windows learn from beyond their end (Jaderberg et al.
        2017).

        Args:
            state: cut from its past.
            is_last: whether the sequence ends here.
        """

    def on_before_zero_grad(self, optimizer: OptimizerHandle) -> None:
        """After a window's forward pass, before the gradients of the last update are forgotten."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: OptimizerHandle, optimizer_idx: int) -> None:
        """Forget the gradients of the last update."""
        optimizer.zero_grad()

    def on_before_backward(self, loss: Tensor) -> None:
        """Before the backward pass."""

    def backward(
        self, loss: Tensor, optimizer: OptimizerHandle | None = None, optimizer_idx: int | None = None
    ) -> None:
        """The backward pass: gradients of the loss for the optimizer's parameters."""
        self.trainer.backward(loss)  # type: ignore[attr-defined]

    def on_after_backward(self) -> None:
        """After the backward pass; ``self.trainer.optimizer_in_turn.gradients`` has what it found."""

    def on_before_optimizer_step(self, optimizer: OptimizerHandle, optimizer_idx: int) -> None:
        """Before clipping and update. ``optimizer.gradients``, one for each of ``optimizer.parameters``, may be set."""

    def configure_gradient_clipping(
        self,
        optimizer: OptimizerHandle,
        optimizer_idx: int,
        gradient_clip_val: float | None,
        gradient_clip_algorithm: str | None,
    ) -> None:
        """Clip the gradients: ``self.clip_gradients(optimizer, value, algorithm)``."""
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)  # type: ignore[attr-defined]

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: OptimizerHandle, optimizer_idx: int, optimizer_closure: Any
    ) -> None:
        """Update the parameters. Override it to step at chosen intervals, or to set a learning rate.

        Args:
            epoch: from 0.
            batch_idx: from 0.
            optimizer: to step: ``optimizer.step(optimizer_closure)``. Not stepping leaves the parameters as they are.
            optimizer_idx: its place in what ``configure_optimizers`` returned.
            optimizer_closure: returns the loss; called again it makes a fresh forward and backward pass.
        """
        optimizer.step(closure=optimizer_closure)

    def lr_scheduler_step(self, scheduler: Any, optimizer_idx: int, metric: float | None) -> None:
        """Step a learning-rate scheduler that is due; `metric` is the value it monitors."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    def on_window_end(self, outputs: Any, window: Tree, window_idx: int) -> None:
        """After a window's step, update included; `window` is on the device."""

    def on_validation_model_eval(self) -> None:
        """Switch to evaluation mode."""
        self.eval()  # type: ignore[attr-defined]

    def on_validation_start(self) -> None:
        """Before validation's first batch."""

    def on_validation_epoch_start(self) -> None:
        """Before validation's first batch."""

    def on_validation_batch_start(self, batch: Tree, batch_idx: int, dataloader_idx: int) -> None:
        """Before a validation batch's first window."""

    def on_validation_batch_end(self, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int) -> None:
        """After a validation batch's last window."""

    def validation_epoch_end(self, outputs: list[Any]) -> None:
        """What ``validation_step`` returned, and logged, a dict a window. Kept only if this is overridden."""

    def on_validation_epoch_end(self) -> None:
        """After validation's last batch."""

    def on_validation_end(self) -> None:
        """After validation."""

    def on_validation_model_train(self) -> None:
        """Back to training mode. Unless this is overridden, each part returns to the mode it had."""
        self.train()  # type: ignore[attr-defined]

    def on_test_model_eval(self) -> None:
        """Switch to evaluation mode."""
        self.eval()  # type: ignore[attr-defined]

    def on_test_start(self) -> None:
        """Before the test's first batch."""

    def on_test_epoch_start(self) -> None:
        """Before the test's first batch."""

    def on_test_batch_start(self, batch: Tree, batch_idx: int, dataloader_idx: int) -> None:
        """Before a test batch's first window."""

    def on_test_batch_end(self, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int) -> None:
        """After a test batch's last window."""

    def test_epoch_end(self, outputs: list[Any]) -> None:
        """What ``test_step`` returned, and logged, a dict a window. Kept only if this is overridden."""

    def on_test_epoch_end(self) -> None:
        """After the test's last batch."""

    def on_test_end(self) -> None:
        """After the test."""

    def on_test_model_train(self) -> None:
        """Back to training mode. Unless this is overridden, each part returns to the mode it had."""
        self.train()  # type: ignore[attr-defined]

    def on_predict_model_eval(self) -> None:
        """Switch to evaluation mode."""
        self.eval()  # type: ignore[attr-defined]

    def on_predict_start(self) -> None:
        """Before prediction's first batch."""

    def on_predict_epoch_start(self) -> None:
        """Before prediction's first batch."""

    def on_predict_batch_start(self, batch: Tree, batch_idx: int, dataloader_idx: int) -> None:
        """Before a batch's first window."""

    def on_predict_batch_end(self, outputs: Any, batch: Tree, batch_idx: int, dataloader_idx: int) -> None:
        """After a batch's last window; `outputs` are joined over its windows."""

    def on_predict_epoch_end(self) -> None:
        """After prediction's last batch."""

    def on_predict_end(self) -> None:
        """After prediction."""

    def on_predict_model_train(self) -> None:
        """Back to training mode. Unless this is overridden, each part returns to the mode it had."""
        self.train()  # type: ignore[attr-defined]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What goes into a checkpoint; entries of plain numbers, strings, lists and dicts may be added."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What came out of a checkpoint."""

    def on_exception(self, exception: BaseException) -> None:
        """When a run ends by an exception, ctrl-C included; it is raised on afterwards."""
