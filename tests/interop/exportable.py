"""Models to be viewed and exported, and what it takes to run them over two windows on any engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tbptt
from tbptt import nn, ops, optim, tree

ROWS, STEPS, FEATURES, UNITS, TOKENS = 3, 4, 2, 5, 7


class CharLM(tbptt.Module):
    """Tokens to logits."""

    def __init__(self, layer: Callable[..., Any] = nn.LSTM) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.embedding = nn.Embedding(TOKENS, UNITS)
        self.rnn = layer(UNITS, UNITS, num_layers=2, dropout=0.3)
        self.layers = [nn.Linear(UNITS, UNITS), nn.LayerNorm(UNITS)]
        self.head = nn.Linear(UNITS, TOKENS)

    def forward(self, tokens: Any, state: Any = None) -> Any:
        features, state = self.rnn(self.embedding(tokens), state)
        for layer in self.layers:
            features = ops.tanh(layer(features))
        return self.head(features), state

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        logits, hiddens = self(batch[0], hiddens)
        return nn.functional.cross_entropy(logits, batch[1]), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: nn.LSTM(FEATURES, UNITS, num_layers=2),
    "gru": lambda: nn.GRU(FEATURES, UNITS, num_layers=2),
    "rnn": lambda: nn.RNN(FEATURES, UNITS, nonlinearity="relu", bias=False),
    "char_lm": CharLM,
    "stateless": lambda: nn.Sequential(nn.Linear(FEATURES, UNITS), ops.tanh, nn.Linear(UNITS, 1)),
}


def windows(name: str, rows: int = ROWS, steps: int = STEPS, dtype: str = "float32") -> list[np.ndarray[Any, Any]]:
    """Inputs of two windows."""
    draw = np.random.default_rng(0)
    if name == "char_lm":
        return [draw.integers(0, TOKENS, (rows, steps)) for _ in range(2)]
    return [draw.normal(size=(rows, steps, FEATURES)).astype(dtype) for _ in range(2)]


def run(model: Any, inputs: list[np.ndarray[Any, Any]], tensor: Callable[[Any], Any] = ops.asarray) -> list[Any]:
    """What a model, or a view of one, answers to windows in turn, state carried: every output and state as arrays."""
    answers, state = [], None
    for window in inputs:
        answer = model(tensor(window)) if state is None else model(tensor(window), state)
        state = answer[1] if isinstance(answer, tuple) else None
        answers += [ops.to_numpy(leaf) for leaf in tree.leaves(answer)]
    return answers


def assert_close(received: list[Any], expected: list[Any], tolerance: float) -> None:
    assert len(received) == len(expected)
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
