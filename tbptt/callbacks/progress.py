"""A progress bar with epoch, batch, window and losses, one more while validating; where nobody watches, a line per epoch."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from tbptt.callbacks.base import Callback
from tbptt.types import Tree

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from tbptt.trainer.trainer import Trainer


class ProgressBar(Callback):
    """Shown while a trainer runs (``enable_progress_bar=True``).

    Values are fetched from the device when the bar is drawn, a few times a second, not at every window.

    >>> import io, rich.console, tbptt
    >>> log = io.StringIO()  # not a terminal: one line for each epoch
    >>> bar = tbptt.callbacks.ProgressBar(console=rich.console.Console(file=log))
    >>> trainer = tbptt.Trainer(max_epochs=2, callbacks=bar)

    Args:
        refresh_seconds: the least time between two drawings.
        console: where to draw; the terminal's error stream by default.
    """

    after_module = True

    def __init__(self, refresh_seconds: float = 0.25, console: Console | None = None) -> None:
        from rich.console import Console  # here and below: a tenth of the time `import tbptt` may take

        self._refresh_seconds = refresh_seconds
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._training: TaskID | None = None
        self._evaluating: TaskID | None = None
        self._values = ""
        self._drawn = 0.0

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Show the bar."""
        self._values = ""
        self._training = self._add("epoch 1  batch 1  window", None)

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> None:
        """A new batch, a new count of windows."""
        if self._progress and self._training is not None:
            epoch = _of(trainer.current_epoch, trainer.max_epochs)
            self._progress.reset(
                self._training,
                total=trainer.num_windows,
                description=f"epoch {epoch}  batch {_of(batch_idx, trainer.num_training_batches)}  window",
                values=self._values,
            )

    def on_window_end(self, trainer: Trainer, module: Any, outputs: Any, window: Tree, window_idx: int) -> None:
        """Draw, if the last time is long enough ago."""
        if self._progress and self._training is not None and self._is_due():
            values = {name: float(value) for name, value in trainer.progress_bar_metrics.items()}
            if isinstance(outputs, dict) and "loss" in outputs:  # a step that optimizes by hand may return none
                values = {"loss": float(outputs["loss"]), **values}
            self._values = _text(values)
            self._progress.update(self._training, completed=window_idx + 1, values=self._values, refresh=True)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """One line that stays."""
        line = f"epoch {_of(trainer.current_epoch, trainer.max_epochs)}  {_text(trainer.callback_metrics)}"
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def on_validation_start(self, trainer: Trainer, module: Any) -> None:
        """Show a bar of its own."""
        self._open("checking batch" if trainer.sanity_checking else "validating batch", trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Count."""
        self._count(batch_idx)

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        """Take it away."""
        self._close()

    def on_test_start(self, trainer: Trainer, module: Any) -> None:
        """Show a bar of its own."""
        self._open("testing batch", trainer)

    def on_test_batch_start(
        self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Count."""
        self._count(batch_idx)

    def on_test_end(self, trainer: Trainer, module: Any) -> None:
        """Take it away."""
        self._close()

    def on_predict_start(self, trainer: Trainer, module: Any) -> None:
        """Show a bar of its own."""
        self._open("predicting batch", trainer)

    def on_predict_batch_start(
        self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int, dataloader_idx: int
    ) -> None:
        """Count."""
        self._count(batch_idx)

    def on_predict_end(self, trainer: Trainer, module: Any) -> None:
        """Take it away."""
        self._close()

    def print(self, *values: Any) -> None:
        """Print above the bar."""
        self._console.print(*values, highlight=False, soft_wrap=True, markup=False)

    def _open(self, description: str, trainer: Trainer) -> None:
        self._evaluating = self._add(description, trainer.num_evaluation_batches)

    def _count(self, batch_idx: int) -> None:
        if self._progress and self._evaluating is not None:
            # the first is always shown: before it nobody knows what is being waited for
            self._progress.update(self._evaluating, completed=batch_idx + 1, refresh=batch_idx == 0 or self._is_due())

    def _close(self) -> None:
        if self._progress and self._evaluating is not None:
            self._progress.remove_task(self._evaluating)
            self._progress.refresh()
            self._evaluating = None
        if self._training is None:
            self._stop()

    def _add(self, description: str, total: int | None) -> TaskID | None:
        """A row of the bar, which is made with its first row; None where nobody watches."""
        if not self._console.is_terminal:
            return None
        progress = self._progress
        if progress is None:
            progress = self._progress = _make_progress(self._console)
            progress.start()
        return progress.add_task(description, total=total, values="")

    def _is_due(self) -> bool:
        now = time.monotonic()
        due = now - self._drawn >= self._refresh_seconds
        if due:
            self._drawn = now
        return due

    def _stop(self) -> None:
        if self._progress:
            self._progress.stop()
        self._progress = self._training = self._evaluating = None


def _make_progress(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        TextColumn("{task.fields[values]}", markup=False),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what a script prints into a file or a pipe belongs there
    )


def _of(index: int, total: int | None) -> str:
    return f"{index + 1}/{total}" if total is not None and total >= 0 else str(index + 1)


def _text(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    """Four places, unless they would hide a small number, a learning rate say, or be lost on a large one."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"
