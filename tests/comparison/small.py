"""A small model, its data, and a recorded training of it."""

from __future__ import annotations

from typing import Any

import numpy as np

import tbptt
from tbptt import nn, optim
from tbptt.comparison import Record, Recorder


class Small(tbptt.Module):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.lstm, self.head, self.lr = nn.LSTM(2, 3), nn.Linear(3, 1), lr

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        features, hiddens = self.lstm(batch[0], hiddens)
        loss = nn.functional.mse_loss(self.head(features), batch[1])
        self.log("train_loss", loss)
        return loss, hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=self.lr)


def data(batches: int = 1, steps: int = 20) -> list[Any]:
    x = np.random.default_rng(1).standard_normal((batches, 3, steps, 2))
    return [(each, np.cumsum(each, axis=1)[..., :1]) for each in x]


def trainer(**options: Any) -> tbptt.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    return tbptt.Trainer(**{"max_epochs": 1, "truncated_bptt_steps": 5, "precision": "64-true", **quiet, **options})


def recorded(model: Any = None, batches: Any = None, **options: Any) -> list[Record]:
    records: list[Record] = []
    tbptt.seed_everything(0)
    trainer(callbacks=Recorder(records.append), **options).fit(model or Small(), batches or data())
    return records
