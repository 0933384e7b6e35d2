"""A word model of real text, the source of Python's own standard library: embedding, LSTM, softmax over 5,000 words.

The text is 32 contiguous rows; windows of 20 words are cut out of them, and the state flows through the whole epoch.
"""

from __future__ import annotations

import math
import re
import sysconfig
from collections import Counter
from pathlib import Path

import numpy as np

import tbptt
from tbptt import nn, optim

VOCABULARY, WINDOW, ROWS = 5000, 20, 32


class TextModel(tbptt.Module):
    def __init__(self, width: int):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width)
        self.head = nn.Linear(width, VOCABULARY)  # logits; the softmax is in the loss

    def forward(self, words, state=None):
        features, state = self.lstm(self.embedding(words), state)  # the state is (h, c)
        return self.head(features), state

    def training_step(self, batch, batch_idx, hiddens):
        words, targets = batch
        logits, hiddens = self(words, hiddens)
        loss = nn.functional.cross_entropy(logits, targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return {"loss": loss, "hiddens": hiddens}

    def validation_step(self, batch, batch_idx, hiddens):
        words, targets = batch
        logits, hiddens = self(words, hiddens)
        self.log("val_loss", nn.functional.cross_entropy(logits, targets))
        return {"hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=4e-3)

    def on_train_epoch_end(self):
        losses = self.trainer.callback_metrics  # the exponential of a mean, which is not the mean of exponentials
        train, val = math.exp(losses["train_loss"]), math.exp(losses["val_loss"])
        self.print(f"epoch {self.current_epoch}  perplexity {train:.1f}, in validation {val:.1f}")


def read_words(count: int) -> np.ndarray:
    """The first `count` words of the library as numbers, by rank; 0 is a word that is not among the most frequent."""
    words: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        words += re.findall(r"\w+|[^\w\s]|\n", path.read_text(encoding="utf-8"))
        if len(words) >= count:
            break
    frequent = Counter(words[:count]).most_common(VOCABULARY - 1)
    numbers = {word: number for number, (word, _) in enumerate(frequent, start=1)}
    return np.array([numbers.get(word, 0) for word in words[:count]], dtype="int32")


def as_stream(words: np.ndarray) -> tbptt.data.ArrayStream:
    """Rows of words and, one ahead, their targets."""
    return tbptt.data.ArrayStream.from_series((words[:-1], words[1:]), batch_size=ROWS)


def main(epochs: int = 2, words: int = 40_000, width: int = 64, **options) -> float:
    tbptt.seed_everything(0)
    text = read_words(words)
    train, validation = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    trainer = tbptt.Trainer(
        max_epochs=epochs,
        truncated_bptt_steps=WINDOW,
        state_carry="epoch",
        gradient_clip_val=1.0,
        enable_progress_bar=False,
        **options,
    )
    trainer.fit(TextModel(width), as_stream(train), as_stream(validation))
    return math.exp(trainer.callback_metrics["val_loss"])


if __name__ == "__main__":
    main()
