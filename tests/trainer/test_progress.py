"""The progress bar, drawn on a terminal that remembers."""

from __future__ import annotations

import io
import re

from rich.console import Console

import tbptt
from tbptt.protocols import Backend
from trainer.models import CharLM, tokens


def test_the_bar_shows_epoch_batch_window_and_losses(backend: Backend) -> None:
    screen = io.StringIO()
    bar = tbptt.ProgressBar(refresh_seconds=0, console=Console(file=screen, force_terminal=True, width=120))
    trainer = tbptt.Trainer(2, truncated_bptt_steps=5, callbacks=bar)
    trainer.fit(CharLM(), [tokens(3, 20), tokens(3, 12)])
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    for epoch in (1, 2):
        for batch, windows in ((1, 4), (2, 3)):
            for window in range(1, windows + 1):
                line = rf"epoch {epoch}/2  batch {batch}/2  window {window}/{windows} .* loss \d\.\d{{4}}"
                assert re.search(line, drawn), (epoch, batch, window)
    assert re.search(r"epoch 2/2  train_loss \d\.\d{4}", drawn)


def test_where_nobody_watches_there_is_one_line_an_epoch(backend: Backend) -> None:
    log = io.StringIO()
    bar = tbptt.ProgressBar(console=Console(file=log, width=40))
    tbptt.Trainer(2, truncated_bptt_steps=5, callbacks=bar).fit(CharLM(), [tokens(3, 20)], [tokens(3, 9)])
    assert re.fullmatch(r"(epoch [12]/2  train_loss \d\.\d{4}  val_loss \d\.\d{4}\n){2}", log.getvalue())
