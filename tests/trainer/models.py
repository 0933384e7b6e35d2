"""Small models the trainer's tests train, and what they record."""

from __future__ import annotations

from typing import Any

import numpy as np

import tbptt
from tbptt import nn, ops, optim

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class CharLM(tbptt.Module):
    """The script of DESIGN's section 5, with a choice of layer, sizes and optimizer."""

    def __init__(
        self, vocabulary: int = 11, width: int = 12, layer: str = "lstm", dropout: float = 0.1, optimizer: Any = None
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = LAYERS[layer](width, width, num_layers=2, dropout=dropout)
        self.head = nn.Linear(width, vocabulary)
        self.optimizer = optimizer or (lambda parameters: optim.Adam(parameters, lr=2e-3))

    def forward(self, tokens: Any, state: Any = None) -> Any:
        features, state = self.lstm(self.embedding(tokens), state)
        return self.head(features), state

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        tokens, targets = batch
        logits, hiddens = self(tokens, hiddens)
        loss = nn.functional.cross_entropy(logits, targets)
        self.log("train_loss", loss, prog_bar=True)
        return {"loss": loss, "hiddens": hiddens}

    def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        tokens, targets = batch
        logits, hiddens = self(tokens, hiddens)
        self.log("val_loss", nn.functional.cross_entropy(logits, targets))
        return {"hiddens": hiddens}

    def configure_optimizers(self) -> Any:
        return self.optimizer(self.parameters())


class Losses(tbptt.Callback):
    """Every window's loss."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.values.append(float(outputs["loss"]))


def tokens(rows: int, steps: int, vocabulary: int = 11, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A text with something to learn: each token follows from the one before it, three times in four."""
    generator = np.random.default_rng(seed)
    text = generator.integers(0, vocabulary, (rows, steps + 1))
    for t in range(1, steps + 1):
        ruled = generator.random(rows) < 0.75
        text[:, t] = np.where(ruled, (3 * text[:, t - 1] + 1) % vocabulary, text[:, t])
    return text[:, :-1], text[:, 1:]


def train(
    engine: str, model: Any, data: Any, window: int, dtype: str = "float64", validation: Any = None, **options: Any
) -> tuple[list[float], dict[str, np.ndarray], tbptt.Trainer]:
    """Losses, parameters and trainer of a run from a fresh seed on one engine."""
    losses = Losses()
    with tbptt.use_backend(engine), tbptt.dtypes.dtype_scope(dtype):
        tbptt.seed_everything(0)
        module = model()
        trainer = tbptt.Trainer(
            **{
                "max_epochs": 1,
                "truncated_bptt_steps": window,
                "state_carry": "epoch",
                "gradient_clip_val": 1.0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                **options,
                "callbacks": [losses, *options.get("callbacks", ())],
            }
        )
        trainer.fit(module, data, validation)
        parameters = {name: np.array(ops.to_numpy(value)) for name, value in module.named_parameters()}
    return losses.values, parameters, trainer
