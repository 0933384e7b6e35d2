"""What a window costs through the trainer, against the best loop written by hand for that engine.

    python benchmarks/window_step.py [--engine torch|tensorflow] [--width 512] [--windows 60] ...

Both run in one process, one window of each in turn: the hand-written window runs inside the trainer's
`on_window_end`, so that neither sees another machine than the other. The ratio is the median of the pairs', with a 95 % interval of
that median from resampling. Ours has everything on: carrying, detaching, clipping, logging, counter-based dropout.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def torch_window(vocabulary: int, width: int, layers: int, dropout: float):
    """torch by hand: nn.LSTM, fused Adam, clipping."""
    import torch

    class Native(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(vocabulary, width)
            self.lstm = torch.nn.LSTM(width, width, layers, dropout=dropout, batch_first=True)
            self.head = torch.nn.Linear(width, vocabulary)

        def forward(self, tokens, state):
            features, state = self.lstm(self.embedding(tokens), state)
            return self.head(features), state

    model = Native()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    state = None

    def window(tokens: np.ndarray, targets: np.ndarray) -> None:
        nonlocal state
        x, y = torch.from_numpy(tokens.astype("int64")), torch.from_numpy(targets.astype("int64"))
        logits, state = model(x, state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple(part.detach() for part in state)

    return window


def tensorflow_window(vocabulary: int, width: int, layers: int, dropout: float):
    """TensorFlow by hand: Keras layers, a tape and Keras' Adam under one tf.function."""
    import keras
    import tensorflow as tf

    embedding = keras.layers.Embedding(vocabulary, width)
    lstms = [keras.layers.LSTM(width, return_sequences=True, return_state=True) for _ in range(layers)]
    drops = [keras.layers.Dropout(dropout) for _ in range(layers - 1)]
    head = keras.layers.Dense(vocabulary)
    optimizer = keras.optimizers.Adam(2e-3)
    criterion = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def forward(tokens, states):
        features, after = embedding(tokens), []
        for index, lstm in enumerate(lstms):
            features, *state = lstm(features, initial_state=states[index])
            after.append(state)
            if index < layers - 1:
                features = drops[index](features, training=True)
        return head(features), after

    zeros = None
    variables: list = []

    @tf.function
    def step(tokens, targets, states):
        with tf.GradientTape() as tape:
            logits, states = forward(tokens, states)
            loss = criterion(targets, logits)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, states

    states = None

    def window(tokens: np.ndarray, targets: np.ndarray) -> None:
        nonlocal states, zeros
        x, y = tf.constant(tokens.astype("int32")), tf.constant(targets.astype("int32"))
        if states is None:
            states = [[tf.zeros((len(tokens), width))] * 2 for _ in range(layers)]
            forward(x, states)
            for layer in (embedding, *lstms, head):
                variables.extend(layer.trainable_variables)
            optimizer.build(variables)
        loss, states = step(x, y, states)
        loss.numpy()

    return window


def measure(engine: str, options: argparse.Namespace) -> list[tuple[float, float]]:
    """Seconds of (ours, by hand) for each pair of windows after the warm-up."""
    import torch  # first, as TensorFlow's libraries require  # noqa: F401

    import tbptt
    from tbptt import nn, optim

    class CharLM(tbptt.Module):
        def __init__(self, vocabulary: int):
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, options.width)
            self.lstm = nn.LSTM(options.width, options.width, num_layers=options.layers, dropout=options.dropout)
            self.head = nn.Linear(options.width, vocabulary)

        def training_step(self, batch, batch_idx, hiddens):
            tokens, targets = batch
            features, hiddens = self.lstm(self.embedding(tokens), hiddens)
            loss = nn.functional.cross_entropy(self.head(features), targets)
            self.log("train_loss", loss, prog_bar=True)
            return {"loss": loss, "hiddens": hiddens}

        def configure_optimizers(self):
            return optim.Adam(self.parameters(), lr=2e-3)

    by_hand = {"torch": torch_window, "tensorflow": tensorflow_window}[engine](
        options.vocabulary, options.width, options.layers, options.dropout
    )
    pairs: list[tuple[float, float]] = []

    class Alternate(tbptt.Callback):
        def on_train_start(self, trainer, module):
            self.begun = time.perf_counter()

        def on_window_end(self, trainer, module, outputs, window, window_idx):
            float(outputs["loss"])  # both are waited for
            ours = time.perf_counter() - self.begun
            begun = time.perf_counter()
            steps = slice(window_idx * options.window, (window_idx + 1) * options.window)
            by_hand(tokens[:, steps], targets[:, steps])
            self.begun = time.perf_counter()
            if window_idx >= options.warm_up:
                pairs.append((ours, self.begun - begun))

    steps = options.window * (options.windows + options.warm_up)
    corpus = np.random.default_rng(0).integers(0, options.vocabulary, options.batch * steps + 1).astype("uint8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "corpus.bin")
        path.write_bytes(corpus.tobytes())
        stream = tbptt.data.TextStream(path, batch_size=options.batch, unit="byte")
        tokens, targets = next(iter(stream))
        with tbptt.use_backend(engine):
            trainer = tbptt.Trainer(
                max_epochs=1,
                truncated_bptt_steps=options.window,
                gradient_clip_val=1.0,
                callbacks=Alternate(),
                compile={"auto": "auto", "true": True, "false": False}[options.compile],
                enable_progress_bar=False,
            )
            trainer.fit(CharLM(options.vocabulary), stream)
    return pairs


def interval(ratios: np.ndarray) -> tuple[float, float]:
    """95 % interval of the median, by resampling."""
    draws = np.random.default_rng(0).choice(ratios, (4000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("torch", "tensorflow"), help="default: each, in processes of their own")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=96)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--windows", type=int, default=40, help="pairs to measure")
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--compile", choices=("auto", "true", "false"), default="auto")
    options = parser.parse_args()
    if options.engine is None:
        for engine in ("torch", "tensorflow"):
            environment = {**os.environ, "TBPTT_BACKEND": engine}
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--engine", engine], check=True, env=environment)
        return
    pairs = np.array(measure(options.engine, options))
    ours, by_hand = np.median(pairs, axis=0) * 1000
    ratios = pairs[:, 0] / pairs[:, 1]
    low, high = interval(ratios)
    print(
        f"{options.engine:>10}: ours {ours:.1f} ms, by hand {by_hand:.1f} ms, "
        f"median paired ratio {np.median(ratios):.3f} [{low:.3f}, {high:.3f}] over {len(pairs)} pairs"
    )


if __name__ == "__main__":
    main()
