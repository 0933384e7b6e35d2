"""Manual optimization: ten windows of every batch in a loop inside `training_step`, an update for each.

The model and the data of `average_regression.py`, and therefore its losses: what the trainer does there by itself is written out.
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, optim


class Regression(tbptt.Module):
    automatic_optimization = False

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(10, 20)
        self.head = nn.Linear(20, 5)

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        hiddens = None
        for inputs, targets in tbptt.windows(batch, 10):  # windows of 10 time steps, not 10 windows
            features, hiddens = self.lstm(inputs, hiddens)
            loss = nn.functional.mse_loss(self.head(features), targets)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            hiddens = tbptt.detach(hiddens)
            self.log("train_loss", loss, on_step=False, on_epoch=True)

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=1e-3)

    def on_train_epoch_end(self):
        self.print(f"epoch {self.current_epoch}  loss {self.trainer.callback_metrics['train_loss']:.4f}")


def make_data(sequences: int, steps: int = 100) -> tuple[np.ndarray, np.ndarray]:
    inputs = np.random.default_rng(0).standard_normal((sequences, steps, 10)).astype("float32")
    first, second = inputs[..., :5], inputs[..., 5:]
    return inputs, first + np.roll(second, 1, axis=-1)


def main(epochs: int = 4, sequences: int = 100, **options) -> float:
    tbptt.seed_everything(0)
    stream = tbptt.data.ArrayStream(make_data(sequences), batch_size=10)
    trainer = tbptt.Trainer(max_epochs=epochs, enable_progress_bar=False, **options)
    trainer.fit(Regression(), stream)
    print(f"{trainer.global_step} updates in {epochs * len(stream)} batches")
    return trainer.callback_metrics["train_loss"]


if __name__ == "__main__":
    main()
