"""What rows begin from: the model's `initial_state`, in training under every kind of schedule, at resets and in validation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops, optim
from tbptt.clock import Origin
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.initial_states import Given, Learned, Noise, OtherRow
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Checkpointed, Fixed
from trainer.carrying import (
    ROWS,
    STEPS,
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

NONE = np.zeros((ROWS, STEPS), bool)
SCHEDULES = [5, Fixed(3, 7), Checkpointed(5), ARTBP(2, block=2, seed=3)]


def check(found: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(numbers(found), expected[:, : len(found[0])], rtol=1e-11, atol=1e-11)


class Seeing(Carrying):
    """Keeps the state that came with the first window of every batch."""

    def __init__(self, initial: Any = None) -> None:
        super().__init__(initial)
        self.begun: list[Any] = []
        self.begins = True

    def on_train_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.begins = True

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        if self.begins:
            self.begun.append(None if hiddens is None else ops.to_numpy(hiddens)[:, 0])
            self.begins = False
        return super().training_step(batch, batch_idx, hiddens)


def begun(initial: Any, batches: Any, schedule: Any = 5, **options: Any) -> list[Any]:
    with tbptt.dtypes.dtype_scope("float64"):
        module = Seeing(initial() if initial else None)
    quiet(schedule, **options).fit(module, batches)
    return module.begun


def test_without_one_rows_begin_with_no_state(backend: Backend) -> None:
    assert begun(None, [data(), data(1)], max_epochs=2) == [None] * 4


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_learned_state_gets_the_gradient_of_windows_that_reach_the_beginning(backend: Backend, schedule: Any) -> None:
    expected = planned(schedule, data(), h_0=0.3)
    check(gradients(lambda: Carrying(Learned(np.full((1, 1), 0.3))), [data()], schedule), expected)
    assert expected[0, 2] != 0.0
    assert schedule == Checkpointed(5) or expected[-1, 2] == 0.0


def test_a_learned_state_is_among_the_models_parameters_and_is_learned(backend: Backend) -> None:
    class Learning(Carrying):
        def configure_optimizers(self) -> Any:
            return optim.SGD([parameter for _, parameter in self.initial_state.named_parameters()], lr=1e-2)

    with tbptt.dtypes.dtype_scope("float64"):
        module = Learning(Learned(np.full((1, 1), 0.3)))
    assert "initial_state.values.0" in dict(module.named_parameters())
    quiet(STEPS).fit(module, [data()])
    (value,) = module.initial_state.parameters()
    np.testing.assert_allclose(ops.to_numpy(value).item(), 0.3 - 1e-2 * planned(STEPS, data(), 0.3)[0, 2], rtol=1e-12)


def test_a_given_state_is_where_every_batch_begins(backend: Backend) -> None:
    for state in begun(lambda: Given(np.array([[0.3]])), [data(), data(1)]):
        np.testing.assert_array_equal(state, [0.3] * ROWS)
    check(
        gradients(lambda: Carrying(Given(np.array([[0.3]]))), [data()], Fixed(3, 7)), planned(Fixed(3, 7), data(), 0.3)
    )


# --- noise ------------------------------------------------------------------------------------------------------------


def noise() -> Noise:
    tbptt.seed_everything(5)
    return Noise(np.zeros((1, 1)), std=0.5)


def drawn(epoch: int, row: int) -> np.ndarray:
    with tbptt.use_backend("torch"), tbptt.dtypes.dtype_scope("float64"):
        return ops.to_numpy(noise()(batch_size=ROWS, origin=Origin(epoch, row, 0)))[:, 0]


def test_noise_is_fresh_for_every_epoch_and_batch_and_alike_on_both_engines(backend: Backend) -> None:
    """`drawn` is always torch's."""
    expected = [drawn(epoch, row) for epoch in (0, 1) for row in (0, ROWS)]
    assert len({value for state in expected for value in state.tolist()}) == 4 * ROWS
    found = begun(noise, [data(), data(1)], max_epochs=2)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("schedule", [Fixed(3, 7), Checkpointed(5), Checkpointed(3, slots=2)], ids=str)
def test_noise_is_the_same_again_when_steps_are_computed_again(backend: Backend, schedule: Any) -> None:
    check(gradients(lambda: Carrying(noise()), [data()], schedule), planned(schedule, data(), drawn(0, 0)))


def test_noise_under_compiled_checkpointing_is_the_same_again() -> None:
    tbptt.backends.load("tensorflow")
    batch = data(steps=10)
    with tbptt.use_backend("tensorflow"):
        found = gradients(lambda: Carrying(noise()), [batch], Checkpointed(5), compile=True)
    check(found, planned(10, batch, drawn(0, 0)))


# --- the batch before -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [5, Fixed(3, 7), Checkpointed(5)], ids=str)
def test_other_rows_hand_on_the_state_they_ended_with(backend: Backend, schedule: Any) -> None:
    found = gradients(lambda: Carrying(OtherRow(otherwise=Given(np.array([[0.3]])))), [data(0), data(1)], schedule)
    ended = states_before(data(0)["x"], NONE, 0.3)[:, -1]
    check(found, np.concatenate([planned(schedule, data(0), 0.3), planned(schedule, data(1), np.roll(ended, -1))]))


def test_other_rows_are_of_the_epoch_at_hand(backend: Backend) -> None:
    states = begun(OtherRow, [data(0), data(1)], max_epochs=2)
    ended = np.roll(states_before(data(0)["x"], NONE)[:, -1], -1)
    assert states[0] is None and states[2] is None
    for state in (states[1], states[3]):
        np.testing.assert_allclose(state, ended, rtol=1e-12)


def test_other_rows_hand_on_their_state_at_resets_too(backend: Backend) -> None:
    """Both inside a batch, and where only some rows begin anew with it."""
    second = {**data(1), "resets": resets()}
    found = gradients(lambda: Carrying(OtherRow()), [{**data(0), "resets": NONE}, second], 5)
    ended = np.roll(states_before(data(0)["x"], NONE)[:, -1], -1)
    check(found, np.concatenate([planned(5, data(0)), planned(5, second, ended)]))

    rows = np.array([True, False, True])
    batches = [{**data(0), "resets": ~rows & False}, {**data(1), "resets": rows}]
    found = gradients(lambda: Carrying(OtherRow()), batches, STEPS, state_carry="epoch")
    start = np.where(rows, ended, np.roll(ended, 1))
    check(found, np.concatenate([planned(STEPS, data(0)), planned(STEPS, data(1), start)]))


# --- methods and modules of one's own ---------------------------------------------------------------------------------


class OfRows(Carrying):
    def initial_state(self, batch_size: int) -> Any:  # type: ignore[override]
        return ops.full((batch_size, 1), 0.3, dtype="float64")


class OfPrevious(Carrying):
    def initial_state(self, previous: Any) -> Any:  # type: ignore[override]
        return None if previous is None else ops.multiply(previous, 0.5)


class OfWeight(Carrying):
    """Begins from a function of a parameter, which so has two parts in the gradient."""

    def initial_state(self, batch_size: int) -> Any:  # type: ignore[override]
        return ops.broadcast_to(ops.reshape(self.b, (1, 1)), (batch_size, 1))


@pytest.mark.parametrize("schedule", [5, Checkpointed(5)], ids=str)
def test_a_method_of_the_models_own(backend: Backend, schedule: Any) -> None:
    check(gradients(OfRows, [data()], schedule), planned(schedule, data(), 0.3))
    ended = states_before(data(0)["x"], NONE)[:, -1]
    expected = np.concatenate([planned(schedule, data(0)), planned(schedule, data(1), ended / 2)])
    check(gradients(OfPrevious, [data(0), data(1)], schedule), expected)
    weight = planned(schedule, data(), 0.5)
    weight[:, 1] += weight[:, 2]
    check(gradients(OfWeight, [data()], schedule), weight)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(np.full((1, 1), 0.25))

    def forward(self, batch_size: int) -> Any:
        return ops.broadcast_to(self.start, (batch_size, 1))


class OfTorch(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = torch.nn.Parameter(torch.full((1, 1), 0.25, dtype=torch.float64))

    def forward(self, batch_size: int) -> torch.Tensor:
        return self.start.expand(batch_size, 1)


class OfKeras(keras.layers.Layer):
    def __init__(self) -> None:
        super().__init__(dtype="float64")
        self.start = self.add_weight(shape=(1, 1), initializer=keras.initializers.Constant(0.25), name="start")

    def call(self, batch_size: int) -> Any:
        return ops.broadcast_to(self.start.value, (batch_size, 1))


def test_a_layer_of_ones_own_or_of_the_engine(backend: Backend) -> None:
    for make in (Layer, OfTorch if backend.name == "torch" else OfKeras):
        found = gradients(lambda make=make: Carrying(make()), [data()], 5)
        check(found, planned(5, data(), 0.25))


def test_what_it_cannot_be_given_is_a_configuration_error(backend: Backend) -> None:
    class Wrong(Carrying):
        def initial_state(self, rows: int) -> Any:
            return None

    class WrongLayer(nn.Module):
        def forward(self, rows: int) -> Any:
            return None

    for make in (Wrong, lambda: Carrying(WrongLayer())):
        with pytest.raises(ConfigurationError, match=r"needs rows.*def initial_state\(self, batch_size\)"):
            gradients(make, [data()], 5)


# --- validation -------------------------------------------------------------------------------------------------------


def test_validation_begins_from_it_too(backend: Backend) -> None:
    with tbptt.dtypes.dtype_scope("float64"):
        module = Carrying(OtherRow(otherwise=Learned(np.full((1, 1), 0.3))))
    trainer = quiet(5)
    for _ in range(2):  # what training and the validation before left is not its batch before
        trainer.fit(module, [data(2)], [data(0), data(1)])
        ended = states_before(data(0)["x"], NONE, 0.3)[:, -1]
        total = losses(**data(0), mask=NONE, h_0=0.3).sum() + losses(**data(1), mask=NONE, h_0=np.roll(ended, -1)).sum()
        np.testing.assert_allclose(trainer.callback_metrics["total"], total, rtol=1e-12)
        trainer = quiet(5)


# --- where the rows are -----------------------------------------------------------------------------------------------


class Layered(tbptt.Module):
    """A state of (layers, rows, units) with as many layers as rows."""

    def __init__(self, initial: Any = None) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, 4, num_layers=2)
        if initial is not None:
            self.initial_state = initial

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = self.rnn(ops.expand_dims(batch["x"], axis=2), hiddens)
        return ops.sum(ops.square(outputs)), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def start() -> Learned:
    return Learned((np.full((2, 1, 4), 0.1), np.full((2, 1, 4), 0.2)))


def of_layers(batches: Any) -> list[list[np.ndarray]]:
    def make() -> Layered:
        tbptt.seed_everything(0)
        return Layered(start())

    return gradients(make, batches, Checkpointed(4))


def test_the_initial_state_tells_where_the_rows_are_where_shapes_do_not(backend: Backend) -> None:
    """Two rows and two layers: one row more makes axis 1 longer."""
    x = np.random.default_rng(0).standard_normal((2, 9))
    mask = np.zeros((2, 9), bool)
    mask[0, 3] = True
    (found,) = of_layers([{"x": x, "resets": mask}])
    parts = of_layers([{"x": x[:1, :3]}, {"x": x[:1, 3:]}, {"x": x[1:]}])
    for index, gradient in enumerate(found):
        np.testing.assert_allclose(gradient, sum(each[index] for each in parts), rtol=1e-10, atol=1e-12)


def test_where_nothing_tells_it_is_an_error_that_says_what_to_do(backend: Backend) -> None:
    batch = {"x": np.zeros((2, 9)), "resets": np.eye(2, 9, 3, dtype=bool)}
    with pytest.raises(ShapeError, match=r"initial_state.*reset_fn"):
        gradients(Layered, [batch], 5)
    one = lambda state, mask: tbptt.reset_rows(state, mask, batch_axis=1)  # noqa: E731
    assert gradients(Layered, [batch], 5, reset_fn=one)


def test_a_program_for_any_number_of_rows_begins_and_resets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tbptt.backends.load("tensorflow")
    from tbptt_tensorflow import compilation

    monkeypatch.setattr(compilation, "FIRST", 1)
    batches = []
    for rows in (2, 3, 4, 5, 3):
        mask = np.zeros((rows, 4), bool)
        mask[1, 0] = mask[0, 2] = True
        batches.append({**data(rows, rows, 4), "resets": mask})
    with tbptt.use_backend("tensorflow"):
        found = gradients(lambda: Carrying(Learned(np.full((1, 1), 0.3))), batches, 2, compile=True)
    check(found, np.concatenate([planned(2, batch, 0.3) for batch in batches]))
