"""How the difference between the engines grows in float32, window by window, and drawn.

    python benchmarks/float32_growth.py [--windows 500] [--rates 1e-3 5e-3 2e-2 5e-2] [--width 32] [--picture growth.png]

A character model (embedding, two LSTM layers with dropout, Adam, clipping) is trained on a text with something to learn, from equal
weights, on both engines. Both round every operation to 24 bits, in orders of their own: that is where the difference begins. The
dotted line is torch alone, against itself with every weight moved to the next float32: what training makes of a rounding, whoever
rounded.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import tbptt
from tbptt import nn, ops, optim

VOCABULARY, BATCH, WINDOW = 24, 8, 20
PARTED = 0.1
"""A difference of parameters that is no rounding any more."""


class CharLM(tbptt.Module):
    def __init__(self, width: int, rate: float):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, num_layers=2, dropout=0.1)
        self.head = nn.Linear(width, VOCABULARY)
        self.rate = rate

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        tokens, targets = batch
        features, hiddens = self.lstm(self.embedding(tokens), hiddens)
        return nn.functional.cross_entropy(self.head(features), targets), hiddens

    def configure_optimizers(self) -> Any:
        return optim.Adam(self.parameters(), lr=self.rate)


class Record(tbptt.Callback):
    """Losses and parameters after every window; with `nudges`, every weight begins one float32 further up."""

    def __init__(self, nudges: bool = False) -> None:
        self.losses: list[float] = []
        self.parameters: list[np.ndarray] = []
        self.nudges = nudges

    def on_train_start(self, trainer: Any, module: Any) -> None:
        if self.nudges:
            for parameter in module.parameters():
                value = ops.to_numpy(parameter)
                tbptt.current_backend().tensors.assign(parameter, np.nextafter(value, np.float32(np.inf)))

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))
        self.parameters.append(np.concatenate([np.ravel(ops.to_numpy(value)) for value in module.parameters()]))


class Growth(NamedTuple):
    """Largest differences: of the losses of ten windows, and of parameters after every window."""

    losses: np.ndarray
    parameters: np.ndarray
    factor: float
    """By which the difference of parameters grows in a window, while it is below `PARTED`."""


def text(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Each token follows from the one before it, three times in four."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, VOCABULARY, (BATCH, steps + 1))
    ruled = generator.random(tokens.shape) < 0.75
    for t in range(1, steps + 1):
        tokens[:, t] = np.where(ruled[:, t], (5 * tokens[:, t - 1] + 3) % VOCABULARY, tokens[:, t])
    return tokens[:, :-1], tokens[:, 1:]


def train(engine: str, options: argparse.Namespace, rate: float, nudges: bool = False) -> Record:
    record = Record(nudges)
    with tbptt.use_backend(engine):
        tbptt.seed_everything(0)
        trainer = tbptt.Trainer(
            max_epochs=1,
            truncated_bptt_steps=WINDOW,
            gradient_clip_val=1.0,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[record],
        )
        trainer.fit(CharLM(options.width, rate), [text(WINDOW * options.windows)])
    return record


def growth(one: Record, other: Record) -> Growth:
    losses = np.abs(np.subtract(one.losses, other.losses))
    parameters = np.array([np.abs(a - b).max() for a, b in zip(one.parameters, other.parameters, strict=True)])
    # a straight line through the logarithms, up to where the runs have nothing to do with each other any more
    together = max(2, int(np.argmax(np.append(parameters > PARTED, True))))
    slope = np.polyfit(np.arange(together), np.log(np.maximum(parameters[:together], 1e-9)), 1)[0]
    return Growth(largest_lately(losses), parameters, float(np.exp(slope)))


def largest_lately(values: np.ndarray, count: int = 10) -> np.ndarray:
    """Of so many windows up to each: losses differ by a few roundings, or by chance by none."""
    return np.array([values[max(0, place - count) : place].max() for place in range(1, len(values) + 1)])


def describe(name: str, found: Growth) -> str:
    places = [place for place in (1, 10, 50, 100, 200, 500, 1000) if place <= len(found.losses)]
    losses = ", ".join(f"{found.losses[place - 1]:.0e}" for place in places)
    parameters = ", ".join(f"{found.parameters[place - 1]:.0e}" for place in places)
    return f"{name}: × {found.factor:.4f} a window; after {places} windows losses {losses}; parameters {parameters}"


def draw(curves: dict[float, tuple[Growth, Growth]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharex=True)
    for number, (rate, pair) in enumerate(curves.items()):
        for axis, place in zip(axes, ("losses", "parameters"), strict=True):
            for found, style, label in zip(pair, ("-", ":"), (f"Adam {rate:g}", None), strict=True):
                values = np.maximum(getattr(found, place), 1e-9)
                axis.semilogy(
                    np.arange(1, len(values) + 1), values, style, color=f"C{number}", label=label, linewidth=1
                )
            axis.axhline(2.0**-24, color="grey", linewidth=0.5)
            axis.set(title=f"largest difference of {place}", xlabel="window")
    axes[1].legend(
        title="solid: torch against TensorFlow\ndotted: torch, weights one float32 up", fontsize=8, title_fontsize=8
    )
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=500)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 5e-3, 2e-2, 5e-2])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--picture", type=Path, help="a PNG file; it needs matplotlib")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, width {options.width}, {options.windows} windows of {WINDOW} steps, float32")
    curves = {}
    for rate in options.rates:
        first = train("torch", options, rate)
        curves[rate] = (
            growth(first, train("tensorflow", options, rate)),
            growth(first, train("torch", options, rate, True)),
        )
        learned = f"loss {first.losses[0]:.3f} to {np.mean(first.losses[-20:]):.3f}"
        print(describe(f"Adam {rate:g} ({learned}), torch against TensorFlow", curves[rate][0]))
        print(describe(f"Adam {rate:g}, torch against itself nudged", curves[rate][1]), flush=True)
    if options.picture:
        draw(curves, options.picture)


if __name__ == "__main__":
    main()
