"""Only the last output of each window is compared with a target: windows of 20 steps, sequences of 100.

The task: the mean of all inputs so far. The state brings to a window what the earlier ones summed up.
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

    def training_step(self, batch, batch_idx, hiddens):
        inputs, targets = batch
        features, hiddens = self.lstm(inputs, hiddens)
        loss = nn.functional.mse_loss(self.head(features[:, -1]), targets[:, -1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return {"loss": loss, "hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=5e-3)

    def on_train_epoch_end(self):
        self.print(f"epoch {self.current_epoch}  loss {self.trainer.callback_metrics['train_loss']:.4f}")


def make_data(sequences: int, steps: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Inputs around a level of each sequence's own, and their mean so far; (sequences, steps, 1) both."""
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((sequences, 1, 1)) + generator.standard_normal((sequences, steps, 1))
    means = np.cumsum(inputs, axis=1) / np.arange(1, steps + 1)[:, None]
    return inputs.astype("float32"), means.astype("float32")


def main(epochs: int = 8, sequences: int = 200, width: int = 24, **options) -> float:
    tbptt.seed_everything(0)
    data = make_data(sequences)
    trainer = tbptt.Trainer(max_epochs=epochs, truncated_bptt_steps=20, enable_progress_bar=False, **options)
    trainer.fit(MeanSoFar(width), tbptt.data.ArrayStream(data, batch_size=20))
    print(f"the targets' variance at the windows' ends: {data[1][:, 19::20].var():.4f}")
    return trainer.callback_metrics["train_loss"]


if __name__ == "__main__":
    main()
