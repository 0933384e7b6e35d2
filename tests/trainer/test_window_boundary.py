"""on_window_boundary: what it returns is the gradient of the state that leaves a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.errors import StructureError
from tbptt.protocols import Backend
from tbptt.schedules import Checkpointed, Fixed, RandomLength
from trainer.carrying import ROWS, STEPS, A, B, Carrying, data, gradients, numbers, planned, quiet, states_before

NONE = np.zeros((ROWS, STEPS), bool)
BATCH = data()


def of_the_rest(step: int) -> np.ndarray:
    """The gradient (B, 1) of all losses from a step on, for the state that enters it: Σ_t e_t a^(t − step + 1)."""
    error = A * states_before(BATCH["x"], NONE)[:, :-1] + B * BATCH["x"] - BATCH["y"]
    return error[:, step:] @ A ** np.arange(1, STEPS - step + 1)[:, None]


class Told(Carrying):
    """Returns the true gradient of what comes after, in a form of its own."""

    def __init__(self, form: Callable[[Any, np.ndarray], Any] = lambda state, value: ops.asarray(value)) -> None:
        super().__init__()
        self.form = form
        self.ends: list[int] = []
        self.lasts: list[bool] = []
        self.seen: list[np.ndarray] = []

    def on_window_start(self, window: Any, window_idx: int) -> None:
        self.ends.append((self.ends[-1] if window_idx else 0) + window["x"].shape[1])

    def on_window_boundary(self, state: Any, is_last: bool) -> Any:
        self.lasts.append(is_last)
        self.seen.append(np.array(ops.to_numpy(state))[:, 0])
        return self.form(state, of_the_rest(self.ends[-1]))


def full() -> np.ndarray:
    return planned(STEPS, BATCH)[0, :2]


@pytest.mark.parametrize("schedule", [5, 1, Fixed(7, offset=3), RandomLength(6, std=2, min=2, seed=1), STEPS], ids=str)
def test_with_the_true_gradient_windows_add_up_to_the_whole(backend: Backend, schedule: Any) -> None:
    found = numbers(gradients(Told, [BATCH], schedule))
    np.testing.assert_allclose(found.sum(axis=0), full(), rtol=1e-11)


def test_in_compiled_programs_too() -> None:
    tbptt.backends.load("tensorflow")
    with tbptt.use_backend("tensorflow"):
        found = numbers(gradients(Told, [BATCH], 8, compile=True))
    np.testing.assert_allclose(found.sum(axis=0), full(), rtol=1e-11)


def test_with_windows_that_overlap_it_adds_to_their_gradient(backend: Backend) -> None:
    """The rest weighs each state that the window's gradient reaches, back to its first: Σ_i a^(T − i) of the rest · ∂h_i."""
    made = []

    def make() -> Told:
        made.append(Told())
        return made[-1]

    schedule = Fixed(3, 7)
    found = numbers(gradients(make, [BATCH], schedule))
    entering, x = states_before(BATCH["x"], NONE), BATCH["x"]
    expected = planned(schedule, BATCH)[:, :2]
    for index, window in enumerate(schedule.plan(STEPS)):
        rest = of_the_rest(window.stop)[:, 0]
        for i in range(window.reach, window.stop):
            slope = rest * A ** (window.stop - 1 - i)
            expected[index] += [slope @ entering[:, i], slope @ x[:, i]]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_the_state_it_sees_is_the_one_that_leaves_the_window_cut_from_its_past(backend: Backend) -> None:
    made = []

    class Watching(Told):
        def on_window_boundary(self, state: Any, is_last: bool) -> Any:
            assert not getattr(state, "requires_grad", False)
            return super().on_window_boundary(state, is_last)

    def make() -> Told:
        made.append(Watching())
        return made[-1]

    gradients(make, [BATCH], Checkpointed(5))
    gradients(make, [BATCH], 5)
    entering = states_before(BATCH["x"], NONE)
    for module, ends in zip(made, ([STEPS], [5, 10, 15, 20, STEPS]), strict=True):
        np.testing.assert_allclose(module.seen, [entering[:, end] for end in ends], rtol=1e-12)


@pytest.mark.parametrize("schedule", [5, Fixed(3, 7), Checkpointed(5)], ids=str)
def test_none_is_plain_truncation(backend: Backend, schedule: Any) -> None:
    found = numbers(gradients(lambda: Told(lambda state, value: None), [BATCH], schedule))
    np.testing.assert_allclose(found, numbers(gradients(Carrying, [BATCH], schedule)), rtol=1e-12)


@pytest.mark.parametrize("make", [np.asarray, lambda value: np.asarray(value, "float32"), ops.asarray])
def test_arrays_of_any_kind_are_taken_in_the_states_dtype(backend: Backend, make: Any) -> None:
    found = numbers(gradients(lambda: Told(lambda state, value: make(value)), [BATCH], 5))
    np.testing.assert_allclose(found.sum(axis=0), full(), rtol=1e-6)


WRONG: dict[str, Callable[[Any, np.ndarray], Any]] = {
    "a pair for a tensor": lambda state, value: (state, state),
    "another shape": lambda state, value: ops.asarray(value[:, 0]),
    "a number": lambda state, value: 1.0,
    "other rows": lambda state, value: ops.asarray(value[1:]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_look_like_the_state_is_a_structure_error(backend: Backend, name: str) -> None:
    with pytest.raises(StructureError, match="What on_window_boundary returned"):
        gradients(lambda: Told(WRONG[name]), [BATCH], 5)


@pytest.mark.parametrize("schedule", [8, Fixed(8, 10), Checkpointed(5)], ids=str)
@pytest.mark.parametrize("carry", ["batch", "epoch"])
def test_it_is_told_where_sequences_end(backend: Backend, carry: str, schedule: Any) -> None:
    made = []

    def make() -> Told:
        made.append(Told(lambda state, value: None))
        return made[-1]

    gradients(make, [BATCH, data(1)], schedule, state_carry=carry, max_epochs=2)
    windows = 1 if isinstance(schedule, Checkpointed) else 3
    batch = [False] * (windows - 1)
    epoch = [*batch, True, *batch, True] if carry == "batch" else [*batch, False, *batch, True]
    assert made[0].lasts == epoch * 2


class Paired(tbptt.Module):
    """A state of (h, c), with a gradient for h only, guessed by a layer (Jaderberg et al. 2017)."""

    def __init__(self, guesses: bool) -> None:
        super().__init__()
        self.rnn, self.head, self.guess = nn.LSTM(1, 4), nn.Linear(4, 1), nn.Linear(4, 4, bias=False)
        self.guesses = guesses

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = self.rnn(ops.expand_dims(batch["x"], axis=2), hiddens)
        return nn.functional.mse_loss(self.head(outputs)[:, :, 0], batch["y"]), hiddens

    def on_window_boundary(self, state: Any, is_last: bool) -> Any:
        return (self.guess(state[0]), None) if self.guesses and not is_last else None

    def configure_optimizers(self) -> Any:
        return optim.SGD([*self.rnn.parameters(), *self.head.parameters()], lr=0.1)


def trained(engine: str, guesses: bool) -> list[np.ndarray]:
    tbptt.backends.load(engine)
    with tbptt.use_backend(engine):
        tbptt.seed_everything(0)
        with tbptt.dtypes.dtype_scope("float64"):
            module = Paired(guesses)
        quiet(5).fit(module, [BATCH])
        return [np.array(ops.to_numpy(parameter)) for parameter in module.parameters()]


def test_a_guess_by_a_layer_changes_what_is_learned_and_alike_on_both_engines() -> None:
    ours, theirs, without = trained("torch", True), trained("tensorflow", True), trained("torch", False)
    for first, second in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)
    assert any(np.abs(first - other).max() > 1e-4 for first, other in zip(ours, without, strict=True))
