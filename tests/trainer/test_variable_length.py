"""Rows of different length train as each of them alone would, weighted by its steps, in whatever form the batch says so."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim, tree
from tbptt.data import Padded
from tbptt.dtypes import dtype_scope
from tbptt.errors import DataError
from tbptt.protocols import Backend
from tbptt.trainer.step import elements_of
from trainer.models import Losses

F, H, C, T, RATE = 2, 3, 4, 10, 0.5
LENGTHS = [np.array([9, 4, 7, 0, 1]), np.array([3, 5])]
DRAW = np.random.default_rng(0)
ROWS = [[(DRAW.standard_normal((length, F)), DRAW.integers(0, C, length)) for length in lengths] for lengths in LENGTHS]
QUIET: dict[str, Any] = {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False}


def padded(rows: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, labels and lengths; beyond the end of a row are NaN, and labels that are no class."""
    x, labels = np.full((len(rows), T, F), np.nan), np.full((len(rows), T), 10**6)
    for row, (inputs, targets) in enumerate(rows):
        x[row, : len(inputs)], labels[row, : len(targets)] = inputs, targets
    return x, labels, np.array([len(inputs) for inputs, _ in rows])


def as_dict(rows: Any) -> Any:
    return dict(zip(("x", "labels", "lengths"), padded(rows), strict=True))


def as_padded(rows: Any) -> Any:
    x, labels, lengths = padded(rows)
    return Padded(x, lengths), Padded(labels, lengths)


def as_mask(rows: Any) -> Any:
    x, labels, lengths = padded(rows)
    longest = lengths.max()  # a mask is cut like all that has time, and does not end it
    mask = np.arange(longest) < lengths[:, None]
    return {"x": x[:, :longest], "labels": labels[:, :longest], "lengths": mask}


def as_native(rows: Any) -> Any:
    """torch's packed sequences, which know no row without steps; TensorFlow's ragged tensors."""
    if tbptt.current_backend().name == "torch":
        import torch
        from torch.nn.utils.rnn import pack_sequence

        rows = [row for row in rows if len(row[0])]
        return tuple(pack_sequence([torch.tensor(row[i]) for row in rows], enforce_sorted=False) for i in (0, 1))
    import tensorflow as tf

    lengths = [len(inputs) for inputs, _ in rows]
    return tuple(tf.RaggedTensor.from_row_lengths(np.concatenate([row[i] for row in rows]), lengths) for i in (0, 1))


FORMS = {"a dict": as_dict, "padded": as_padded, "a mask": as_mask, "the engine's own": as_native}


class Tagger(tbptt.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(F, H), nn.Linear(H, C)

    def step(self, batch: Any, hiddens: Any) -> Any:
        if isinstance(batch, dict):
            x, labels, lengths = batch["x"], batch["labels"], batch["lengths"]
        else:
            (x, lengths), (labels, _) = batch
        features, hiddens = self.lstm(x, hiddens, lengths)
        logits = self.head(features)
        loss = nn.functional.cross_entropy(logits, labels, lengths=lengths)
        self.log("loss", loss, on_epoch=True)
        self.log("accuracy", nn.functional.accuracy(logits, labels, lengths=lengths), on_epoch=True)
        self.log("own", ops.multiply(loss, 2.0), on_epoch=True)
        return loss, hiddens

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        return self.step(batch, hiddens)

    def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        return self.step(batch, hiddens)

    def predict_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        (x, lengths), _ = batch
        features, hiddens = self.lstm(x, hiddens, lengths)
        return self.head(features), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=RATE)


def made() -> Tagger:
    with dtype_scope("float64"):
        tbptt.seed_everything(0)
        return Tagger()


def value(tensor: Any) -> np.ndarray:
    return np.array(ops.to_numpy(tbptt.stop_gradient(tensor)))


def alone(model: Tagger, x: Any, labels: Any, state: Any) -> tuple[float, float, Any, list[np.ndarray]]:
    """Loss, accuracy, state and gradients of one row by itself."""
    parameters = model.parameters()
    with tbptt.GradientTape() as tape:
        features, state = model.lstm(x, state)
        logits = model.head(features)
        loss = nn.functional.cross_entropy(logits, labels)
    accuracy = float((value(logits).argmax(-1) == value(labels)).mean())
    return float(value(loss)), accuracy, tbptt.detach(state), [value(g) for g in tape.gradient(loss, parameters)]


@functools.cache
def rows_alone(engine: str, window: int, rate: float = RATE) -> tuple[np.ndarray, list[np.ndarray]]:
    """A run by hand: of each window the counted steps, loss and accuracy; and the parameters at the end."""
    model, said = made(), []
    for rows in ROWS:
        states: list[Any] = [None] * len(rows)
        for start in range(0, max(len(x) for x, _ in rows), window):
            total, weights, sums = [np.zeros(p.shape) for p in model.parameters()], 0, np.zeros(2)
            for number, row in enumerate(rows):
                x, labels = (ops.asarray(leaf[None, start : start + window]) for leaf in row)
                if steps := int(x.shape[1]):
                    loss, accuracy, states[number], gradients = alone(model, x, labels, states[number])
                    total = [a + steps * b for a, b in zip(total, gradients, strict=True)]
                    weights, sums = weights + steps, sums + steps * np.array([loss, accuracy])
            optimizer = optim.SGD(model.parameters(), lr=rate)
            optimizer.apply([ops.asarray(gradient / weights) for gradient in total])
            said.append([weights, *sums / weights])
    return np.array(said), [value(parameter) for parameter in model.parameters()]


def check(trainer: tbptt.Trainer, losses: list[float], model: Tagger, expected: Any, own: bool = True) -> None:
    said, parameters = expected
    np.testing.assert_allclose(losses, said[:, 1], rtol=0, atol=1e-10)
    for ours, theirs in zip(model.parameters(), parameters, strict=True):
        np.testing.assert_allclose(value(ours), theirs, rtol=0, atol=1e-10)
    means = np.average(said[:, 1:], axis=0, weights=said[:, 0])
    found = [trainer.callback_metrics[f"{name}_epoch"] for name in ("loss", "accuracy")]
    np.testing.assert_allclose(found, means, rtol=0, atol=1e-10)
    if own:
        np.testing.assert_allclose(trainer.callback_metrics["own_epoch"], 2 * means[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("window", [1, 3, 7, T])
@pytest.mark.parametrize("form", FORMS)
def test_losses_updates_and_means_are_those_of_the_rows_alone(backend: Backend, form: str, window: int) -> None:
    """`own` is a value that nobody counted: it weighs the steps that lengths leave in the window, and all of them with a mask."""
    model, losses = made(), Losses()
    trainer = tbptt.Trainer(**QUIET, truncated_bptt_steps=window, callbacks=losses, compile=False)
    trainer.fit(model, [FORMS[form](rows) for rows in ROWS])
    assert np.abs(value(model.parameters()[0]) - value(made().parameters()[0])).max() > 1e-2
    check(trainer, losses.values, model, rows_alone(backend.name, window), own=form != "a mask")


def test_a_batch_that_is_not_cut_counts_its_rows_too(backend: Backend) -> None:
    model, losses = made(), Losses()
    trainer = tbptt.Trainer(**QUIET, callbacks=losses, compile=False)
    trainer.fit(model, [as_dict(rows) for rows in ROWS])
    check(trainer, losses.values, model, rows_alone(backend.name, T))


def test_compiled_steps_count_the_same(backend: Backend) -> None:
    """One program serves windows in which other rows are over."""
    model, losses = made(), Losses()
    trainer = tbptt.Trainer(**QUIET, truncated_bptt_steps=3, callbacks=losses)
    trainer.fit(model, [as_native(ROWS[0])])
    said = rows_alone(backend.name, 3)[0][:3]
    np.testing.assert_allclose(losses.values, said[:, 1], rtol=0, atol=1e-10)
    found = [trainer.callback_metrics[f"{name}_epoch"] for name in ("loss", "accuracy", "own")]
    means = np.average(said[:, [1, 2, 1]] * [1, 1, 2], axis=0, weights=said[:, 0])
    np.testing.assert_allclose(found, means, rtol=0, atol=1e-10)
    assert trainer.train_step is not None
    assert trainer.train_step.compiled.traces == (0 if backend.name == "torch" else 2)  # without a state, and with one


def test_lengths_that_time_axis_points_out(backend: Backend) -> None:
    class Plainly(Tagger):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            return self.step(dict(zip(("x", "labels", "lengths"), batch, strict=True)), hiddens)

    with dtype_scope("float64"):
        tbptt.seed_everything(0)
        model, losses = Plainly(), Losses()
    options = {**QUIET, "truncated_bptt_steps": 3, "callbacks": losses, "compile": False}
    trainer = tbptt.Trainer(**options, time_axis=(1, 1, "lengths"))
    trainer.fit(model, [padded(rows) for rows in ROWS])
    check(trainer, losses.values, model, rows_alone(backend.name, 3))


def test_rows_that_end_in_an_earlier_batch_keep_their_state(backend: Backend) -> None:
    """Blocks of one batch, with what is left of the lengths: a row that is over takes no part."""
    model, losses = made(), Losses()
    x, labels, lengths = padded(ROWS[0])
    blocks = [
        {"x": x[:, start:stop], "labels": labels[:, start:stop], "lengths": np.clip(lengths - start, 0, stop - start)}
        for start, stop in ((0, 6), (6, T))
    ]
    options = {**QUIET, "truncated_bptt_steps": 3, "state_carry": "epoch", "compile": False}
    tbptt.Trainer(**options, callbacks=losses).fit(model, blocks)
    said, _ = rows_alone(backend.name, 3)
    np.testing.assert_allclose(losses.values, said[:3, 1], rtol=0, atol=1e-10)


def test_evaluation_of_padded_rows_does_not_depend_on_the_window(backend: Backend) -> None:
    said, _ = rows_alone(backend.name, T, rate=0.0)
    means = np.average(said[:, 1:], axis=0, weights=said[:, 0])
    for window in (1, 3, 7, T, None):
        trainer = tbptt.Trainer(**QUIET, truncated_bptt_steps=window, compile=False)
        ((metrics),) = trainer.validate(made(), [as_padded(rows) for rows in ROWS])
        found = [metrics["loss"], metrics["accuracy"], metrics["own"] / 2]
        np.testing.assert_allclose(found, [*means, means[0]], rtol=1e-12)


def test_predictions_of_padded_rows_are_those_of_the_rows_alone(backend: Backend) -> None:
    model = made()
    batches = [as_padded(rows) for rows in ROWS]
    for window in (3, None):
        found = tbptt.Trainer(**QUIET, truncated_bptt_steps=window, compile=False).predict(model, batches)
        for prediction, rows in zip(found, ROWS, strict=True):
            for row, (x, _) in enumerate(rows):
                expected = model.head(model.lstm(ops.asarray(x[None]))[0]) if len(x) else np.zeros((1, 0, C))
                np.testing.assert_allclose(
                    value(prediction)[row, : len(x)], value(ops.asarray(expected))[0], rtol=1e-12
                )


def test_a_batch_of_rows_without_steps_is_refused_before_anything_changes(backend: Backend) -> None:
    model = made()
    with pytest.raises(DataError, match="every row of the batch has the length 0"):
        tbptt.Trainer(**QUIET, truncated_bptt_steps=3).fit(
            model, [{"x": np.ones((2, 4, F)), "lengths": np.zeros(2, int)}]
        )
    for ours, theirs in zip(model.parameters(), made().parameters(), strict=True):
        np.testing.assert_array_equal(value(ours), value(theirs))


def test_elements_of_a_window(backend: Backend) -> None:
    x, lengths = np.zeros((2, 3, 1)), np.array([3, 1])
    cases: list[tuple[Any, Any, int]] = [
        ((x, np.zeros(2)), 1, 6),
        (np.zeros(2), 1, 1),
        ({"x": x, "lengths": lengths}, 1, 4),
        ({"about": {"lengths": ops.asarray(lengths)}, "x": x}, 1, 4),
        ({"x": x, "lengths": x}, 1, 6),  # something else of that name
        ((Padded(x, lengths), Padded(x, lengths)), 1, 4),
        ((Padded(x, lengths), x), (1, 1), 4),
        ((Padded(x, lengths), x), (None, 1), 6),  # said to be no lengths of windows
        ((x, lengths), 1, 6),
        ((x, lengths), (1, "lengths"), 4),
        ((x, lengths, lengths), (1, "lengths"), 6),  # rebuilt by a hook: what time_axis said is no longer there
        ({"y": x, "lengths": lengths}, {"x": 1, "lengths": "lengths"}, 4),
    ]
    for window, axis, expected in cases:
        assert int(elements_of(window, axis)) == expected, tree.paths(window)
