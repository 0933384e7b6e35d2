"""The copy task of Aicher, Foti & Fox 2019 (arXiv:1905.07473): how far must gradients reach for a memory of m steps?

    TBPTT_BACKEND=torch python examples/copy_task.py --m 10 --schedule k:10

Every row is a stream of blocks of 2m steps. A block is m symbols, a start mark (#) and m - 1 letters drawn from four, and
then m blanks (-). The target is the input m steps before, so that each block is said again over its own blanks:

    input    # b d a c - - - - - # a a d b - - - - -      m = 5
    target   - - - - - # b d a c - - - - - # a a d b

Six tokens in all. Marks and blanks can be told from the last few inputs. Of letters, a model that does not remember them can
only say that there are four: its perplexity, exp(mean cross entropy over all steps), is at least 4 ** (share of letters in
the targets). One that remembers reaches 1, and gradients must go through m + 1 steps to connect a letter with its repetition.

With ``--streams whole`` blocks are whole, the share is (m - 1)/(2m), and the floor without memory 1.866 for m = 10. The
published streams, the default here, are not: rows were moved on by a drawn number of steps, over and over, across an end that
was short, so that towards the end of a row one and the same block begins again and again and breaks off after 0 to 2m - 1
steps. The broken blocks are a third of a test stream; their letters are mostly never asked for. The share is 0.37, and the
floor without memory about 1.68.

The schedule ``k:K`` is Fixed(K, 2K - 1): an update every K steps, each loss' gradient through at least K. Published test
perplexities (m = 10): 1.646 for K = 5, which is the floor; 1.036 for K = 10; 1.022 for adaptive truncation with delta = 0.9.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

import tbptt
from tbptt import nn, optim, schedules

FORMS = (
    "k:10 (every loss' gradient through at least 10 steps), 100, fixed:100, fixed:10,19, random:70, artbp:16, artbp:16,8 "
    "(blocks of 8 steps), adaptive:0.9, checkpointed:50"
)
BLANK, MARK, LETTERS = 0, 1, 4
TRAIN_STEPS, TEST_STEPS, UPDATES = 4000, 1000, 6400


def adaptive(delta: float) -> schedules.Schedule:
    """As published: measured over 100 steps every 5,000 or so, the first of which run with K = 15.

    Before a model has begun to remember, its gradients fade at once, and K measured then would be too small for it ever to begin.
    """
    return schedules.Adaptive(delta, every=333, steps=100, tau=80, samples=1, warm_up=20, start=15, cumulative="mean")


def schedule(text: str) -> schedules.Schedule:
    """What ``--schedule`` means."""
    kinds = {
        "k": lambda k: schedules.Fixed(k, 2 * k - 1),
        "fixed": schedules.Fixed,
        "random": schedules.RandomLength,
        "artbp": lambda mean, block=1: schedules.ARTBP(mean, block=block),
        "adaptive": adaptive,
        "checkpointed": schedules.Checkpointed,
    }
    kind, _, numbers = text.rpartition(":")
    try:
        return kinds[kind or "fixed"](*(float(n) if "." in n else int(n) for n in numbers.split(",")))
    except (KeyError, TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no schedule ({error}); the forms are {FORMS}") from None


class Copier(tbptt.Module):
    """Two layers of LSTM. The rate falls along a cosine, by epochs if it is known how many there are, else by updates."""

    def __init__(self, width: int, lr: float, epochs: int | None):
        super().__init__()
        self.embedding = nn.Embedding(2 + LETTERS, width)
        self.lstm = nn.LSTM(width, width, num_layers=2)
        self.head = nn.Linear(width, 2 + LETTERS)
        self.lr, self.epochs = lr, epochs

    def forward(self, tokens, state=None):
        features, state = self.lstm(self.embedding(tokens), state)
        return self.head(features), state

    def training_step(self, batch, batch_idx, hiddens):
        inputs, targets = batch
        logits, hiddens = self(inputs, hiddens)
        loss = nn.functional.cross_entropy(logits, targets)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss, hiddens

    def test_step(self, batch, batch_idx, hiddens):
        inputs, targets = batch
        logits, hiddens = self(inputs, hiddens)
        self.log("test_loss", nn.functional.cross_entropy(logits, targets))
        return {"hiddens": hiddens}

    def configure_optimizers(self):
        optimizer = optim.Adam(self.parameters(), lr=self.lr)
        cosine = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.epochs or UPDATES)
        interval = "epoch" if self.epochs else "window"
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": interval}}


class Curve(tbptt.Callback):
    """Prints and notes the perplexity of every epoch, and K where it adapts."""

    def __init__(self, cut: schedules.Schedule):
        self.cut, self.perplexities, self.ks, self.started = cut, [], [], time.perf_counter()

    def on_train_epoch_end(self, trainer, module):
        self.perplexities.append(math.exp(trainer.callback_metrics["train_loss"]))
        line = f"epoch {trainer.current_epoch:3d}  perplexity {self.perplexities[-1]:.4f}"
        if isinstance(self.cut, schedules.Adaptive):
            self.ks.append(self.cut.k)
            line += f"  K {self.cut.k}"
        print(f"{line}  {time.perf_counter() - self.started:.0f} s", flush=True)


def streams(rows: int, steps: int, m: int, seed: int, kind: str = "whole") -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets (rows, steps); of ``"published"`` streams each row ends in blocks that break off."""
    generator = np.random.default_rng(seed)
    blocks = np.full((rows, steps // (2 * m) + 3, 2 * m), BLANK, "int32")
    blocks[:, :, 0] = MARK
    blocks[:, :, 1:m] = generator.integers(2, 2 + LETTERS, (rows, blocks.shape[1], m - 1))
    inputs = blocks.reshape(rows, -1)
    targets = np.concatenate([np.full((rows, m), BLANK, "int32"), inputs[:, :-m]], axis=1)
    if kind == "whole":
        places = generator.integers(0, 2 * m, rows)[:, None] + np.arange(steps)
    else:
        moves = generator.integers(0, 2 * m, rows)  # row r is moved on by all but the first r of them
        broken = [np.concatenate([steps + np.arange(move) for move in moves[row:]]) for row in range(rows)]
        places = np.stack([np.concatenate([np.arange(len(end), steps), end[-steps:]]) for end in broken])
    return np.take_along_axis(inputs, places, axis=1), np.take_along_axis(targets, places, axis=1)


def floor(targets: np.ndarray) -> float:
    """The least perplexity of a model that does not remember letters."""
    return LETTERS ** float(np.mean(targets > MARK))


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description="Learn to say symbols again that were seen m steps before.")
    parser.add_argument("--m", type=int, default=10, help="symbols of a block, and steps until they are said again")
    parser.add_argument("--schedule", type=schedule, default="k:10", help=f"one of {FORMS}")
    parser.add_argument(
        "--epochs", type=int, help=f"over the training streams; without it {UPDATES} updates, whatever the schedule"
    )
    parser.add_argument("--steps", type=int, default=TRAIN_STEPS, help="of a training stream")
    parser.add_argument("--streams", choices=("published", "whole"), default="published", help="see above")
    parser.add_argument("--batch", type=int, default=64, help="streams")
    parser.add_argument("--width", type=int, default=50, help="units of both LSTM layers")
    parser.add_argument("--lr", type=float, default=5e-3, help="of Adam")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights, and of what schedules draw")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)

    backend, cut = tbptt.current_backend(), options.schedule
    sizes = {"m": options.m, "kind": options.streams}  # which letters come depends on no option, so that runs compare
    train = streams(options.batch, options.steps, seed=0, **sizes)
    test = streams(options.batch, TEST_STEPS, seed=1, **sizes)
    print(backend, f"{cut!r}; without memory the test perplexity is {floor(test[1]):.4f} at best", sep="\n")
    tbptt.seed_everything(options.seed)
    curve = Curve(cut)
    trainer = tbptt.Trainer(
        max_epochs=options.epochs,
        max_steps=-1 if options.epochs else UPDATES,
        truncated_bptt_steps=cut,
        gradient_clip_val=1.0,
        callbacks=curve,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Copier(options.width, options.lr, options.epochs)
    started = time.perf_counter()
    trainer.fit(model, [train])
    seconds = time.perf_counter() - started
    test_perplexity = math.exp(trainer.test(model, [test])[0]["test_loss"])
    print(f"test perplexity {test_perplexity:.4f} after {trainer.global_step} updates, {seconds:.0f} s")
    report = {
        "backend": backend.name,
        "schedule": repr(cut),
        "test_perplexity": test_perplexity,
        "train_perplexity": curve.perplexities,
        "K": curve.ks,
        "floor": floor(test[1]),
        "updates": trainer.global_step,
        "seconds": seconds,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report))
    return report


if __name__ == "__main__":
    main()
