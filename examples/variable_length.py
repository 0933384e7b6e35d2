"""Sequences of different length in one batch: a row that has ended adds nothing to loss or state.

The task: the mean of a sequence's inputs so far. `tbptt.data.pad` makes one array of the sequences, with their lengths beside it;
windows count the lengths down; layers and losses take what is left of them.
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, optim


class MeanSoFar(tbptt.Module):
    def __init__(self, width: int):
        super().__init__()
        self.lstm = nn.LSTM(1, width)
        self.head = nn.Linear(width, 1)

    def loss(self, batch, hiddens):
        inputs, targets = batch  # each a tbptt.Padded: values (batch, time, 1) and lengths (batch,)
        features, hiddens = self.lstm(inputs.values, hiddens, lengths=inputs.lengths)
        return nn.functional.mse_loss(self.head(features), targets.values, lengths=targets.lengths), hiddens

    def training_step(self, batch, batch_idx, hiddens):
        loss, hiddens = self.loss(batch, hiddens)
        self.log("train_loss", loss, on_step=False, on_epoch=True)  # its mean counts steps, not windows
        return {"loss": loss, "hiddens": hiddens}

    def validation_step(self, batch, batch_idx, hiddens):
        loss, hiddens = self.loss(batch, hiddens)
        self.log("val_loss", loss)
        return {"hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=1e-2)

    def on_train_epoch_end(self):
        self.print(f"epoch {self.current_epoch}  loss {self.trainer.callback_metrics['train_loss']:.4f}")


def make_data(sequences: int) -> tuple[tbptt.Padded, tbptt.Padded]:
    generator = np.random.default_rng(0)
    inputs = [generator.normal(generator.normal(), 1.0, (length, 1)) for length in generator.integers(5, 61, sequences)]
    means = [np.cumsum(x, axis=0) / np.arange(1, len(x) + 1)[:, None] for x in inputs]
    return tbptt.data.pad(inputs), tbptt.data.pad(means)


def with_nonsense(padded: tbptt.Padded) -> tbptt.Padded:
    """The same rows with NaN beyond their ends."""
    inside = np.arange(padded.values.shape[1]) < padded.lengths[:, None]
    return tbptt.Padded(np.where(inside[..., None], padded.values, np.nan), padded.lengths)


def main(epochs: int = 10, sequences: int = 120, width: int = 16, **options) -> float:
    tbptt.seed_everything(0)
    data = make_data(sequences)
    model = MeanSoFar(width)
    trainer = tbptt.Trainer(max_epochs=epochs, truncated_bptt_steps=20, enable_progress_bar=False, **options)
    trainer.fit(model, tbptt.data.ArrayStream(data, batch_size=max(1, sequences // 4)))
    for padding, batch in (("zero", data), ("NaN", tuple(with_nonsense(part) for part in data))):
        [metrics] = trainer.validate(model, batch)
        print(f"loss of all sequences as one batch, padded with {padding}: {metrics['val_loss']:.6f}")
    return metrics["val_loss"]


if __name__ == "__main__":
    main()
