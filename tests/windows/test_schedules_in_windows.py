"""Schedules cut batches: every step once, rows ahead of others, other boundaries in every epoch, one validation loss for all."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt
from tbptt import ops
from tbptt.data import Padded
from tbptt.errors import ConfigurationError, DataError
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Adaptive, Checkpointed, Fixed, RandomLength, Schedule, Window, as_schedule
from tbptt.schedules.base import preview
from tbptt.windowing import WindowedBatch
from trainer.carrying import Carrying, data, gradients, losses, numbers, planned, quiet, resets

ROWS, STEPS = 3, 23
INDEX = 100 * np.arange(ROWS)[:, None] + np.arange(STEPS)
"""Row and step of every element."""
SCHEDULES: dict[str, Callable[[], Any]] = {
    "number": lambda: 5,
    "longer": lambda: 100,
    "offset": lambda: Fixed(5, offset=2),
    "random offset": lambda: Fixed(5, offset="random", seed=3),
    "overlap": lambda: Fixed(3, 7),
    "overlap with burn-in": lambda: Fixed(4, 9, burn_in=2),
    "short reach": lambda: Fixed(5, 3),
    "every loss": lambda: Fixed(2, 6, losses="window"),
    "random length": lambda: RandomLength(6, std=2, min=2, seed=1),
    "checkpointed": lambda: Checkpointed(5),
    "one slot": lambda: Checkpointed(4, slots=1, offset=3),
    "artbp": lambda: ARTBP(3, seed=2),
    "blocks": lambda: ARTBP(2, block=3, seed=2),
    "adaptive": lambda: Adaptive(0.5, max=8),
}
KINDS = {"numpy": np.asarray, "torch": torch.tensor, "tensorflow": tf.constant}


# --- every step once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_windows_cover_the_stream_once_and_are_cut_where_a_later_gradient_begins(backend: Backend, name: str) -> None:
    schedule = as_schedule(SCHEDULES[name]())
    plan = preview(schedule, STEPS)
    parts = [ops.to_numpy(window["x"]) for window in tbptt.windows({"x": INDEX}, schedule)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), INDEX)
    edges = set(np.cumsum([part.shape[1] for part in parts]).tolist()) | {0}
    assert {step for window in plan for step in (window.start, window.stop, window.run_from, window.losses)} <= edges
    if isinstance(schedule, Checkpointed):
        assert max(part.shape[1] for part in parts) <= schedule.window


@pytest.mark.parametrize(
    "schedule", [Fixed(5, drop_last=True), RandomLength(6, std=2, min=2, seed=1, drop_last=True)], ids=str
)
def test_what_is_dropped_is_the_end(backend: Backend, schedule: Schedule) -> None:
    parts = [ops.to_numpy(window) for window in tbptt.windows(INDEX, schedule)]
    whole = np.concatenate(parts, axis=1)
    np.testing.assert_array_equal(whole, INDEX[:, : whole.shape[1]])
    assert STEPS - 8 < whole.shape[1] < STEPS


# --- rows ahead of each other -----------------------------------------------------------------------------------------

STAGGERED = Fixed(5, offset="staggered")
AHEAD = [0, 1, 3]
"""Steps of 5 in three parts."""


def expected(window: int, steps: int = 5) -> list[list[int]]:
    """Window n of row r begins at step s_r + 5n; time ends with the row that is furthest ahead."""
    stop = min((window + 1) * steps, STEPS - AHEAD[-1])
    return [[100 * row + t for t in range(AHEAD[row] + window * steps, AHEAD[row] + stop)] for row in range(ROWS)]


@pytest.mark.parametrize("kind", KINDS)
def test_staggered_rows_begin_at_different_steps(backend: Backend, kind: str) -> None:
    make = KINDS[kind]
    batch = {
        "x": make(INDEX),
        "y": make(INDEX[:, :, None] + np.arange(2.0) / 2),
        "name": "x",
        "rows": make(np.arange(ROWS)),
    }
    windows = list(tbptt.windows(batch, STAGGERED))
    assert len(windows) == 4
    for number, window in enumerate(windows):
        assert all(backend.tensors.is_tensor(window[name]) for name in ("x", "y", "rows"))
        assert ops.to_numpy(window["x"]).tolist() == expected(number)
        np.testing.assert_array_equal(ops.to_numpy(window["y"])[:, :, 1] - 0.5, expected(number))
        assert (ops.to_numpy(window["rows"]).tolist(), window["name"]) == ([0, 1, 2], "x")


@pytest.mark.parametrize("kind", KINDS)
def test_staggered_rows_with_time_first(backend: Backend, kind: str) -> None:
    batch = (KINDS[kind](INDEX.T), KINDS[kind](np.arange(STEPS)))
    for number, (x, times) in enumerate(tbptt.windows(batch, STAGGERED, time_axis=0)):
        assert ops.to_numpy(x).T.tolist() == expected(number)
        assert (ops.to_numpy(times).T + 100 * np.arange(ROWS)[:, None]).tolist() == expected(
            number
        )  # each row has its own


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_and_masks_of_staggered_rows_are_seen_from_where_they_begin(backend: Backend, kind: str) -> None:
    make, lengths = KINDS[kind], np.array([23, 9, 2])
    mask = resets(ROWS, STEPS)
    batch = {"x": make(INDEX), "lengths": make(lengths), "resets": make(mask)}
    for number, window in enumerate(tbptt.windows(batch, STAGGERED)):
        places = np.array(expected(number)) % 100
        left = [int(np.sum(steps < length)) for steps, length in zip(places, lengths, strict=True)]
        assert ops.to_numpy(window["lengths"]).tolist() == left
        taken = [mask[row, steps] for row, steps in enumerate(places)]
        np.testing.assert_array_equal(ops.to_numpy(window["resets"]), taken)
    rows = {"x": make(INDEX), "resets": make(np.array([True, False, True]))}
    found = [ops.to_numpy(window["resets"]).tolist() for window in tbptt.windows(rows, STAGGERED)]
    assert found == [[True, False, True], *[[False] * ROWS] * 3]


def test_tuples_of_padded_rows_are_staggered_too(backend: Backend) -> None:
    windows = list(tbptt.windows(Padded(INDEX, np.full(ROWS, STEPS)), STAGGERED))
    assert [ops.to_numpy(window.values).tolist() for window in windows] == [expected(number) for number in range(4)]
    assert [ops.to_numpy(window.lengths).tolist() for window in windows] == [[5] * 3, [5] * 3, [5] * 3, [5] * 3]


@pytest.mark.parametrize(
    "schedule", [STAGGERED, Fixed(3, 7, offset="staggered"), Checkpointed(5, offset="staggered")], ids=str
)
def test_the_trainer_trains_on_staggered_rows_and_their_resets(backend: Backend, schedule: Any) -> None:
    batch = {**data(), "resets": resets()}
    ahead = schedule.shifts(ROWS)
    length = STEPS - max(ahead)
    shifted = {
        name: np.stack([row[shift : shift + length] for row, shift in zip(leaf, ahead, strict=True)])
        for name, leaf in batch.items()
    }
    found = numbers(gradients(Carrying, [batch], schedule))
    np.testing.assert_allclose(found, planned(schedule, shifted)[:, :2], rtol=1e-11)


def test_staggered_rows_do_not_continue_from_the_batch_before(backend: Backend) -> None:
    with pytest.raises(ConfigurationError, match=r"offset='staggered'.*block_steps"):
        gradients(Carrying, [data(), data(1)], STAGGERED, state_carry="epoch")
    assert len(gradients(Carrying, [data()], STAGGERED, state_carry="epoch", max_epochs=2)) == 8
    assert len(gradients(Carrying, [data(), data(1)], STAGGERED)) == 8


def test_sequences_that_end_before_the_last_row_would_begin_are_a_data_error(backend: Backend) -> None:
    assert [tuple(window.shape) for window in tbptt.windows(INDEX[:, :4], STAGGERED)] == [(ROWS, 1)]
    for steps in (3, 1):
        with pytest.raises(DataError, match=rf"begins rows up to 3 steps later.*{steps}.*offset='random'"):
            tbptt.windows(INDEX[:, :steps], STAGGERED)


# --- other boundaries in every epoch ----------------------------------------------------------------------------------


class Starts(Carrying):
    """Keeps the steps of every window."""

    def on_train_epoch_start(self) -> None:
        self.epochs = [*getattr(self, "epochs", ()), []]

    def on_window_start(self, window: Any, window_idx: int) -> None:
        self.epochs[-1].append(int(window["x"].shape[1]))


def epochs(engine: str, make: Callable[[], Any]) -> list[list[int]]:
    tbptt.backends.load(engine)
    with tbptt.use_backend(engine), tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(7)
        module = Starts()
        quiet(make(), max_epochs=6).fit(module, [data()])
    return module.epochs


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_random_offset_cuts_every_epoch_elsewhere_and_alike_on_both_engines(drop_last: bool) -> None:
    make = lambda: Fixed(5, offset="random", drop_last=drop_last)  # noqa: E731
    found = epochs("torch", make)
    assert found == epochs("tensorflow", make)
    assert len({tuple(steps) for steps in found}) > 1
    for steps in found:
        first, *others = steps
        assert 1 <= first <= 5
        assert set(others if drop_last else others[:-1]) == {5}
        assert sum(steps) == (first + (STEPS - first) // 5 * 5 if drop_last else STEPS)
    other = epochs("torch", lambda: Fixed(5, offset="random", drop_last=drop_last, seed=1))
    assert other == epochs("tensorflow", lambda: Fixed(5, offset="random", drop_last=drop_last, seed=1)) != found


# --- validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SCHEDULES, "staggered"])
def test_validation_runs_in_windows_of_its_own_and_finds_one_loss(backend: Backend, name: str) -> None:
    schedule = as_schedule(SCHEDULES[name]() if name in SCHEDULES else STAGGERED)
    seen: list[int] = []

    class Watching(Carrying):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            seen.append(int(batch["x"].shape[1]))
            return super().validation_step(batch, batch_idx, hiddens)

    with tbptt.dtypes.dtype_scope("float64"):
        module = Watching()
    trainer = quiet(schedule)
    trainer.validate(module, [data(), data(1)])
    steps = schedule.evaluation_steps  # type: ignore[attr-defined]
    windows = [len(range(STEPS)[start : start + steps]) for start in range(0, STEPS, steps)]
    assert seen == windows * 2
    total = sum(losses(**data(seed), mask=np.zeros((ROWS, STEPS), bool)).sum() for seed in (0, 1))
    np.testing.assert_allclose(trainer.callback_metrics["total"], total, rtol=1e-12)


class Thirds:
    """A schedule of a third party: no base class, no evaluation_steps, windows by what a counter says."""

    def __init__(self) -> None:
        self.plans = 0

    def plan(self, length: int) -> list[Window]:
        self.plans += 1
        middle = length // 3 + self.plans % 2
        return [Window(0, middle), Window(middle, length)]

    def state_dict(self) -> dict[str, Any]:
        return {"plans": self.plans}

    def load_state_dict(self, state: Any) -> None:
        self.plans = state["plans"]


def test_validation_does_not_move_a_schedule(backend: Backend) -> None:
    """What is drawn in training is the same whether validation came between or not."""
    for make in (Thirds, lambda: RandomLength(6, std=2, min=2, seed=1)):
        plain, between = [], []
        for steps, validation in ((plain, None), (between, [data(1)])):
            with tbptt.dtypes.dtype_scope("float64"):
                module = Starts()
            quiet(make(), max_epochs=3).fit(module, [data()], validation)
            steps.extend(module.epochs)
        assert plain == between


Pair = collections.namedtuple("Pair", ["x", "y"])


def test_a_window_of_a_schedule_is_a_tree_like_the_batch(backend: Backend) -> None:
    windowed = WindowedBatch(Pair(INDEX, INDEX), Checkpointed(5, offset="staggered"))
    (window,) = windowed.spans()
    assert (window.start, window.stop, len(windowed)) == (0, STEPS - 3, 1)
    assert type(windowed.cut(window)) is Pair
