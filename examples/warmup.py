"""Learning-rate warm-up by overriding `optimizer_step`: the rate rises in a line to its peak over the first updates.

The task: whether the sum of the inputs so far is above zero. (`optim.lr_scheduler.LinearLR` would do the same without a hook.)
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, optim


class WarmedUp(tbptt.Module):
    def __init__(self, width: int, peak: float, warmup_steps: int):
        super().__init__()
        self.gru = nn.GRU(1, width)
        self.head = nn.Linear(width, 1)
        self.peak, self.warmup_steps = peak, warmup_steps

    def training_step(self, batch, batch_idx, hiddens):
        inputs, targets = batch
        features, hiddens = self.gru(inputs, hiddens)
        loss = nn.functional.binary_cross_entropy_with_logits(self.head(features), targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return {"loss": loss, "hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.peak)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_idx, optimizer_closure):
        scale = min(1.0, (self.global_step + 1) / self.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = scale * self.peak
        optimizer.step(optimizer_closure)

    def on_train_epoch_end(self):
        loss, rate = self.trainer.callback_metrics["train_loss"], self.optimizers().lr
        self.print(f"epoch {self.current_epoch}  loss {loss:.4f}  rate of the last update {rate:.5f}")


def make_data(sequences: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    inputs = np.random.default_rng(0).standard_normal((sequences, steps, 1))
    return inputs.astype("float32"), (np.cumsum(inputs, axis=1) > 0).astype("float32")


def main(
    epochs: int = 6, sequences: int = 160, steps: int = 60, width: int = 16, warmup_steps: int = 100, **options
) -> float:
    tbptt.seed_everything(0)
    stream = tbptt.data.ArrayStream(make_data(sequences, steps), batch_size=16)
    trainer = tbptt.Trainer(max_epochs=epochs, truncated_bptt_steps=20, enable_progress_bar=False, **options)
    trainer.fit(WarmedUp(width, 0.02, warmup_steps), stream)
    return trainer.callback_metrics["train_loss"]


if __name__ == "__main__":
    main()
