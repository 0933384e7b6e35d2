"""Windows of any length under TensorFlow: few programs, the numbers of the uncompiled step, and every step counted once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.protocols import Compiled
from trainer.models import CharLM, tokens, train

# isort: split
import tensorflow as tf

from tbptt_tensorflow import compilation
from tbptt_tensorflow.compilation import FIRST, MOST, REPEATED

WHOLE: Any = None  # batches are not cut
LENGTHS = [7, 9, 4, 8, 5, 12, 9, 3, 1, 11, 6, 10, 2, 13]
EXACT = "tf.function with XLA"
OPEN = f"{EXACT}; windows of other lengths: tf.function with open axes (XLA would compile each length anew)"


@pytest.fixture(autouse=True)
def _on_tensorflow() -> Iterator[None]:
    with tbptt.use_backend("tensorflow"):
        yield


@pytest.fixture
def _one_exact_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of a test's time is compiling; the open program comes after the first."""
    monkeypatch.setattr(compilation, "FIRST", 1)


@pytest.fixture
def _without_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation.devices, "available", lambda: ["cpu", "gpu:0"])


def compiled(function: Callable[..., Any]) -> Compiled:
    return compilation.compile(function, "auto", "step")


def zeros(*shape: int) -> Any:
    return tf.zeros(shape, tf.float64)


# --- how many programs ------------------------------------------------------------------------------------------------


def traces(program: Compiled, lengths: Iterable[int]) -> list[int]:
    """How many programs there are after a call with each length."""
    counts = []
    for length in lengths:
        assert int(program(zeros(2, length))) == 2 * length
        counts.append(program.traces)
    return counts


def size(x: Any) -> Any:
    return ops.sum(ops.ones_like(x))


def test_the_first_lengths_get_exact_programs_and_all_others_share_one() -> None:
    program = compiled(size)
    assert traces(program, [5, 6, 5, 6, 5]) == [1, 2, 2, 2, 2]
    assert program.road == EXACT
    assert traces(program, [7, 8, 9, 7, 10, 5, 3, 1, 0]) == [3, 4, 4, 4, 4, 4, 4, 4, 4]
    assert program.road == OPEN
    assert traces(program, np.random.default_rng(0).integers(55, 85, 300)) == [4] * 300


def test_windows_that_grow_end_in_an_exact_program() -> None:
    program = compiled(size)
    ramp = [length for length in (2, 3, 4, 5, 6) for _ in range(5)]
    assert traces(program, ramp)[-1] == FIRST + 1
    assert traces(program, [7] * 20) == [FIRST + 1] * (REPEATED - 1) + [FIRST + 2] * (21 - REPEATED)
    # each further one has to be met twice as often
    assert traces(program, [8] * 20) == [FIRST + 2] * (2 * REPEATED - 1) + [FIRST + 3] * (21 - 2 * REPEATED)
    assert traces(program, [2, 8, 7, 20, 21]) == [FIRST + 3] * 5


def test_the_rest_of_each_sequence_does_not_end_a_run() -> None:
    program = compiled(size)
    traces(program, [1, 2, 3])
    sequences = [length for rest in (4, 5, 6, 4) for length in (10, 10, 10, rest)]
    counts = traces(program, sequences)
    assert counts[-1] == FIRST + 2
    tenth = [count for length, count in zip(sequences, counts, strict=True) if length == 10]
    assert tenth.index(FIRST + 2) == REPEATED - 1


def test_there_are_never_more_programs_of_a_kind_than_promised() -> None:
    """One axis after the other varies, and every other shape comes often enough in a row for a program of its own."""
    program = compiled(size)
    shape = [2] * 8

    def call() -> None:
        assert int(program(zeros(*shape))) == np.prod(shape)

    with pytest.warns(UserWarning, match="step has 8 programs .* run uncompiled") as caught:
        for axis in range(8):
            for length in (1, 3):
                shape[axis] = length
                for _ in range(REPEATED * 8 if axis % 2 else 1):
                    call()
                assert program.traces <= MOST
    assert program.traces == MOST
    assert len(caught) == 1


def test_only_axes_that_differ_are_open() -> None:
    seen = []

    def step(x: Any, state: Any) -> Any:
        seen.append((tuple(x.shape), tuple(state.shape)))
        return ops.sum(x) + ops.sum(state)

    program = compiled(step)
    for length in (3, 4, 5, 6, 7):
        program(zeros(2, length, 8), zeros(2, 8))
    assert seen[-1] == ((2, None, 8), (2, 8))
    program(zeros(5, 3, 8), zeros(5, 8))
    assert seen[-1] == ((None, None, 8), (None, 8))
    program(zeros(6, 30, 8), zeros(6, 8))
    assert len(seen) == program.traces == FIRST + 2


def test_other_constants_and_dtypes_are_another_kind() -> None:
    program = compiled(lambda x, flag: (size(x) if flag else -size(x), flag, "name"))
    for length in range(1, 10):
        for flag in (True, False, 1):
            value, kept, name = program(zeros(length), flag)
            assert (float(value), name) == (length if flag else -length, "name")
            assert kept is flag
    assert program.traces == 3 * (FIRST + 1)
    program(tf.zeros((3,), tf.float32), True)
    assert program.traces == 3 * (FIRST + 1) + 1


# --- code that needs to know a length ---------------------------------------------------------------------------------


def test_a_loop_over_steps_falls_back_to_exact_programs_with_one_warning() -> None:
    updates = tf.Variable(tf.constant(0))

    def step(x: Any) -> Any:
        updates.assign_add(1)
        total = ops.sum(x[:, 0])
        for t in range(1, x.shape[1]):
            total = total + ops.sum(x[:, t])
        return total

    program = compiled(step)
    with pytest.warns(UserWarning, match="step met more than 3 shapes") as caught:
        for count, length in enumerate((1, 2, 3, 4, 5, 6, 4), 1):
            assert float(program(tf.ones((2, length)))) == 2 * length
            assert int(updates) == count
    assert len(caught) == 1
    said = str(caught[0].message)
    assert all(words in said for words in ("TypeError", "tbptt.ops.shape(x)[1]", "compile=False", "fixed length"))
    assert program.traces == 6
    assert program.road == f"{EXACT}, a program for each shape: no axis can be left open"


def test_the_warning_as_an_error_comes_before_anything_has_changed() -> None:
    updates = tf.Variable(tf.constant(0))

    def step(x: Any) -> Any:
        updates.assign_add(1)
        return ops.zeros((x.shape[0],))

    program = compiled(step)
    for length in (1, 2, 3):
        program(zeros(length))
    with pytest.raises(UserWarning), warnings.catch_warnings():
        warnings.simplefilter("error")
        program(zeros(4))
    assert int(updates) == 3


def test_an_error_that_has_nothing_to_do_with_lengths_is_raised_as_it_is() -> None:
    fails = False

    def step(x: Any) -> Any:
        if fails:
            raise KeyError("mine")
        return size(x)

    program = compiled(step)
    traces(program, [1, 2, 3])
    fails = True
    with pytest.raises(KeyError, match="mine"):
        program(zeros(2, 4))
    fails = False
    assert traces(program, [4, 5]) == [FIRST + 1] * 2
    assert program.road == OPEN


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_one_exact_program")
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_open_and_exact_programs_agree(layer: Any) -> None:
    """Outputs, state and gradients of rows of different length."""
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = layer(3, 4)
    parameters = model.parameters()

    def step(x: Any, lengths: Any, state: Any) -> Any:
        with tbptt.GradientTape() as tape:
            outputs, state = model(x, state, lengths)
            loss = ops.mean(ops.square(outputs))
        return outputs, state, tape.gradient(loss, parameters), ops.shape(x)[1] * 2

    draw = np.random.default_rng(0)
    state = tbptt.tree.map(ops.zeros_like, model(zeros(2, 3, 3))[1])
    calls = [(draw.standard_normal((2, steps, 3)), np.array([steps, steps // 2])) for steps in (3, 8, 1)]
    opened, answers = compiled(step), []
    for x, lengths in calls:
        answers.append(opened(x, lengths, state))
        assert int(answers[-1][-1]) == 2 * x.shape[1]
    assert opened.traces == 2
    exact = compiled(step)
    found, expected = answers[1], exact(*calls[1], state)
    assert (exact.road, exact.traces) == (EXACT, 1)
    for one, other in zip(tbptt.tree.leaves(found), tbptt.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_a_tape_around_an_open_program_sees_through_it() -> None:
    weight = tf.Variable(tf.constant([2.0, 3.0]))
    program = compiled(lambda x: ops.sum(ops.matmul(x, weight[:, None])))
    for length in (1, 2, 3, 4, 5, 6):
        with tf.GradientTape() as tape:
            value = program(tf.ones((length, 2)))
        np.testing.assert_array_equal(tape.gradient(value, weight), [length, length])
    assert program.traces == FIRST + 1


def program_of(trainer: tbptt.Trainer) -> Compiled:
    assert trainer.train_step is not None
    return trainer.train_step.compiled


def run(model: Callable[[], Any], data: Any, carry: str = "batch") -> tbptt.Trainer:
    """Train on whole batches, compiled and not, and compare losses, parameters and metrics; the compiled run's trainer."""
    (losses, parameters, trainer), (plain, plain_parameters, eager) = (
        train("tensorflow", model, data, WHOLE, state_carry=carry, compile=compile) for compile in ("auto", False)
    )
    np.testing.assert_allclose(losses, plain, rtol=0, atol=1e-11)
    for found, expected in ((parameters, plain_parameters), (trainer.callback_metrics, eager.callback_metrics)):
        assert found.keys() == expected.keys()
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-11, err_msg=name)
    return trainer


@pytest.mark.usefixtures("_one_exact_program")
def test_training_on_many_lengths_is_the_uncompiled_run() -> None:
    """Dropout between layers, clipping, Adam, logged means."""
    trainer = run(lambda: CharLM(dropout=0.3), [tokens(3, steps, seed=steps) for steps in LENGTHS])
    assert program_of(trainer).road == OPEN
    assert program_of(trainer).traces == 2


@pytest.mark.usefixtures("_one_exact_program", "_without_xla")
@pytest.mark.parametrize("layer", ["gru", "rnn"])
def test_training_without_xla_on_many_lengths_is_the_uncompiled_run(layer: str) -> None:
    """The first batch has no state, the others one that is carried on: two kinds."""
    data = [tokens(3, steps, seed=steps) for steps in LENGTHS[:8]]
    trainer = run(lambda: CharLM(layer=layer, dropout=0.3), data, carry="epoch")
    assert program_of(trainer).road.startswith("tf.function; windows of other lengths: tf.function with open axes")
    assert program_of(trainer).traces == 1 + 2


class Padded(tbptt.Module):
    """Rows of different length; both losses, and values that the window's elements weigh."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.drop, self.norm, self.head = nn.LSTM(2, 3), nn.Dropout(0.2), nn.LayerNorm(3), nn.Linear(3, 4)

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        lengths = batch.get("lengths")
        features, hiddens = self.lstm(batch["x"], hiddens, lengths)
        logits = self.head(self.norm(self.drop(features)))
        loss = nn.functional.cross_entropy(logits, batch["labels"], lengths=lengths, label_smoothing=0.1)
        regression = nn.functional.mse_loss(logits[..., :2], batch["x"], lengths=lengths)
        self.log("regression", regression, on_epoch=True)
        self.log("accuracy", nn.functional.accuracy(logits, batch["labels"], lengths=lengths), on_epoch=True)
        self.log("own", ops.mean(features), on_epoch=True)
        return loss + regression, hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.usefixtures("_one_exact_program", "_without_xla")
@pytest.mark.parametrize("with_lengths", [True, False])
def test_training_on_rows_of_many_lengths_is_the_uncompiled_run(with_lengths: bool) -> None:
    draw, data = np.random.default_rng(0), []
    for steps in LENGTHS[:8]:
        batch = {"x": draw.standard_normal((3, steps, 2)), "labels": draw.integers(0, 4, (3, steps))}
        data.append({**batch, "lengths": np.array([steps, 1, steps // 2])} if with_lengths else batch)
    assert program_of(run(Padded, data)).traces == 2


def test_a_mean_of_ones_own_is_over_the_true_steps_and_weighs_as_many() -> None:
    """Against the run by hand: w ← w − η·2·mean(w − x), with batches whose rows vary as well."""

    class Level(tbptt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(np.zeros(1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = ops.mean(ops.square(batch - self.level))
            self.log("loss", loss, on_epoch=True)
            return loss

        def configure_optimizers(self) -> Any:
            return optim.SGD(self.parameters(), lr=0.05)

    draw = np.random.default_rng(0)
    data = [
        draw.standard_normal((rows, steps)) for steps, rows in zip(LENGTHS, [2] * 8 + [2, 3, 1, 5, 4, 2], strict=True)
    ]
    losses, parameters, trainer = train("tensorflow", Level, data, WHOLE, state_carry="batch", gradient_clip_val=None)
    level, expected = 0.0, []
    for x in data:
        expected.append(float(np.mean((x - level) ** 2)))
        level -= 0.05 * 2 * float(np.mean(level - x))
    np.testing.assert_allclose(losses, expected, rtol=1e-13)
    np.testing.assert_allclose(parameters["level"], [level], rtol=1e-13)
    mean = np.average(expected, weights=[x.size for x in data])
    np.testing.assert_allclose(trainer.callback_metrics["loss_epoch"], mean, rtol=1e-13)
    assert program_of(trainer).traces == FIRST + 2
