"""Two optimizers: one steps at every second batch, the other at every fourth.

A predictor learns to say the next value of a noisy wave, a critic how far the predictor will be off. Each has a state of its own,
and `hiddens` is both. In a window both optimizers start from the state that entered it; what the last one returns is carried on.
"""

from __future__ import annotations

import numpy as np

import tbptt
from tbptt import nn, ops, optim


class Tracker(nn.Module):
    def __init__(self, width: int):
        self.rnn = nn.GRU(1, width)
        self.head = nn.Linear(width, 1)

    def forward(self, inputs, state=None):
        features, state = self.rnn(inputs, state)
        return self.head(features), state


class PredictorAndCritic(tbptt.Module):
    def __init__(self, width: int):
        super().__init__()
        self.predictor, self.critic = Tracker(width), Tracker(width)

    def training_step(self, batch, batch_idx, optimizer_idx, hiddens):
        inputs, targets = batch
        state, critic_state = hiddens or (None, None)
        prediction, state = self.predictor(inputs, state)
        expected_error, critic_state = self.critic(inputs, critic_state)
        if optimizer_idx == 0:
            loss = nn.functional.mse_loss(prediction, targets)
            self.log("predictor", loss, on_step=False, on_epoch=True)
        else:
            error = ops.abs(tbptt.stop_gradient(ops.subtract(prediction, targets)))
            loss = nn.functional.mse_loss(expected_error, error)
            self.log("critic", loss, on_step=False, on_epoch=True)
        return {"loss": loss, "hiddens": (state, critic_state)}

    def configure_optimizers(self):
        return optim.Adam(self.predictor.parameters(), lr=1e-2), optim.Adam(self.critic.parameters(), lr=1e-2)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_idx, optimizer_closure):
        every = (2, 4)[optimizer_idx]
        if batch_idx % every == 0:
            optimizer.step(optimizer_closure)

    def on_train_epoch_end(self):
        losses = self.trainer.callback_metrics
        self.print(f"epoch {self.current_epoch}  predictor {losses['predictor']:.4f}  critic {losses['critic']:.4f}")


def make_data(sequences: int, steps: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Waves of random phase; in one half of each period the noise is larger, which is what a critic can find out."""
    generator = np.random.default_rng(0)
    phase = generator.uniform(0, 2 * np.pi, (sequences, 1, 1)) + 0.3 * np.arange(steps + 1)[:, None]
    noise = np.where(np.sin(phase) > 0, 0.4, 0.02) * generator.standard_normal(phase.shape)
    waves = (np.sin(phase) + noise).astype("float32")
    return waves[:, :-1], waves[:, 1:]


def main(epochs: int = 8, sequences: int = 128, width: int = 16, **options) -> list[int]:
    tbptt.seed_everything(0)
    stream = tbptt.data.ArrayStream(make_data(sequences), batch_size=8)
    trainer = tbptt.Trainer(max_epochs=epochs, truncated_bptt_steps=20, enable_progress_bar=False, **options)
    trainer.fit(PredictorAndCritic(width), stream)
    updates = [optimizer.step_count for optimizer in trainer.optimizers]
    print(f"updates: {updates[0]} of the predictor, {updates[1]} of the critic, in {epochs * len(stream)} batches")
    return updates


if __name__ == "__main__":
    main()
