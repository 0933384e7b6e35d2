"""Influence balancing (Tallec & Ollivier, arXiv:1705.08209 section 5.1): a problem where truncated gradients point the wrong way.

    TBPTT_BACKEND=torch python examples/influence_balancing.py --schedule fixed:200
    TBPTT_BACKEND=torch python examples/influence_balancing.py --schedule fixed:100
    TBPTT_BACKEND=torch python examples/influence_balancing.py --schedule artbp:16

One parameter theta drives n units, p of them up and the others down, and the units pass what they hold on to the first:

    s_t = A s_{t-1} + theta u,   A_ii = A_{i,i+1} = 1/2,   u = (+1 p times, -1 n - p times),   loss_t = 1/2 (s_t[first] - 1)^2

from theta = 0.5 and s_0 = (1, ..., 1). Soon after a change of theta the first unit feels the p that push up; only later those
that push down, which are more. In the end s[first] = 2 (2p - n) theta, so that the best theta is 1/(2 (2p - n)), -1/6 for n =
23 and p = 10. A gradient that reaches too few steps back has the wrong sign and drives theta away.

The loss of an update is the sum over its steps, not the mean, and the update is plain gradient descent: theta -= lr *
d(sum)/d(theta). So 200 steps move theta twice as far as 100 with the same gradient at each, and lr * steps is what must stay
small enough: in the end d2(loss_t)/d(theta)2 = 4 (2p - n)^2 = 36, and windows of `k` steps overshoot for ever once lr * k *
36 passes 2, for k = 556 and lr = 1e-4.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

import tbptt
from tbptt import ops, optim, schedules

FORMS = (
    "100, fixed:100, fixed:10,60, random:70, artbp:16, artbp:16,8 (blocks of 8 steps), adaptive:0.9, checkpointed:50"
)
LOST, POINTS = 1e6, 1000


def schedule(text: str) -> schedules.Schedule:
    """What ``--schedule`` means."""
    kinds = {
        "fixed": schedules.Fixed,
        "random": lambda mean: schedules.RandomLength(mean, rescale_lr=False),  # a sum is longer for a longer window
        "artbp": lambda mean, block=1: schedules.ARTBP(mean, block=block),
        "adaptive": schedules.Adaptive,
        "checkpointed": schedules.Checkpointed,
    }
    kind, _, numbers = text.rpartition(":")
    try:
        return kinds[kind or "fixed"](*(float(n) if "." in n else int(n) for n in numbers.split(",")))
    except (KeyError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no schedule ({error}); the forms are {FORMS}") from None


class Balance(tbptt.Module):
    """All states of a window at once, since s_t = A^t s_0 + theta (1 + A + ... + A^(t-1)) u is linear in the state and in theta.

    Tables hold A^t, transposed, and the sums for t up to `SETTLED`, where A^t has come to zero in double precision; what the losses
    need of them, a column and an entry for each t, for as many steps as there are.
    """

    SETTLED = 256

    def __init__(self, n: int, p: int, steps: int, lr: float, dtype: str):
        super().__init__()
        self.n, self.lr, self.dtype = n, lr, dtype
        self.theta = ops.parameter(np.array(0.5, dtype))
        transfer, u = (np.eye(n) + np.eye(n, k=1)) / 2, np.where(np.arange(n) < p, 1.0, -1.0)
        powers, sums = [np.eye(n)], [np.zeros(n)]
        for _ in range(self.SETTLED):
            sums.append(transfer @ sums[-1] + u)
            powers.append(powers[-1] @ transfer.T)
        t = np.minimum(np.arange(steps + 1), self.SETTLED)
        tables = np.stack(powers), np.stack(sums), np.stack(powers)[t, :, 0].T, np.stack(sums)[t, 0]
        self.powers, self.sums, self.first_powers, self.first_sums = (ops.asarray(x, dtype=dtype) for x in tables)

    def training_step(self, batch, batch_idx, hiddens):
        state = ops.ones((1, self.n), dtype=self.dtype) if hiddens is None else hiddens
        steps = ops.shape(batch)[1]
        first = state @ self.first_powers[:, 1 : steps + 1] + self.theta * self.first_sums[1 : steps + 1]
        last = ops.minimum(steps, self.SETTLED)
        hiddens = state @ self.powers[last] + self.theta * self.sums[last]
        return ops.sum(ops.square(first - batch)) / 2, hiddens

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=self.lr)


class Theta(tbptt.Callback):
    """Notes theta after every update, prints it now and then, and ends the run when theta is lost."""

    def __init__(self, steps: int):
        self.steps, self.seen, self.trajectory = steps, 0, []

    def on_window_end(self, trainer, module, outputs, window, window_idx):
        before, self.seen = self.seen, self.seen + window.shape[1]
        self.trajectory.append(float(ops.to_numpy(module.theta)))
        if 10 * before // self.steps != 10 * self.seen // self.steps:
            print(f"step {self.seen:6d}  theta {self.trajectory[-1]:.6f}", flush=True)
        if abs(self.trajectory[-1]) > LOST:
            print(f"step {self.seen:6d}  theta {self.trajectory[-1]:.6g}: it has run away, and so the run ends")
            trainer.should_stop = True


def plot(trajectory: list[float], best: float, title: str, path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(trajectory)
    axes.axhline(best, color="black", linestyle="--", linewidth=0.8, label=f"the best: {best:.4f}")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set(xlabel="update", ylabel="theta", title=title)
    axes.legend()
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description="Balance the influence of one parameter on a line of units.")
    parser.add_argument("--schedule", type=schedule, default="fixed:200", help=f"one of {FORMS}")
    parser.add_argument(
        "--losses", choices=("new", "window", "last"), default="new", help="which count, of fixed:k1,k2"
    )
    parser.add_argument("--n", type=int, default=23, help="units")
    parser.add_argument("--p", type=int, default=10, help="units that theta pushes up")
    parser.add_argument("--steps", type=int, default=60_000, help="of the one sequence")
    parser.add_argument("--lr", type=float, default=1e-4, help="on the sum of an update's losses")
    parser.add_argument("--seed", type=int, default=0, help="of the schedule's draws")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument(
        "--json", metavar="FILE", help=f"theta, and its trajectory: every update, at most {POINTS} of them"
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.p <= options.n or 2 * options.p == options.n:
        parser.error(f"--p is from 0 to n and not half of it; received n = {options.n} and p = {options.p}")
    cut = options.schedule
    if options.losses != "new":
        if not isinstance(cut, schedules.Fixed):
            parser.error(f"--losses {options.losses} is for fixed schedules; received {cut!r}")
        cut = schedules.Fixed(cut.k1, cut.k2, losses=options.losses)

    backend = tbptt.current_backend()
    best = 1 / (2 * (2 * options.p - options.n))
    print(backend, f"{cut!r}, the best theta is {best:.6f}", sep="\n")
    tbptt.set_default_dtype(options.dtype)
    tbptt.seed_everything(options.seed)
    model, thetas = Balance(options.n, options.p, options.steps, options.lr, options.dtype), Theta(options.steps)
    trainer = tbptt.Trainer(
        max_epochs=1,
        truncated_bptt_steps=cut,
        callbacks=thetas,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    started = time.perf_counter()
    trainer.fit(model, [np.ones((1, options.steps), options.dtype)])  # the targets of the first unit
    seconds = time.perf_counter() - started

    theta, every = thetas.trajectory[-1], math.ceil(len(thetas.trajectory) / POINTS)
    print(
        f"theta {theta:.6f}, {abs(theta - best):.1e} from the best, after {trainer.global_step} updates, {seconds:.1f} s"
    )
    if options.plot:
        plot(thetas.trajectory, best, f"{cut!r} on {backend.name}", options.plot)
    report = {
        "backend": backend.name,
        "schedule": repr(cut),
        "best": best,
        "theta": theta,
        "trajectory": thetas.trajectory[::-every][::-1],  # the last one is in it
        "updates": trainer.global_step,
        "seconds": seconds,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report))
    return report


if __name__ == "__main__":
    main()
