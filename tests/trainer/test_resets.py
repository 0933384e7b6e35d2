"""Rows that begin anew: before a batch and inside windows, under every schedule, and in models that see to it themselves."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt
from tbptt import nn, ops, optim, tree
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.initial_states import Given, Learned
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Checkpointed, Fixed, RandomLength
from trainer.carrying import (
    ROWS,
    STEPS,
    A,
    B,
    Carrying,
    data,
    gradients,
    losses,
    numbers,
    planned,
    quiet,
    resets,
    states_before,
)

SCHEDULES: dict[str, Callable[[], Any]] = {
    "5": lambda: 5,
    "all at once": lambda: Fixed(100),
    "overlap": lambda: Fixed(3, 7),
    "short reach": lambda: Fixed(5, 3),
    "last loss": lambda: Fixed(5, losses="last"),
    "burn-in": lambda: Fixed(5, burn_in=2),
    "checkpointed": lambda: Checkpointed(5),
    "one slot": lambda: Checkpointed(4, slots=1),
    "artbp": lambda: ARTBP(2, block=2, seed=3),
    "random length": lambda: RandomLength(6, std=2, min=2, seed=1),
    "random offset": lambda: Fixed(6, offset="random", seed=2),
}


def whole() -> dict[str, np.ndarray]:
    return {**data(), "resets": resets()}


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_gradients_are_those_of_the_plan_with_paths_that_end_where_rows_begin(backend: Backend, name: str) -> None:
    """Among them that of a learned initial state, which every row that begins anew has a part in."""
    batch = whole()
    schedule = SCHEDULES[name]()
    expected = planned(schedule, batch, h_0=0.3)
    found = numbers(gradients(lambda: Carrying(Learned(np.full((1, 1), 0.3))), [batch], schedule))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_without_a_schedule_a_batch_is_cut_where_rows_begin(backend: Backend) -> None:
    batch = whole()
    found = numbers(gradients(Carrying, [batch], None))
    np.testing.assert_allclose(found, planned(STEPS, batch)[:, :2], rtol=1e-11)


@pytest.mark.parametrize("schedule", [5, Checkpointed(5)], ids=str)
def test_compiled_gradients_are_the_same(schedule: Any) -> None:
    tbptt.backends.load("tensorflow")
    batch = {name: value[:, :12] for name, value in whole().items()}
    with tbptt.use_backend("tensorflow"):
        found = numbers(gradients(lambda: Carrying(Learned(np.full((1, 1), 0.3))), [batch], schedule, compile=True))
    np.testing.assert_allclose(found, planned(schedule, batch, h_0=0.3), rtol=1e-11, atol=1e-11)


Series = collections.namedtuple("Series", ["x", "y", "resets"])


@dataclasses.dataclass
class Batch:
    x: Any
    y: Any
    resets: Any


FORMS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "namedtuple": (lambda x, y, resets: Series(x, y, resets), {}),
    "dataclass": (lambda x, y, resets: Batch(x, y, resets), {}),
    "beside a pair": (lambda x, y, resets: ((x, y), {"resets": resets}), {}),
    "tensors of torch": (lambda x, y, resets: Series(x, y, torch.tensor(resets)), {}),
    "tensors of TensorFlow": (lambda x, y, resets: Series(x, y, tf.constant(resets)), {}),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_mask_is_found_by_its_name_whatever_the_batch_is(backend: Backend, name: str) -> None:
    batch = whole()
    make, options = FORMS[name]

    def read(given: Any) -> Any:
        return (given.x, given.y) if hasattr(given, "x") else given[0]

    found = numbers(gradients(lambda: Carrying(read=read), [make(**batch)], 5, **options))
    np.testing.assert_allclose(found, planned(5, batch)[:, :2], rtol=1e-11)


def test_time_may_be_the_first_axis(backend: Backend) -> None:
    def read(given: Any) -> Any:
        return ops.permute_dims(given["x"], (1, 0)), ops.permute_dims(given["y"], (1, 0))

    batch = whole()
    turned = {name: value.T for name, value in batch.items()}
    axes = {"x": 0, "y": 0, "resets": 0}
    for schedule, axis in ((5, 0), (Checkpointed(4), 0), (5, axes), (None, axes)):
        found = numbers(
            gradients(lambda: Carrying(Learned(np.full((1, 1), 0.3)), read), [turned], schedule, time_axis=axis)
        )
        np.testing.assert_allclose(found, planned(schedule or STEPS, batch, h_0=0.3), rtol=1e-11, atol=1e-11)


class Early(Carrying):
    """Its input weight of step t is `early` or `late`, as the batch says; losses count where it says."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Parameter(np.array(1.0)), nn.Parameter(np.array(1.0))

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x = ops.where(batch["is_late"], self.late * batch["x"], self.early * batch["x"])
        states, hiddens = self(x, hiddens)
        return ops.sum(ops.where(batch["counts"], ops.square(states), 0.0)), hiddens


@pytest.mark.parametrize("name", ["all at once", "overlap", "checkpointed", "artbp", "5"])
def test_the_gradient_across_a_reset_is_zero_to_the_bit(backend: Backend, name: str) -> None:
    """`early` is used before step 13 only, where every row begins anew, and losses count after it only."""
    late = np.broadcast_to(np.arange(STEPS) >= 13, (ROWS, STEPS))
    mask = np.zeros((ROWS, STEPS), bool)
    mask[:, 13] = True
    batch = {"x": data()["x"], "y": data()["y"], "is_late": late, "counts": late, "resets": mask}
    found = numbers(gradients(Early, [batch], SCHEDULES[name]()))
    assert np.all(found[:, 2] == 0.0)
    assert np.any(found[:, 3] != 0.0)


class Poisoned(Carrying):
    """The state that leaves a step is spoiled where the batch says so, after its loss."""

    def __init__(self, poison: float) -> None:
        super().__init__(Given(np.full((1, 1), 0.3)))
        self.poison = poison

    def forward(self, x: Any, h: Any = None, spoiled: Any = None) -> Any:
        states = []
        for t in range(x.shape[1]):
            h = self.a * h + self.b * x[:, t : t + 1]
            states.append(h)
            h = ops.where(spoiled[:, t : t + 1], self.poison, h)
        return ops.concat(states, axis=1), h

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        states, hiddens = self(batch["x"], hiddens, batch["spoiled"])
        return ops.multiply(ops.sum(ops.square(states - batch["y"])), 0.5), hiddens


@pytest.mark.parametrize("poison", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize("name", ["5", "overlap", "checkpointed"])
def test_whatever_the_state_was_before_a_reset_is_gone(backend: Backend, name: str, poison: float) -> None:
    batch = whole()
    spoiled = np.zeros_like(batch["resets"])
    spoiled[:, :-1] = batch["resets"][:, 1:]
    found = numbers(gradients(lambda: Poisoned(poison), [{**batch, "spoiled": spoiled}], SCHEDULES[name]()))
    np.testing.assert_allclose(found, planned(SCHEDULES[name](), batch, 0.3)[:, :2], rtol=1e-11)


# --- layers -----------------------------------------------------------------------------------------------------------


class Layered(tbptt.Module):
    """Two layers of a kind; the loss is a sum."""

    def __init__(self, kind: Any, handles: bool = False) -> None:
        super().__init__()
        self.rnn = kind(2, 4, num_layers=2)
        self.handles_resets, self.calls = handles, 0

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        self.calls += 1
        own = batch["resets"] if self.handles_resets else None
        outputs, hiddens = self.rnn(batch["x"], hiddens, resets=own)
        loss = ops.sum(ops.square(outputs - batch["y"]))
        self.log("loss", loss)
        return loss, hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def layered() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    inputs, targets = generator.standard_normal((ROWS, STEPS, 2)), generator.standard_normal((ROWS, STEPS, 4))
    return {"x": inputs, "y": targets, "resets": resets()}


def of_layers(kind: Any, batches: Any, schedule: Any, handles: bool = False, **options: Any) -> list[list[np.ndarray]]:
    def make() -> Layered:
        tbptt.seed_everything(0)
        return Layered(kind, handles)

    return gradients(make, batches, schedule, **options)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU], ids=["lstm", "gru"])
def test_segments_are_as_good_as_sequences_of_their_own(backend: Backend, kind: Any) -> None:
    batch = layered()
    (found,) = of_layers(kind, [batch], Checkpointed(6))
    segments = []
    for row, mask in enumerate(batch["resets"]):
        edges = sorted({0, STEPS, *np.flatnonzero(mask).tolist()})
        for start, stop in pairwise(edges):
            segments.append({name: batch[name][row : row + 1, start:stop] for name in ("x", "y")})
    alone = of_layers(kind, segments, None)
    assert len(alone) == len(segments) > 10
    for index, gradient in enumerate(found):
        np.testing.assert_allclose(gradient, sum(each[index] for each in alone), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("schedule", [5, Fixed(3, 7), Checkpointed(5)], ids=str)
def test_a_model_that_handles_resets_gets_the_mask_and_finds_the_same(backend: Backend, schedule: Any) -> None:
    cut = of_layers(nn.LSTM, [layered()], schedule)
    handled = of_layers(nn.LSTM, [layered()], schedule, handles=True)
    assert len(cut) == len(handled)
    for update, same in zip(cut, handled, strict=True):
        for gradient, expected in zip(update, same, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


def test_a_mask_of_rows_is_seen_by_the_first_window_only(backend: Backend) -> None:
    """A model that handles resets would otherwise begin anew at every window."""
    batch = {**layered(), "resets": np.array([True, False, True])}
    windows = [ops.to_numpy(window["resets"]).tolist() for window in tbptt.windows(batch, 10)]
    assert windows == [[True, False, True], [False] * ROWS, [False] * ROWS]
    cut = of_layers(nn.LSTM, [batch, batch], 10, state_carry="epoch")
    handled = of_layers(nn.LSTM, [batch, batch], 10, handles=True, state_carry="epoch")
    for update, same in zip(cut, handled, strict=True):
        for gradient, expected in zip(update, same, strict=True):
            np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


# --- how it runs ------------------------------------------------------------------------------------------------------


def test_windows_in_which_no_row_begins_anew_run_in_one_piece(backend: Backend) -> None:
    made = []

    def make() -> Any:
        made.append(Carrying(Given(np.zeros((1, 1)))))
        return made[0]

    mask = np.zeros((ROWS, STEPS), bool)
    mask[1, 5] = mask[2, 12] = True  # at the front of the second window, and inside the third
    gradients(make, [{**data(), "resets": mask}], 5)
    pieces = made[0].steps  # between these, whether the loss is a sum is found out, once
    assert pieces[:4] == [5, 5, 2, 3]
    assert pieces[-2:] == [5, 3]


def test_a_mask_of_rows_is_about_the_first_step_of_a_batch(backend: Backend) -> None:
    """Two batches with it are one long batch with a mask of rows and steps."""
    first, second = data(0), data(1)
    rows = [np.array([False, True, False]), np.array([True, False, True])]
    batches = [{**first, "resets": rows[0]}, {**second, "resets": rows[1]}]
    mask = np.zeros((ROWS, 2 * STEPS), bool)
    mask[:, 0], mask[:, STEPS] = rows
    long = {name: np.concatenate([first[name], second[name]], axis=1) for name in first}
    make = lambda: Carrying(Given(np.full((1, 1), 0.3)))  # noqa: E731
    found = numbers(gradients(make, batches, STEPS, state_carry="epoch"))
    np.testing.assert_allclose(found, planned(STEPS, {**long, "resets": mask}, 0.3)[:, :2], rtol=1e-11)


def test_a_reset_fn_takes_the_place_of_the_librarys(backend: Backend) -> None:
    batch, masks = whole(), []

    def halve(state: Any, mask: Any) -> Any:
        masks.append(ops.to_numpy(mask).tolist())
        return ops.where(ops.expand_dims(mask, axis=1), ops.multiply(state, 0.5), state)

    seen = []

    class Watching(Carrying):
        def predict_step(self, batch: Any, batch_idx: int, hiddens: Any = None) -> Any:
            seen.append(None if hiddens is None else ops.to_numpy(hiddens)[:, 0])
            return super().predict_step(batch, batch_idx, hiddens)

    with tbptt.dtypes.dtype_scope("float64"):
        module = Watching()
    quiet(5, reset_fn=halve).predict(module, [batch])
    steps = [step for step in range(1, STEPS) if batch["resets"][:, step].any()]
    assert masks == [batch["resets"][:, step].tolist() for step in steps]  # at step 0 there is no state to reset
    h = states_before(batch["x"][:, :3], np.zeros((ROWS, 3), bool))[:, -1]
    np.testing.assert_allclose(seen[1], np.where(batch["resets"][:, 3], h / 2, h), rtol=1e-13)


@pytest.mark.parametrize("schedule", [5, Fixed(3, 7), Checkpointed(5), None], ids=str)
def test_validation_and_prediction_begin_rows_anew(backend: Backend, schedule: Any) -> None:
    batch = whole()
    with tbptt.dtypes.dtype_scope("float64"):
        module = Carrying(Learned(np.full((1, 1), 0.3)))
    trainer = quiet(schedule)
    trainer.validate(module, [batch])
    expected = losses(batch["x"], batch["y"], batch["resets"], 0.3)
    np.testing.assert_allclose(trainer.callback_metrics["total"], expected.sum(), rtol=1e-12)
    (predicted,) = trainer.predict(module, [batch])
    before = states_before(batch["x"], batch["resets"], 0.3)[:, :-1]
    states = predicted[0] if isinstance(predicted, tuple) else predicted
    np.testing.assert_allclose(ops.to_numpy(states), A * before + B * batch["x"], rtol=1e-12)


# --- misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [5, Checkpointed(5), None], ids=str)
@pytest.mark.parametrize("steps", [STEPS - 1, STEPS + 1])
def test_a_mask_of_other_steps_than_the_batch_is_a_shape_error(backend: Backend, schedule: Any, steps: int) -> None:
    batch = {**data(), "resets": np.eye(ROWS, steps, 2, dtype=bool)}
    with pytest.raises(ShapeError, match=r"disagree about the number of time steps.*resets"):
        gradients(Carrying, [batch], schedule)


class WithoutState(Carrying):
    handles_resets = False

    def validation_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
        return self.loss(batch, None)[0]


def test_a_step_without_state_cannot_begin_rows_anew_and_says_so(backend: Backend) -> None:
    with tbptt.dtypes.dtype_scope("float64"):
        module = WithoutState()
    with pytest.raises(ConfigurationError, match=r"validation_step.*handles_resets"):
        quiet(5).validate(module, [whole()])
    module.handles_resets = True
    quiet(5).validate(module, [whole()])


class Splitting(Carrying):
    def tbptt_split_batch(self, batch: Any, split_size: int) -> Any:
        return [tree.map(lambda leaf: leaf[:, :12], batch), tree.map(lambda leaf: leaf[:, 12:], batch)]


def test_windows_the_module_cut_are_not_cut_at_resets_and_the_trainer_says_so(backend: Backend) -> None:
    with pytest.raises(ConfigurationError, match=r"tbptt_split_batch.*handles_resets"):
        gradients(Splitting, [whole()], 5)
