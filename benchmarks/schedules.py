"""What a time step costs under every schedule, relative to `Fixed(k)`, next to the model of its cost.

    python benchmarks/schedules.py [--engine torch|tensorflow] [--width 256] [--window 64] ...

The model counts steps: a forward is worth 1, a backward 2, so a schedule that runs f steps forward and goes back through b of them
for every step of the sequence costs (f + 2·b)/3 of `Fixed(k)`. Every schedule is measured between two runs of `Fixed(k)`, in one
process; its ratio is that of the median epochs. The first epochs of a run, in which programs are compiled, do not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np


def schedules_of(k: int) -> list:
    """Those that are measured."""
    from tbptt.schedules import ARTBP, Adaptive, Checkpointed, Fixed, RandomLength

    return [
        Fixed(k, 2 * k),
        Fixed(k, 4 * k),
        Fixed(k, 2 * k, "window"),
        Fixed(k // 2, k + k // 4),
        Fixed(2 * k, k),
        Fixed(k, burn_in=k // 4),
        Fixed(k, offset="random"),
        RandomLength(k, std=k / 14),
        ARTBP(4, block=k // 4),
        Adaptive(0.5, min=k, max=k, every=1000, steps=32, samples=1, warm_up=0),
        Checkpointed(k),
        Checkpointed(k, slots=3),
    ]


def model_of(schedule, steps: int) -> float:
    """The cost relative to a plain run, by the model."""
    from tbptt.schedules import checked_plan, cost

    forward = cost(schedule, steps)
    backward = sum(window.stop - window.reach for window in checked_plan(schedule, steps) if window.trains)
    return (forward + 2 * backward) / (3 * steps)


def epochs(schedule, options: argparse.Namespace) -> tuple[float, str]:
    """Seconds of the median epoch, and the road the engine took."""
    import tbptt
    from tbptt import nn, optim

    class CharLM(tbptt.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(96, options.width)
            self.lstm = nn.LSTM(options.width, options.width)
            self.head = nn.Linear(options.width, 96)

        def training_step(self, batch, batch_idx, hiddens):
            features, hiddens = self.lstm(self.embedding(batch[0]), hiddens)
            return nn.functional.cross_entropy(self.head(features), batch[1]), hiddens

        def configure_optimizers(self):
            return optim.Adam(self.parameters(), lr=2e-3)

    seconds: list[float] = []

    class Clock(tbptt.Callback):
        def on_train_epoch_start(self, trainer, module):
            self.begun = time.perf_counter()

        def on_train_epoch_end(self, trainer, module):
            seconds.append(time.perf_counter() - self.begun)

    tokens = np.random.default_rng(0).integers(0, 96, (options.batch, options.window * options.windows + 1))
    trainer = tbptt.Trainer(
        max_epochs=options.warm_up + options.epochs,
        truncated_bptt_steps=schedule,
        callbacks=Clock(),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(CharLM(), [(tokens[:, :-1], tokens[:, 1:])])
    return statistics.median(seconds[options.warm_up :]), trainer.train_step.compiled.road


def measure(engine: str, options: argparse.Namespace) -> None:
    """Print the table."""
    import torch  # noqa: F401  (first, as TensorFlow's libraries require)

    import tbptt
    from tbptt.schedules import Fixed

    steps = options.window * options.windows
    print(f"{engine}: cost of a step relative to Fixed({options.window})")
    print(f"{'schedule':<48} {'measured':>8} {'model':>6}  road")
    with tbptt.use_backend(engine):
        before, _ = epochs(Fixed(options.window), options)
        for schedule in (each for each in schedules_of(options.window) if options.only in repr(each)):
            model = model_of(schedule, steps)
            name = repr(schedule)
            taken, road = epochs(schedule, options)
            after, _ = epochs(Fixed(options.window), options)
            print(f"{name:<48} {2 * taken / (before + after):>8.2f} {model:>6.2f}  {road}", flush=True)
            before = after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("torch", "tensorflow"), help="default: each, in processes of their own")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--windows", type=int, default=16, help="of an epoch")
    parser.add_argument(
        "--warm-up", type=int, default=5, help="epochs in which programs are compiled, and which do not count"
    )
    parser.add_argument("--epochs", type=int, default=3, help="that count")
    parser.add_argument("--only", default="", help="schedules whose name has this in it")
    options = parser.parse_args()
    if options.engine is None:
        for engine in ("torch", "tensorflow"):
            environment = {**os.environ, "TBPTT_BACKEND": engine}
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--engine", engine], check=True, env=environment)
        return
    measure(options.engine, options)


if __name__ == "__main__":
    main()
