"""A small training script, with a difference planted on one engine if the environment says so: for tests of ``tbptt compare``."""

from __future__ import annotations

import os

import numpy as np

import tbptt
from tbptt import nn, ops, optim

ENGINE, PLANT = tbptt.current_backend().name, os.environ.get("PLANT", "")
PLANTED = PLANT.partition(":")[0] if PLANT.partition(":")[2] == ENGINE else ""


class Model(tbptt.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 5), nn.Linear(5, 1)

    def forward(self, inputs, state=None):
        features, state = self.lstm(inputs, state)
        return self.head(features), state

    def training_step(self, batch, batch_idx, hiddens):
        outputs, hiddens = self(batch[0][:, :2], hiddens)
        if PLANTED != "detach":
            hiddens = tbptt.detach(hiddens)
        rest, hiddens = self(batch[0][:, 2:], hiddens)
        outputs = ops.concat([outputs, rest], axis=1)
        loss = nn.functional.mse_loss(outputs, batch[1])
        if PLANTED == "sum":
            loss = loss * 2
        return {"loss": loss, "hiddens": hiddens}

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=1e-2, eps=1e-6 if PLANTED == "epsilon" else 1e-8)


class Nudge(tbptt.Callback):
    """Moves one weight, before the fourth window."""

    def on_window_start(self, trainer, module, window, window_idx):
        if window_idx == 3 and PLANTED == "nudge":
            value = ops.to_numpy(module.head.weight).copy()
            value[0, 2] += 1e-6
            tbptt.current_backend().interop.write(module.head.weight, value)


def main(batches: int = 2) -> None:
    if PLANTED == "crash":
        raise RuntimeError("something broke in the script")
    generator = np.random.default_rng(0)
    x = generator.standard_normal((batches, 3, 40, 2)).astype("float32")
    if PLANTED == "data":
        x[0, 1, 12, 0] += 1e-3
    batches = [(each, np.cumsum(each, axis=1)[..., :1]) for each in x]
    model = Model()
    if PLANTED == "start":
        value = ops.to_numpy(model.lstm.weight_hh_l0).copy()
        value[4, 1] += 1e-6
        tbptt.current_backend().interop.write(model.lstm.weight_hh_l0, value)
    trainer = tbptt.Trainer(
        max_epochs=1,
        truncated_bptt_steps=5,
        gradient_clip_val=0.5 if PLANTED == "clip" else 1e-3,
        callbacks=Nudge(),
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=True,
    )
    trainer.fit(model, batches)
    print("the script came to its end")


if __name__ == "__main__":
    main()
