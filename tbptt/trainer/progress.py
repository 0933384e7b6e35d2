"""A progress bar with epoch, batch, window and losses; where nobody watches, a line per epoch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tbptt.trainer.callbacks import Callback
from tbptt.types import Tree

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from tbptt.trainer.trainer import Trainer


class ProgressBar(Callback):
    """Shown while `Trainer.fit` runs (``enable_progress_bar=True``).

    Values are fetched from the device when the bar is drawn, a few times a second, not at every window.

    Args:
        refresh_seconds: the least time between two drawings.
        console: where to draw; the terminal's error stream by default.
    """

    def __init__(self, refresh_seconds: float = 0.25, console: Console | None = None) -> None:
        from rich.console import Console  # here and below: a tenth of the time `import tbptt` may take

        self._refresh_seconds = refresh_seconds
        self._console = console or Console(stderr=True)
        self._values = ""
        self._progress: Progress | None = None
        self._drawn = 0.0

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Show the bar."""
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}  batch {task.fields[batch]}  window"),
            MofNCompleteColumn(),
            BarColumn(bar_width=12),
            TimeElapsedColumn(),
            TextColumn("{task.fields[values]}"),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("fit", epoch="0", batch="0", values="")
        self._progress.start()

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Tree, batch_idx: int) -> None:
        """A new batch, a new count of windows."""
        if self._progress:
            self._progress.reset(
                self._task,
                total=trainer.num_windows,
                epoch=_of(trainer.current_epoch, trainer.max_epochs),
                batch=_of(batch_idx, trainer.num_training_batches),
                values=self._values,
            )

    def on_window_end(
        self, trainer: Trainer, module: Any, outputs: dict[str, Any], window: Tree, window_idx: int
    ) -> None:
        """Draw, if the last time is long enough ago."""
        if self._progress and time.monotonic() - self._drawn >= self._refresh_seconds:
            self._drawn = time.monotonic()
            values = {"loss": float(outputs["loss"]), **trainer.progress_bar_metrics}
            self._values = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
            self._progress.update(self._task, completed=window_idx + 1, values=self._values, refresh=True)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        """One line that stays."""
        values = "  ".join(f"{name} {value:.4f}" for name, value in trainer.callback_metrics.items())
        self._console.print(
            f"epoch {_of(trainer.current_epoch, trainer.max_epochs)}  {values}", highlight=False, soft_wrap=True
        )

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._stop()

    def _stop(self) -> None:
        if self._progress:
            self._progress.stop()
            self._progress = None


def _of(index: int, total: int | None) -> str:
    return f"{index + 1}/{total}" if total is not None else str(index + 1)
