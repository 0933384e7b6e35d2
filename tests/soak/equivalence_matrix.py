"""Whole training runs on both engines, for every recurrent layer × depth × optimizer × kind of schedule, with dropout and clipping.

    python tests/soak/equivalence_matrix.py [--windows 200] [--only lstm adam ...] [--report out.csv [--resume]] [--jobs 2]

A cell is one setting: so many windows from equal seeds in float64, through the trainer, on torch eagerly and on TensorFlow in its
compiled step, as people run it. Losses have to agree within 1e-11 and parameters within 1e-10 (NUMERICS' "Tolerances between
engines", and its rates). The exit status is 1 if a cell does not, or has not moved its parameters, which would show nothing.

Cells of a chaotic setting, where rounding alone grows until two runs have nothing to do with each other, take single steps instead:
before each window the second engine gets parameters, optimizer state and hidden state of the first.

Nearly all of the time goes into compiling two or three programs a cell: the whole matrix takes about an hour of one core.
"""

from __future__ import annotations

import argparse
import csv
import gc
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch  # noqa: F401  (before TensorFlow)

import tbptt
from tbptt import nn, ops, optim, schedules

LOSSES_WITHIN, PARAMETERS_WITHIN = 1e-11, 1e-10
MOVED_AT_LEAST = 1e-4
ROWS, VOCABULARY, WIDTH, DROPOUT, CLIP = 2, 7, 8, 0.1, 0.3

LAYERS: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, lr=1e-3),
    "momentum": lambda p: optim.SGD(p, lr=1e-3, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, lr=1e-3, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "adam": lambda p: optim.Adam(p, lr=2e-2),
    "amsgrad": lambda p: optim.Adam(p, lr=2e-2, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=2e-2),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-2),
    "rmsprop 1e-1": lambda p: optim.RMSprop(p, lr=1e-1),
}


class Kind(NamedTuple):
    """A kind of schedule, and the most steps of time that one of its windows takes."""

    make: Callable[[], schedules.Schedule]
    steps: int


SCHEDULES: dict[str, Kind] = {
    "fixed": Kind(lambda: schedules.Fixed(4), 4),
    "overlap": Kind(lambda: schedules.Fixed(3, 6), 3),
    # two lengths, and K of two values: each one more is a program more to compile
    "random": Kind(lambda: schedules.RandomLength(5, std=1, min=4, max=5, seed=0), 5),
    "artbp": Kind(lambda: schedules.ARTBP(2, block=3, seed=0), 20),
    "adaptive": Kind(
        lambda: schedules.Adaptive(0.5, min=2, max=3, every=100, steps=6, samples=1, warm_up=2, seed=0), 3
    ),
    "burn-in": Kind(lambda: schedules.Fixed(4, burn_in=1), 4),
    "checkpointed": Kind(lambda: schedules.Checkpointed(4), 8),
}

CHAOTIC = {
    (
        "rnn",
        "rmsprop 1e-1",
    ): "at a hundred times the rate a plain RNN is driven into saturation, where gradients and so √v are "
    "small and steps large: on one engine alone a weight nudged by 1e-15 has changed losses by 1e-3 after 40 windows"
}
"""Settings that take single steps, and why. They stand beside the matrix, with `Fixed` only: at its own rates none is."""


class Cell(NamedTuple):
    """One setting."""

    layer: str
    layers: int
    optimizer: str
    schedule: str

    @property
    def chaos(self) -> str | None:
        return CHAOTIC.get((self.layer, self.optimizer))

    def words(self) -> set[str]:
        return {self.layer, str(self.layers), *self.optimizer.split(), self.schedule}


@dataclass
class Outcome:
    """What two runs of a cell differ by, at most."""

    layer: str
    layers: int
    optimizer: str
    schedule: str
    road: str
    windows: int
    losses: float
    parameters: float
    moved: float
    """By how much the run has changed a parameter, at most."""
    first_loss: float
    last_loss: float
    seconds: float
    error: str = ""

    @property
    def cell(self) -> Cell:
        return Cell(self.layer, self.layers, self.optimizer, self.schedule)

    @property
    def passes(self) -> bool:
        within = self.losses <= LOSSES_WITHIN and self.parameters <= PARAMETERS_WITHIN
        return within and self.moved >= MOVED_AT_LEAST and not self.error


def cells() -> list[Cell]:
    """The whole matrix, and what is chaotic beside it."""
    sane = [name for name in OPTIMIZERS if not any(name == optimizer for _, optimizer in CHAOTIC)]
    whole = [Cell(*place) for place in product(LAYERS, (1, 2), sane, SCHEDULES)]
    return whole + [Cell(layer, depth, name, "fixed") for layer, name in CHAOTIC for depth in (1, 2)]


class Model(tbptt.Module):
    """Tokens to tokens, with dropout on the inputs of the recurrent layer and between its layers."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding, self.drop = nn.Embedding(VOCABULARY, WIDTH - 2), nn.Dropout(DROPOUT)
        between = DROPOUT if cell.layers > 1 else 0.0
        self.recurrent = LAYERS[cell.layer](WIDTH - 2, WIDTH, num_layers=cell.layers, dropout=between)
        self.head = nn.Linear(WIDTH, VOCABULARY)
        self.trained_by = OPTIMIZERS[cell.optimizer](self.parameters())

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        tokens, targets = batch
        features, hiddens = self.recurrent(self.drop(self.embedding(tokens)), hiddens)
        return nn.functional.cross_entropy(self.head(features), targets), hiddens

    def configure_optimizers(self) -> Any:
        return self.trained_by

    def values(self) -> dict[str, np.ndarray]:
        """Every parameter, copied."""
        return {name: np.array(ops.to_numpy(value)) for name, value in self.named_parameters()}


class Losses(tbptt.Callback):
    """Every window's loss."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.values.append(float(outputs["loss"]))


class Recording(Losses):
    """What a window begins and ends with."""

    def __init__(self) -> None:
        super().__init__()
        self.begins: list[tuple[dict[str, np.ndarray], dict[str, Any]]] = []
        self.ends: list[dict[str, np.ndarray]] = []
        self.states: list[Any] = []

    def detached(self, state: Any) -> Any:
        state = tbptt.detach(state)
        self.states.append(tbptt.tree.map(lambda leaf: np.array(ops.to_numpy(leaf)), state))
        return state

    def on_window_start(self, trainer: Any, module: Any, window: Any, window_idx: int) -> None:
        self.begins.append((module.values(), module.trained_by.state_dict()))

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        super().on_window_end(trainer, module, outputs, window, window_idx)
        self.ends.append(module.values())


class Following(Recording):
    """Begins each window with what the other engine began it with."""

    def __init__(self, led_by: Recording) -> None:
        super().__init__()
        self.led_by = led_by

    def detached(self, state: Any) -> Any:
        super().detached(state)
        return tbptt.tree.map(ops.asarray, self.led_by.states[len(self.states) - 1])

    def on_window_start(self, trainer: Any, module: Any, window: Any, window_idx: int) -> None:
        parameters, state = self.led_by.begins[len(self.ends)]
        for name, parameter in module.named_parameters():
            tbptt.current_backend().tensors.assign(parameter, parameters[name])
        module.trained_by.load_state_dict(state)


def tokens(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """A text with something to learn: each token follows from the one before it, three times in four."""
    generator = np.random.default_rng(0)
    text = generator.integers(0, VOCABULARY, (ROWS, steps + 1))
    ruled = generator.random((ROWS, steps + 1)) < 0.75
    for t in range(1, steps + 1):
        text[:, t] = np.where(ruled[:, t], (3 * text[:, t - 1] + 1) % VOCABULARY, text[:, t])
    return text[:, :-1], text[:, 1:]


def batches(cell: Cell, windows: int) -> list[Any]:
    """One long sequence; a sequence for each update where an update takes the whole of it."""
    kind = SCHEDULES[cell.schedule]
    whole = tokens(kind.steps * windows)
    if cell.schedule != "checkpointed":
        return [whole]
    parts = range(0, kind.steps * windows, kind.steps)
    return [tuple(leaf[:, start : start + kind.steps] for leaf in whole) for start in parts]


def train(engine: str, cell: Cell, windows: int, watch: Losses, **options: Any) -> tuple[Any, Any, tbptt.Trainer]:
    """Parameters before and after."""
    with tbptt.use_backend(engine), tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = Model(cell)
        before = model.values()
        trainer = tbptt.Trainer(
            max_epochs=1,
            max_steps=windows,
            truncated_bptt_steps=SCHEDULES[cell.schedule].make(),
            state_carry="epoch",
            gradient_clip_val=CLIP,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[watch],
            **options,
        )
        trainer.fit(model, batches(cell, windows))
        return before, model.values(), trainer


def largest(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Difference of two sets of parameters; NaN counts as infinite."""
    found = max(float(np.abs(one[name] - other[name]).max()) for name in one)
    return found if np.isfinite(found) else float("inf")


def compare(cell: Cell, windows: int, compile: bool | str = "auto") -> Outcome:
    """Run the cell on both engines."""
    begun = time.perf_counter()
    single = cell.chaos is not None
    first: Losses = Recording() if single else Losses()
    second: Losses = Following(first) if isinstance(first, Recording) else Losses()
    detach = {"detach_fn": first.detached} if isinstance(first, Recording) else {}
    before, after, _ = train("torch", cell, windows, first, **detach)
    # what a program does in its middle cannot be replaced, so single steps are not compiled
    detach = {"detach_fn": second.detached, "compile": False} if isinstance(second, Following) else {"compile": compile}
    _, other, trainer = train("tensorflow", cell, windows, second, **detach)
    assert len(first.values) == len(second.values) == windows, (len(first.values), len(second.values))
    pairs = [(after, other)]
    if isinstance(first, Recording) and isinstance(second, Recording):
        pairs = list(zip(first.ends, second.ends, strict=True))
        assert len(first.states) == len(second.states) >= windows - 1
    losses = float(np.abs(np.subtract(first.values, second.values)).max())
    road = "single steps" if single else trainer.train_step.compiled.road  # type: ignore[union-attr]
    return Outcome(
        *cell,
        road=road.split(";")[0],
        windows=windows,
        losses=losses if np.isfinite(losses) else float("inf"),
        parameters=max(largest(*pair) for pair in pairs),
        moved=largest(before, after),
        first_loss=first.values[0],
        last_loss=first.values[-1],
        seconds=time.perf_counter() - begun,
    )


def attempt(cell: Cell, windows: int) -> Outcome:
    """`compare`, where an exception is a cell that fails."""
    try:
        return compare(cell, windows)
    except Exception as error:
        nothing = float("nan")
        said = f"{type(error).__name__}: {error}"
        return Outcome(*cell, "failed", windows, *[float("inf")] * 2, *[nothing] * 3, 0.0, said)
    finally:
        gc.collect()  # programs are large


def table(outcomes: list[Outcome]) -> Any:
    """Largest differences, losses and parameters, in a rich table: a row for each layer, depth and optimizer."""
    from rich.table import Table

    drawn = Table(title="torch against TensorFlow: largest difference of losses, of parameters", show_lines=False)
    names = [name for name in SCHEDULES if any(outcome.schedule == name for outcome in outcomes)]
    for heading in ("layer", "optimizer", *names):
        drawn.add_column(heading, no_wrap=True)
    rows: dict[tuple[str, str], dict[str, Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault((f"{outcome.layers} × {outcome.layer}", outcome.optimizer), {})[outcome.schedule] = outcome
    for heading, found in rows.items():
        drawn.add_row(*heading, *[_shown(found.get(name)) for name in names])
    return drawn


def _shown(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    text = f"{outcome.losses:.0e} {outcome.parameters:.0e}" + " (single)" * (outcome.road == "single steps")
    return text if outcome.passes else f"[bold red]{text} FAILS[/]"


def read(report: Path) -> list[Outcome]:
    """The outcomes of an earlier run's CSV file."""
    kinds = {field.name: {"int": int, "float": float, "str": str}[str(field.type)] for field in fields(Outcome)}
    with report.open(newline="") as lines:
        return [Outcome(**{name: kinds[name](text) for name, text in row.items()}) for row in csv.DictReader(lines)]


def run(chosen: list[Cell], windows: int, jobs: int, report: Path | None, known: list[Outcome]) -> list[Outcome]:
    """The outcomes of all chosen cells; those that are known already are not run again."""
    from rich.console import Console
    from rich.progress import track

    outcomes = [outcome for outcome in known if outcome.cell in chosen and outcome.windows == windows]
    found = {outcome.cell for outcome in outcomes}
    waiting = [cell for cell in chosen if cell not in found]
    random.Random(0).shuffle(waiting)  # so that a run that was ended early has seen some of everything
    with ExitStack() as stack:
        write = _writer(stack.enter_context(report.open("w", newline="")) if report else None)
        for outcome in outcomes:
            write(outcome)
        finished = _finished(waiting, windows, jobs)
        for outcome in track(finished, "cells", total=len(waiting), console=Console(stderr=True)):
            outcomes.append(outcome)
            write(outcome)
    return sorted(outcomes, key=lambda outcome: chosen.index(outcome.cell))


def _finished(waiting: list[Cell], windows: int, jobs: int) -> Iterator[Outcome]:
    """Outcomes as they come. Processes are new ones for every few cells, because an engine keeps the programs it has compiled
    (``max_tasks_per_child`` would be for this, and waits for ever in Python 3.11).
    """
    spawn, few = multiprocessing.get_context("spawn"), 25 * jobs
    for begin in range(0, len(waiting), few):
        with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
            for done in as_completed([pool.submit(attempt, cell, windows) for cell in waiting[begin : begin + few]]):
                yield done.result()


def _writer(file: Any) -> Callable[[Outcome], None]:
    if file is None:
        return lambda outcome: None
    writer = csv.DictWriter(file, [field.name for field in fields(Outcome)])
    writer.writeheader()

    def write(outcome: Outcome) -> None:
        writer.writerow(asdict(outcome))
        file.flush()

    return write


def main() -> int:
    from rich.console import Console

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument(
        "--only", nargs="+", default=[], help="a layer, depth, optimizer, schedule: cells with all of them"
    )
    parser.add_argument("--report", type=Path, help="a CSV file, written cell by cell")
    parser.add_argument("--resume", action="store_true", help="leave out the cells that the report has already")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    chosen = [cell for cell in cells() if cell.words().issuperset(options.only)]
    if not chosen:
        parser.error(f"no cell is {' and '.join(options.only)}")
    known = read(options.report) if options.resume and options.report and options.report.exists() else []
    outcomes = run(chosen, options.windows, options.jobs, options.report, known)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table(outcomes))
    for setting in sorted({(cell.layer, cell.optimizer, cell.chaos) for cell in chosen if cell.chaos}):
        console.print("single steps: {}, {}: {}.".format(*setting))
    failed = [outcome for outcome in outcomes if not outcome.passes]
    for outcome in failed:
        console.print(f"[bold red]fails[/]: {outcome}")
    losses, parameters = (max(getattr(outcome, name) for outcome in outcomes) for name in ("losses", "parameters"))
    console.print(
        f"{len(outcomes)} cells of {options.windows} windows, {len(failed)} failed; largest differences {losses:.1e} of losses "
        f"(within {LOSSES_WITHIN}), {parameters:.1e} of parameters (within {PARAMETERS_WITHIN})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
