"""The recipe of Lightning's documentation: `truncated_bptt_steps = 2`, and a training step that takes and returns `hiddens`.

The task: a leaky sum of the inputs, which reaches further back than the two steps a gradient does.
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, optim


class LeakySum(tbptt.Module):
    truncated_bptt_steps = 2  # time steps per window

    def __init__(self, hidden_size: int):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden_size, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)

    def training_step(self, batch, batch_idx, hiddens):
        x, y = batch
        out, hiddens = self.lstm(x, hiddens)  # `hiddens` of the window before, cut from its past; None at first
        loss = nn.functional.mse_loss(self.head(out), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return {"loss": loss, "hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=5e-3)

    def on_train_epoch_end(self):
        self.print(f"epoch {self.current_epoch}  loss {self.trainer.callback_metrics['train_loss']:.4f}")


def make_data(sequences: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((sequences, steps, 1)).astype("float32")
    y = np.zeros_like(x)
    for t in range(steps):
        y[:, t] = 0.8 * y[:, t - 1] + x[:, t] if t else x[:, t]
    return x, y


def main(epochs: int = 5, sequences: int = 128, steps: int = 40, hidden_size: int = 16, **options) -> float:
    tbptt.seed_everything(0)
    stream = tbptt.data.ArrayStream(make_data(sequences, steps), batch_size=16)
    trainer = tbptt.Trainer(max_epochs=epochs, enable_progress_bar=False, **options)
    trainer.fit(LeakySum(hidden_size), stream)
    print(f"{trainer.global_step} updates, one for every two time steps of a batch")
    return trainer.callback_metrics["train_loss"]


if __name__ == "__main__":
    main()
