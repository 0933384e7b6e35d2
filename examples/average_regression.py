"""Regression over sequences: 300 of 100 steps with 10 features, windows of 10 steps.

The target of a step is the sum of the two halves of its features, the second rolled by one: five numbers.
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, optim


class Regression(tbptt.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(10, 20)
        self.head = nn.Linear(20, 5)

    def training_step(self, batch, batch_idx, hiddens):
        inputs, targets = batch
        features, hiddens = self.lstm(inputs, hiddens)
        loss = nn.functional.mse_loss(self.head(features), targets)
        self.log("train_loss", loss, prog_bar=True, on_epoch=True)
        return {"loss": loss, "hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=1e-3)


def make_data(sequences: int = 300, steps: int = 100) -> tuple[np.ndarray, np.ndarray]:
    inputs = np.random.default_rng(0).standard_normal((sequences, steps, 10)).astype("float32")
    first, second = inputs[..., :5], inputs[..., 5:]
    return inputs, first + np.roll(second, 1, axis=-1)


def main(epochs: int = 5, sequences: int = 300) -> float:
    tbptt.seed_everything(0)
    stream = tbptt.data.ArrayStream(make_data(sequences), batch_size=10)
    trainer = tbptt.Trainer(max_epochs=epochs, truncated_bptt_steps=10)
    trainer.fit(Regression(), stream)
    print(f"mean squared error of the last epoch: {trainer.callback_metrics['train_loss']:.6f}")
    return trainer.callback_metrics["train_loss"]


if __name__ == "__main__":
    main()
