"""The part of the equivalence matrix that runs with the tests: every layer, depth, optimizer and kind of schedule at least once.

Each layer takes its 200 windows in TensorFlow's compiled step. The other cells run uncompiled and are shorter, because
compiling is what takes the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from soak import equivalence_matrix as matrix
from soak.equivalence_matrix import Cell
from tbptt import optim

COMPILED = [
    Cell("lstm", 2, "adam", "fixed"),
    Cell("gru", 1, "amsgrad", "burn-in"),
    Cell("rnn", 2, "rmsprop", "artbp"),
]
UNCOMPILED = [
    Cell("lstm", 1, "momentum", "overlap"),
    Cell("gru", 2, "nesterov", "random"),
    Cell("rnn", 1, "adagrad", "adaptive"),
    Cell("lstm", 2, "adamw", "checkpointed"),
    Cell("gru", 1, "sgd", "overlap"),
]
SINGLE = Cell("rnn", 1, "rmsprop 1e-1", "fixed")


def name(cell: Cell) -> str:
    return "-".join(map(str, cell))


@pytest.mark.parametrize("cell", COMPILED, ids=name)
def test_two_hundred_windows_of_the_compiled_step(cell: Cell) -> None:
    outcome = matrix.compare(cell, 200)
    assert outcome.road == "tf.function with XLA"
    assert outcome.passes, outcome
    assert outcome.last_loss < outcome.first_loss  # something was learned, so there was something to compare


@pytest.mark.parametrize("cell", UNCOMPILED, ids=name)
def test_sixteen_windows_of_the_step_as_it_is_written(cell: Cell) -> None:
    outcome = matrix.compare(cell, 16, compile=False)
    assert outcome.road == "eager"
    assert outcome.passes, outcome


def test_a_chaotic_setting_agrees_in_single_steps() -> None:
    outcome = matrix.compare(SINGLE, 30)
    assert outcome.road == "single steps"
    assert outcome.passes, outcome


def test_it_is_chaotic_on_one_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nudged(matrix.Losses):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            bias = module.head.bias
            nudge = 1e-15 * np.eye(1, matrix.VOCABULARY)[0]
            tbptt.current_backend().tensors.assign(bias, tbptt.ops.to_numpy(bias) + nudge)

    assert SINGLE.chaos
    plain, nudged = matrix.Losses(), Nudged()
    for watch in (plain, nudged):
        matrix.train("torch", SINGLE, 60, watch)
    apart = np.abs(np.subtract(plain.values, nudged.values))
    assert apart[:3].max() < 1e-13 and apart[-20:].max() > 1e-3


def test_the_subset_leaves_nothing_out_and_the_matrix_has_every_cell_once() -> None:
    subset = [*COMPILED, *UNCOMPILED, SINGLE]
    for place, kinds in enumerate((matrix.LAYERS, (1, 2), matrix.OPTIMIZERS, matrix.SCHEDULES)):
        assert {cell[place] for cell in subset} == set(kinds)
    cells = matrix.cells()
    assert len(cells) == len(set(cells)) == 3 * 2 * 8 * 7 + 2
    assert [cell for cell in cells if cell.chaos] == [SINGLE, SINGLE._replace(layers=2)]


def test_a_cell_whose_engines_differ_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_epsilon(parameters: Any) -> optim.Optimizer:
        return optim.Adam(parameters, lr=2e-2, eps=1e-8 if tbptt.current_backend().name == "torch" else 1.1e-8)

    monkeypatch.setitem(matrix.OPTIMIZERS, "adam", other_epsilon)
    outcome = matrix.compare(Cell("rnn", 1, "adam", "fixed"), 5, compile=False)
    assert not outcome.passes
    assert 1e-10 < outcome.parameters < 1e-2


def test_a_cell_that_did_not_move_or_did_not_run_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matrix.OPTIMIZERS, "adam", lambda parameters: optim.SGD(parameters, lr=0.0))
    cell = Cell("rnn", 1, "adam", "fixed")
    still = matrix.compare(cell, 2, compile=False)
    assert still.losses == still.parameters == still.moved == 0 or not still.passes
    assert not still.passes
    monkeypatch.setitem(matrix.OPTIMIZERS, "adam", lambda parameters: optim.SGD([], lr=0.0))
    failed = matrix.attempt(cell, 2)
    assert not failed.passes and failed.error and np.isinf(failed.losses)
