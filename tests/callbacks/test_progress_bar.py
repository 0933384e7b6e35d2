"""The progress bar, drawn on a terminal that remembers."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from callbacks.fakes import FakeTrainer
from tbptt.callbacks import ProgressBar


def bar(**options: Any) -> tuple[ProgressBar, io.StringIO]:
    screen = io.StringIO()
    return ProgressBar(refresh_seconds=0, console=Console(file=screen, width=120, **options)), screen


def drawn(screen: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())


def epoch(trainer: FakeTrainer, batches: int, windows: int) -> None:
    trainer("on_train_epoch_start")
    for batch_idx in range(batches):
        trainer("on_train_batch_start", None, batch_idx)
        for window_idx in range(windows):
            trainer("on_window_end", {"loss": 0.25}, None, window_idx)
    trainer("on_validation_start")
    for batch_idx in range(3):
        trainer("on_validation_batch_start", None, batch_idx, 0)
    trainer("on_validation_end")
    trainer.callback_metrics = {"train_loss": 0.5, "lr-Adam": 2e-5}
    trainer("on_train_epoch_end")
    trainer.current_epoch += 1


def test_the_bar_shows_epoch_batch_window_losses_and_validation() -> None:
    callback, screen = bar(force_terminal=True)
    trainer = FakeTrainer(
        callback,
        max_epochs=2,
        num_windows=4,
        num_training_batches=2,
        num_evaluation_batches=3,
        progress_bar_metrics={"acc": 0.75},
    )
    trainer.start()
    epoch(trainer, batches=2, windows=4)
    epoch(trainer, batches=2, windows=4)
    trainer.end()
    text = drawn(screen)
    for epoch_number in (1, 2):
        for batch in (1, 2):
            for window in range(1, 5):
                line = rf"epoch {epoch_number}/2  batch {batch}/2  window {window}/4 .* loss 0\.2500  acc 0\.7500"
                assert re.search(line, text), (epoch_number, batch, window)
    for batch in (1, 2, 3):
        assert re.search(rf"validating batch\s+{batch}/3", text)
    _, found, rest = text.partition("epoch 2/2  train_loss 0.5000  lr-Adam 2.000e-05\n")
    assert found and "validating" not in rest  # its row is gone


def test_where_nobody_watches_there_is_one_line_an_epoch() -> None:
    callback, log = bar()
    trainer = FakeTrainer(callback, max_epochs=None).start()
    epoch(trainer, 1, 2)
    epoch(trainer, 1, 2)
    trainer.end()
    assert log.getvalue() == "".join(f"epoch {n}  train_loss 0.5000  lr-Adam 2.000e-05\n" for n in (1, 2))


@pytest.mark.parametrize(
    ("stage", "words"), [("validation", "validating"), ("test", "testing"), ("predict", "predicting")]
)
def test_other_stages_have_a_bar_of_their_own(stage: str, words: str) -> None:
    callback, screen = bar(force_terminal=True)
    trainer = FakeTrainer(callback)
    trainer(f"on_{stage}_start")
    trainer(f"on_{stage}_batch_start", None, 0, 0)
    assert callback._progress is not None and callback._progress.live.is_started
    trainer(f"on_{stage}_end")
    assert callback._progress is None
    assert re.search(rf"{words} batch\s+1/\?", drawn(screen))


def test_the_sanity_check_is_called_by_its_name() -> None:
    callback, screen = bar(force_terminal=True)
    trainer = FakeTrainer(callback, sanity_checking=True)
    trainer("on_validation_start")
    trainer("on_validation_batch_start", None, 0, 0)
    trainer("on_validation_end")
    assert "checking batch" in drawn(screen)


def test_an_exception_leaves_the_terminal_as_it_was() -> None:
    callback, screen = bar(force_terminal=True)
    trainer = FakeTrainer(callback).start()
    assert "\x1b[?25l" in screen.getvalue()  # the cursor is hidden
    trainer("on_exception", KeyboardInterrupt())
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


def test_a_step_without_a_loss_is_shown_without_it() -> None:
    callback, screen = bar(force_terminal=True)
    trainer = FakeTrainer(callback, progress_bar_metrics={"acc": 0.75}).start()
    trainer("on_train_batch_start", None, 0)
    trainer("on_window_end", None, None, 0)
    assert "acc 0.7500" in drawn(screen) and "loss" not in drawn(screen)
