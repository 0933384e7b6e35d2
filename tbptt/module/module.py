"""The base class of what a trainer trains: a `tbptt.nn.Module` with its training."""

from __future__ import annotations

import builtins
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from tbptt import backends, nn
from tbptt.errors import ModuleProtocolError
from tbptt.module.hooks import ModuleHooks
from tbptt.module.hyperparameters import HasHyperparameters
from tbptt.trainer import logs
from tbptt.types import Number, Tensor, Tree

if TYPE_CHECKING:
    from tbptt.schedules import Schedule
    from tbptt.summary import ModelSummary
    from tbptt.trainer.optimization import OptimizerHandle
    from tbptt.trainer.trainer import Trainer

Self = TypeVar("Self", bound="Module")


class Module(ModuleHooks, HasHyperparameters, nn.Module):
    """A model with its training: ``training_step`` and ``configure_optimizers``, and a step for each thing else it is used for.

    ``training_step(batch, batch_idx, hiddens)`` sees one window and returns the loss, ``(loss, hiddens)``, or
    ``{"loss": loss, "hiddens": hiddens}``; the trainer carries `hiddens` to the next window and cuts their gradient. With several
    optimizers it takes ``optimizer_idx`` after ``batch_idx``. ``validation_step``, ``test_step`` and ``predict_step`` take
    ``(batch, batch_idx)``, and then see whole batches, or ``(batch, batch_idx, hiddens)``, and then see windows.

    ``configure_optimizers`` returns an optimizer; several; ``(optimizers, schedulers)``; or a dict, or several, of ``"optimizer"``
    and ``"lr_scheduler"``, the latter a scheduler or a dict of ``"scheduler"``, ``"interval"`` (``"window"``, ``"batch"`` or
    ``"epoch"``), ``"frequency"`` and ``"monitor"``.

    >>> import tbptt
    >>> class Regression(tbptt.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.lstm, self.head = tbptt.nn.LSTM(3, 8), tbptt.nn.Linear(8, 1)
    ...     def training_step(self, batch, batch_idx, hiddens):
    ...         inputs, targets = batch
    ...         outputs, hiddens = self.lstm(inputs, hiddens)
    ...         return tbptt.nn.functional.mse_loss(self.head(outputs), targets), hiddens
    ...     def configure_optimizers(self):
    ...         return tbptt.optim.Adam(self.parameters(), lr=1e-3)
    >>> len(Regression().parameters())
    5
    """

    is_base_of_hooks: ClassVar[bool] = True

    _trainer: Trainer | None = None

    automatic_optimization: bool = True
    """False: ``training_step`` does everything itself, with `optimizers`, `manual_backward` and `lr_schedulers`."""
    truncated_bptt_steps: int | Schedule | None = None
    """Time steps a window, or a schedule; comes before the trainer's."""
    example_input_array: Any = None
    """Inputs of ``forward``, from which `summarize` finds the sizes between layers."""

    def predict_step(self, batch: Tree, batch_idx: int) -> Any:
        """What ``trainer.predict`` collects: by default what calling the module on the batch returns."""
        return self(batch)

    @property
    def trainer(self) -> Trainer:
        """The trainer this module is with.

        Raises:
            ModuleProtocolError: outside ``fit``, ``validate``, ``test`` and ``predict``.
        """
        if self._trainer is None:
            raise ModuleProtocolError(
                f"{type(self).__name__} is with no trainer: self.trainer, self.log, self.optimizers() and the counters exist only "
                f"inside trainer.fit(module, ...), trainer.validate(module, ...) and their like."
            )
        return self._trainer

    @property
    def current_epoch(self) -> int:
        """The epoch, from 0; 0 without a trainer."""
        return self._trainer.current_epoch if self._trainer else 0

    @property
    def global_step(self) -> int:
        """Optimizer steps so far; 0 without a trainer."""
        return self._trainer.global_step if self._trainer else 0

    @property
    def device(self) -> str:
        """Where the parameters are: ``cpu``, ``gpu:0``, ..."""
        parameters = [value for _, value in self._named_tensors()]
        return self.backend.devices.device_of(parameters[0]) if parameters else backends.current_device()

    @property
    def global_rank(self) -> int:
        """0: this process is the only one."""
        return 0

    @property
    def local_rank(self) -> int:
        """0: this process is the only one."""
        return 0

    @property
    def logger(self) -> Any:
        """The trainer's first logger; None without one."""
        return self._trainer.logger if self._trainer else None

    @property
    def precision(self) -> str:
        """The trainer's precision; without one ``"64-true"`` or ``"32-true"``, as the parameters are."""
        if self._trainer:
            return self._trainer.precision
        doubles = {self.backend.tensors.dtype(value) for value in self.parameters()} == {"float64"}
        return "64-true" if doubles else "32-true"

    @property
    def model_size(self) -> float:
        """Megabytes of all parameters and buffers."""
        return self.summarize().model_size

    def summarize(self, max_depth: int = 1) -> ModelSummary:
        """A table of layers, parameters and sizes; ``print`` it."""
        from tbptt.summary import ModelSummary  # here: nothing else needs it

        return ModelSummary(self, max_depth)

    def log(
        self,
        name: str,
        value: Tensor | Number,
        prog_bar: bool = False,
        logger: bool = True,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: logs.Reduce = "mean",
        batch_size: int | Tensor | None = None,
    ) -> None:
        """Record a scalar, from inside a step or a hook; works under compilation.

        Args:
            name: under which it appears in ``trainer.callback_metrics``. With both `on_step` and `on_epoch`, ``name_step`` and
                ``name_epoch`` appear beside it.
            value: a scalar tensor or number.
            prog_bar: show it in the progress bar.
            logger: send it to the loggers.
            on_step: keep the value of the latest window. Default: in training, while a batch is at hand.
            on_epoch: keep the epoch's. Default: in evaluation, and in the hooks around an epoch.
            reduce_fx: how values become the epoch's: ``"mean"`` (weighted), ``"sum"``, ``"min"``, ``"max"``, or a function of an
                array.
            batch_size: the weight of this value in the epoch's mean. Default: the elements a mean from `nn.functional`
                was taken over, else the window's rows times steps.

        Raises:
            ModuleProtocolError: outside a run, or for a value that is no scalar.
        """
        options = logs.Options(prog_bar, on_step, on_epoch, logger, reduce_fx)
        if logs.record(name, value, options, batch_size):
            return
        if self._trainer is None:
            raise ModuleProtocolError(
                f"self.log({name!r}, ...) was called outside a step. Log from training_step, validation_step or a hook while a "
                f"trainer runs them."
            )
        self._trainer.note(name, value, options, batch_size)

    def log_dict(self, dictionary: dict[str, Any], **options: Any) -> None:
        """`log` for each entry, with the same options."""
        for name, value in dictionary.items():
            self.log(name, value, **options)

    def print(self, *values: Any, **options: Any) -> None:
        """`print`, without disturbing the progress bar."""
        bar = self._trainer.progress_bar if self._trainer else None
        if bar is not None:
            bar.print(*values)
        else:
            builtins.print(*values, **options)

    def optimizers(self) -> Any:
        """The optimizers, for manual optimization: one, or a list where there are several."""
        handles: list[OptimizerHandle] = self.trainer.handles
        return handles[0] if len(handles) == 1 else handles

    def lr_schedulers(self) -> Any:
        """The learning-rate schedulers: None, one, or a list where there are several."""
        found = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return found if len(found) > 1 else found[0] if found else None

    def manual_backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """In manual optimization: add the gradients of a loss to those the optimizers hold.

        What was recorded before is let go afterwards, so that memory does not grow over the windows of one ``training_step``; the
        hidden state still has to be cut with `tbptt.detach`.

        Args:
            loss: a scalar tensor.
            retain_graph: keep the record, because another loss goes back through the same forward pass.
        """
        self.trainer.backward(loss, retain_graph)

    def clip_gradients(
        self,
        optimizer: OptimizerHandle,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients an optimizer holds, in automatic and in manual optimization.

        Args:
            optimizer: as hooks and `optimizers` give it.
            gradient_clip_val: the bound; None: the trainer's, and without one nothing is clipped.
            gradient_clip_algorithm: ``"norm"`` or ``"value"``; None: the trainer's.
        """
        self.trainer.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @classmethod
    def load_from_checkpoint(cls: type[Self], checkpoint_path: str | os.PathLike[str], **hyperparameters: Any) -> Self:
        """A module made from the hyperparameters and weights of a checkpoint.

        Args:
            checkpoint_path: a file that ``trainer.save_checkpoint`` or `ModelCheckpoint` wrote, on either engine.
            hyperparameters: given to ``__init__`` over, and beside, the saved ones.

        Raises:
            WeightsError: if the file is none, or does not fit.
        """
        from tbptt.trainer.checkpoint import load_module  # here: the trainer imports modules

        module: Self = load_module(cls, checkpoint_path, hyperparameters)
        return module
