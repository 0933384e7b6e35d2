"""A character model of a text, trained with truncated backpropagation through time on either engine.

    TBPTT_BACKEND=torch      python examples/char_lm.py --max-steps 500
    TBPTT_BACKEND=tensorflow python examples/char_lm.py --max-steps 500

print the same losses. Without --text the text is the source of Python's own standard library.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
import time
from datetime import timedelta
from pathlib import Path

import numpy as np

import tbptt
from tbptt import nn, optim


class CharLM(tbptt.Module):
    def __init__(self, vocabulary: int, width: int, layers: int, dropout: float, rate):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, max(1, width // 4))
        self.lstm = nn.LSTM(max(1, width // 4), width, num_layers=layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocabulary)
        self.rate = rate

    def forward(self, tokens, state=None):
        features, state = self.lstm(self.embedding(tokens), state)
        return self.head(self.dropout(features)), state

    def training_step(self, batch, batch_idx, hiddens):
        tokens, targets = batch
        logits, hiddens = self(tokens, hiddens)
        loss = nn.functional.cross_entropy(logits, targets)
        self.log("train_loss", loss, prog_bar=True, on_step=False, on_epoch=True)
        return {"loss": loss, "hiddens": hiddens}

    def validation_step(self, batch, batch_idx, hiddens):
        tokens, targets = batch
        logits, hiddens = self(tokens, hiddens)
        self.log("val_loss", nn.functional.cross_entropy(logits, targets))
        return {"hiddens": hiddens}

    def configure_optimizers(self):
        return optim.AdamW(self.parameters(), lr=self.rate)


class Recorder(tbptt.Callback):
    """Every window's loss, and how long a window takes."""

    def __init__(self):
        self.losses, self.moments = [], []

    def on_window_end(self, trainer, module, outputs, window, window_idx):
        self.losses.append(float(outputs["loss"]))
        self.moments.append(time.perf_counter())

    @property
    def seconds_per_window(self) -> float:
        return float(np.median(np.diff(self.moments))) if len(self.moments) > 1 else math.nan


def cosine(peak: float, steps: int, minutes: float | None):
    """Falls from `peak` to a twentieth of it over `steps`, or over the minutes allowed, whichever end comes first."""
    started = time.monotonic()

    def rate(step: int) -> float:
        elapsed = (time.monotonic() - started) / (60 * minutes) if minutes else 0.0
        progress = min(1.0, max(step / steps, elapsed))
        return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))

    return rate


def sample(model: CharLM, stream: tbptt.data.TextStream, length: int, seed: int) -> str:
    """Characters drawn one by one from the model's own predictions, the state carried along."""
    generator, state, text = np.random.default_rng(seed), None, stream.vocabulary[0]
    model.eval()
    with tbptt.no_grad():
        for _ in range(length):
            tokens = tbptt.ops.asarray(stream.encode(text[-1:])[None])
            logits, state = model(tokens, state)
            scores = np.asarray(tbptt.ops.to_numpy(logits), dtype="float64")[0, -1]
            chances = np.exp(scores - scores.max())
            drawn = np.searchsorted(np.cumsum(chances / chances.sum()), generator.random())
            text += stream.decode([min(drawn, len(chances) - 1)])
    return text[1:]


def plot(losses: list[float], backend: str, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(losses, linewidth=0.8)
    axes.set(xlabel="window", ylabel="loss (nats per character)", title=f"char_lm on {backend}")
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(
        description="Train a character model on a text, on the engine TBPTT_BACKEND names."
    )
    parser.add_argument(
        "--text", type=Path, help="a text file, or a directory of .txt files (default: Python's library)"
    )
    parser.add_argument("--width", type=int, default=288, help="units per layer")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--window", type=int, default=64, help="time steps between updates")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, help="default: 1, or as many as --max-minutes allows")
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--max-steps", type=int, default=-1, help="updates")
    parser.add_argument("--lr", type=float, default=4e-3, help="peak rate of AdamW; falls by a cosine to 5 percent")
    parser.add_argument("--dropout", type=float, default=0.25)
    parser.add_argument("--precision", choices=("32", "64"), default="32", help="bits of a number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="characters to write at the end")
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)

    backend = tbptt.current_backend()
    print(backend)
    tbptt.set_default_dtype(f"float{options.precision}")
    tbptt.seed_everything(options.seed)
    source, pattern = options.text or Path(sysconfig.get_paths()["stdlib"]), "**/*.txt" if options.text else "*.py"
    stream = tbptt.data.TextStream(source, batch_size=options.batch_size, pattern=pattern)
    train, validation = stream.split(validation=0.1)
    validation.batch_size = min(4, options.batch_size)  # longer rows: fewer characters are read without a past
    print(f"{stream.length:,} characters, vocabulary of {stream.vocabulary_size}, the last tenth for validation")

    windows = math.ceil(train.steps / options.window)
    epochs = options.epochs or (1 if options.max_minutes is None else None)
    steps = [n for n in (options.max_steps, windows * (epochs or 0)) if n > 0]
    rate = cosine(options.lr, min(steps, default=10**9), options.max_minutes)
    model = CharLM(stream.vocabulary_size, options.width, options.layers, options.dropout, rate)
    recorder = Recorder()
    trainer = tbptt.Trainer(
        max_epochs=epochs,
        max_steps=options.max_steps,
        max_time=options.max_minutes and timedelta(minutes=options.max_minutes),
        truncated_bptt_steps=options.window,
        state_carry="epoch",
        gradient_clip_val=1.0,
        callbacks=recorder,
    )
    trainer.fit(model, train)
    trainer.validate(model, validation)

    train_loss, val_loss = (trainer.callback_metrics[name] for name in ("train_loss", "val_loss"))
    for name, loss in (("training", train_loss), ("validation", val_loss)):
        print(f"{name:>10}: {loss:.4f} nats per character, {loss / math.log(2):.4f} bits")
    print(f"{len(recorder.losses)} windows, {1000 * recorder.seconds_per_window:.1f} ms each")
    if options.sample:
        print("-" * 20, sample(model, stream, options.sample, options.seed), "-" * 20, sep="\n")
    if options.plot:
        plot(recorder.losses, backend.name, options.plot)
    report = {
        "backend": backend.name,
        "train_loss": train_loss,
        "val_loss": val_loss,
        "losses": recorder.losses,
        "windows": len(recorder.losses),
        "seconds_per_window": recorder.seconds_per_window,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report))
    return report


if __name__ == "__main__":
    main()
