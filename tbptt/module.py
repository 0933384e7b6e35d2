"""The base class of what a trainer trains: a `tbptt.nn.Module` that can log and knows its trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tbptt import nn
from tbptt.errors import ModuleProtocolError
from tbptt.trainer import logs
from tbptt.types import Number, Tensor

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class Module(nn.Module):
    """A model with its training: ``training_step`` and ``configure_optimizers``, and ``validation_step`` if there is validation.

    ``training_step(batch, batch_idx, hiddens)`` sees one window and returns the loss, ``(loss, hiddens)``, or
    ``{"loss": loss, "hiddens": hiddens}``; the trainer carries `hiddens` to the next window and cuts their gradient.

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

    _trainer: Trainer | None = None

    @property
    def trainer(self) -> Trainer:
        """The trainer this module is with.

        Raises:
            ModuleProtocolError: outside ``fit`` and ``validate``.
        """
        if self._trainer is None:
            raise ModuleProtocolError(
                f"{type(self).__name__} is with no trainer: self.trainer, self.log and the counters exist only inside "
                f"trainer.fit(module, ...) and trainer.validate(module, ...)."
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

    def log(
        self,
        name: str,
        value: Tensor | Number,
        prog_bar: bool = False,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        batch_size: int | Tensor | None = None,
    ) -> None:
        """Record a scalar of this window, from inside a step; works under compilation.

        Args:
            name: under which it appears in ``trainer.callback_metrics``. With both `on_step` and `on_epoch`, ``name_step`` and
                ``name_epoch`` appear beside it.
            value: a scalar tensor or number.
            prog_bar: show it in the progress bar.
            on_step: keep the value of the latest window. Default: in training.
            on_epoch: keep the epoch's mean. Default: in validation.
            batch_size: the weight of this value in the epoch's mean. Default: the elements a mean from `nn.functional`
                was taken over, else the window's rows times steps.

        Raises:
            ModuleProtocolError: outside a step, or for a value that is no scalar.
        """
        logs.record(name, value, logs.Options(prog_bar, on_step, on_epoch), batch_size)

    def log_dict(self, values: dict[str, Any], **options: Any) -> None:
        """`log` for each entry, with the same options."""
        for name, value in values.items():
            self.log(name, value, **options)
