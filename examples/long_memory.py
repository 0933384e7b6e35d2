"""The exact gradient of a sequence of 100,000 steps, in the memory of a few hundred: tbptt.schedules.Checkpointed.

    TBPTT_BACKEND=torch python examples/long_memory.py
    TBPTT_BACKEND=torch python examples/long_memory.py --steps 20000 --slots 6 --plot memory.png

The task: now and then, ten times in a sequence on average whatever its length, the input shows a mark, +1 or -1; else it is
0. At every step the model says the sum of all marks so far (over the square root of ten). So losses depend on what was seen
tens of thousands of steps before, and a gradient that is cut after a window hardly ever sees a mark at all.

A plain pass keeps, for every step, row and unit, at least the four gates, the cell and the output. `Checkpointed` keeps that
for one window and else the states between windows; it runs everything twice for it (more often with fewer `--slots`), and the
gradient is the same.

An LSTM forgets within a few steps unless its forget gate is almost open: its bias starts such that units remember from one
step up to the whole sequence (Tallec & Ollivier 2018, arXiv:1804.11188), and the recurrent weights start at zero, so that
between two marks nothing is added to the cells. What an update adds to these weights adds up over the sequence; their rate is
0.1 / steps, that of the head --lr.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tbptt
from tbptt import nn, ops, optim, schedules

MARKS = 10
SHORT = (1000, 2000, 4000, 8000)
"""Lengths at which a plain pass is measured too."""


class Sum(tbptt.Module):
    def __init__(self, width: int, steps: int, lr: float):
        super().__init__()
        self.lstm, self.head, self.lr = nn.LSTM(1, width), nn.Linear(width, 1), lr
        self.recurrent_lr = 0.1 / steps
        bias = np.zeros((4, width), "float32")  # of the gates: input, forget, candidate, output
        bias[1] = np.log(np.random.default_rng(0).uniform(1, steps, width))
        weights = dict(self.lstm.named_parameters())
        ops.assign(weights["bias_l0"], bias.reshape(-1))
        ops.assign(weights["weight_hh_l0"], np.zeros((4 * width, width), "float32"))

    def training_step(self, batch, batch_idx, hiddens):
        inputs, targets = batch
        features, hiddens = self.lstm(inputs, hiddens)
        return nn.functional.mse_loss(self.head(features), targets), hiddens

    def configure_optimizers(self):
        lstm = {"params": self.lstm.parameters(), "lr": self.recurrent_lr}
        return optim.Adam([{"params": self.head.parameters()}, lstm], lr=self.lr)


class Losses(tbptt.Callback):
    def __init__(self):
        self.losses, self.variances = [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.variances.append(float(np.mean(np.square(batch[1]))))

    def on_window_end(self, trainer, module, outputs, window, window_idx):
        self.losses.append(float(outputs["loss"]))
        print(
            f"update {len(self.losses):3d}  loss {self.losses[-1]:.4f}, {self.variances[-1]:.4f} for a guess of 0",
            flush=True,
        )


def batches(count: int, rows: int, steps: int, seed: int):
    """Marks (rows, steps, 1) and their sum so far."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        marks = np.zeros((rows, steps, 1), "float32")
        marked = generator.random((rows, steps, 1), dtype="float32") < MARKS / steps
        marks[marked] = generator.choice([-1.0, 1.0], np.count_nonzero(marked))
        yield marks, np.cumsum(marks, axis=1) / np.float32(MARKS**0.5)


def peak_memory() -> int:
    """The most that was resident so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts the program that started this one into getrusage's
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def kept_by_a_plain_pass(steps: int, rows: int, width: int) -> int:
    """Bytes, at least: four gates, cell and output of 32 bits each."""
    return steps * rows * 6 * width * 4


def measured(steps: int, options: argparse.Namespace, *arguments: str) -> float:
    """Gigabytes that one update takes, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        sizes = {"steps": steps, "updates": 1, "json": out}
        sizes |= {name: getattr(options, name) for name in ("window", "slots", "width", "rows", "seed")}
        given = [f"--{name}={value}" for name, value in sizes.items() if value is not None]
        subprocess.run([sys.executable, __file__, *given, *arguments], check=True, stdout=subprocess.DEVNULL)
        return json.loads(out.read_text())["peak_growth"] / 1e9


def plot(options: argparse.Namespace, growth: float, path: str) -> dict:
    """Memory at growing lengths, measured; the plain pass beyond what was measured is a straight line through that."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lengths = [steps for steps in SHORT if steps < options.steps] or [options.steps // 2]
    plain = [measured(steps, options, "--plain") for steps in lengths]
    stored = [measured(steps, options) for steps in lengths]
    slope, offset = np.polyfit(lengths, plain, 1) if len(lengths) > 1 else (plain[0] / lengths[0], 0.0)
    beyond = np.array([lengths[-1], options.steps])
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(lengths, plain, "o-", color="C3", label="plain pass, measured")
    axes.plot(beyond, slope * beyond + offset, "--", color="C3", label="plain pass, extrapolated")
    axes.plot(
        [*lengths, options.steps], [*stored, growth / 1e9], "o-", color="C0", label=f"{cut_of(options)!r}, measured"
    )
    axes.set(xscale="log", yscale="log", xlabel="time steps", ylabel="peak growth of resident memory (GB)")
    axes.set_title(f"one update of an LSTM, {options.width} units, {options.rows} rows")
    axes.legend()
    figure.savefig(path, dpi=120)
    extrapolated = float(slope * options.steps + offset)
    print(f"{'steps':>8} {'plain':>9} {'stored':>9}   GB")
    for row in zip(lengths, plain, stored, strict=True):
        print("{:8d} {:9.3f} {:9.3f}".format(*row))
    print(f"{options.steps:8d} {extrapolated:9.3f} {growth / 1e9:9.3f}   (the plain pass extrapolated)")
    return {"lengths": lengths, "plain": plain, "stored": stored, "extrapolated": extrapolated}


def cut_of(options: argparse.Namespace) -> schedules.Checkpointed | None:
    return None if options.plain else schedules.Checkpointed(options.window, options.slots)


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description="Train on sequences that a plain pass has no memory for.")
    parser.add_argument("--steps", type=int, default=100_000, help="time steps of a sequence")
    parser.add_argument("--window", type=int, default=500, help="time steps computed at a time")
    parser.add_argument("--slots", type=int, help="states stored at once (default: one for every window)")
    parser.add_argument("--width", type=int, default=64, help="units of the LSTM")
    parser.add_argument("--rows", type=int, default=56, help="sequences in a batch")
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-2, help="of the head")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="one plain pass, for comparison")
    parser.add_argument("--plot", metavar="FILE.png", help="measure memory at several lengths, and draw it")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)

    backend, cut = tbptt.current_backend(), cut_of(options)
    estimate = kept_by_a_plain_pass(options.steps, options.rows, options.width)
    print(backend)
    print(
        f"{options.steps:,} steps, {options.rows} rows, {options.width} units: a plain pass keeps {estimate / 1e9:.2f} GB at least"
    )
    if cut:
        state = 2 * options.rows * options.width * 4
        forward = schedules.cost(cut, options.steps) / options.steps
        print(
            f"{cut!r}: windows of {kept_by_a_plain_pass(options.window, options.rows, options.width) / 1e6:.1f} MB, "
            f"states of {state / 1e3:.1f} kB, every step runs forward {forward:.2f} times"
        )
    tbptt.seed_everything(options.seed)
    model, losses = Sum(options.width, options.steps, options.lr), Losses()
    trainer = tbptt.Trainer(
        max_epochs=1,
        truncated_bptt_steps=cut,
        gradient_clip_val=1.0,
        callbacks=losses,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    before, started = peak_memory(), time.perf_counter()
    trainer.fit(model, batches(options.updates, options.rows, options.steps, options.seed))
    peak, seconds = peak_memory(), time.perf_counter() - started
    print(
        f"{seconds / options.updates:.1f} s an update; resident memory grew by {(peak - before) / 1e9:.3f} GB "
        f"to {peak / 1e9:.3f} GB"
    )
    report = {
        "backend": backend.name,
        "losses": losses.losses,
        "plain_estimate": estimate,
        "peak_growth": peak - before,
        "peak": peak,
        "seconds": seconds,
    }
    if options.plot:
        report["measured"] = plot(options, peak - before, options.plot)
    if options.json:
        Path(options.json).write_text(json.dumps(report))
    return report


if __name__ == "__main__":
    main()
