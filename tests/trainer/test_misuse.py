"""Mistakes of the first hour, and what the library says to each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import errors, nn, ops, optim
from tbptt.protocols import Backend

X = np.ones((2, 6, 1), "float32")


class Good(tbptt.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, 3)

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = self.rnn(batch, hiddens)
        return ops.mean(ops.square(outputs)), hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


def returning(make: Any) -> type:
    class Wrong(Good):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            outputs, hiddens = self.rnn(batch, hiddens)
            return make(ops.mean(ops.square(outputs)), hiddens, outputs)

    return Wrong


class NoHiddens(Good):
    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
        return ops.mean(batch)


class NoOptimizer(Good):
    def configure_optimizers(self) -> Any:
        return None


class NotAnOptimizer(Good):
    def configure_optimizers(self) -> Any:
        return "adam"


class UnknownKey(Good):
    def configure_optimizers(self) -> Any:
        return {"optimizer": super().configure_optimizers(), "scheduler": None}


class NoMonitor(Good):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        return [optimizer], [optim.lr_scheduler.ReduceLROnPlateau(optimizer)]


class NotLogged(Good):
    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class OldMethod(Good):
    def validation_end(self, outputs: Any) -> Any:
        return {}


class LogsAVector(Good):
    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = self.rnn(batch, hiddens)
        self.log("x", outputs)
        return ops.mean(outputs), hiddens


MISTAKES: dict[str, tuple[Any, Any, dict[str, Any], type, str]] = {
    "no training_step": (lambda: nn.RNN(1, 3), [X], {}, TypeError, "has no training_step"),
    "no optimizer": (NoOptimizer, [X], {}, TypeError, "must return an optimizer"),
    "an optimizer that is none": (NotAnOptimizer, [X], {}, TypeError, "received str"),
    "an unknown key": (UnknownKey, [X], {}, ValueError, "unknown keys"),
    "a scheduler without its metric": (NoMonitor, [X], {}, ValueError, "without saying which"),
    "a scheduler's metric that is not logged": (NotLogged, [X], {}, ValueError, "'val_loss', which has not been logged"),
    "a metric to stop by that is not logged": (
        Good, [X], {"callbacks": lambda: tbptt.callbacks.EarlyStopping("val_loss")}, ValueError, "val_loss"
    ),
    "a metric to save by that is not logged": (
        Good, [X], {"callbacks": lambda: tbptt.callbacks.ModelCheckpoint(monitor="val_loss")}, ValueError, "val_loss"
    ),
    "an old argument": (Good, [X], {"max_nb_epochs": 3}, ValueError, "max_epochs"),
    "an old method": (OldMethod, [X], {}, ValueError, "validation_epoch_end"),
    "a misspelt argument": (Good, [X], {"max_epoch": 3}, ValueError, "Did you mean max_epochs"),
    "no data at all": (Good, None, {}, ValueError, "There is no data to fit"),
    "a batch of no rows": (Good, [X[:0]], {}, ValueError, "no rows"),
    "hiddens not taken": (NoHiddens, [X], {}, TypeError, "must take hiddens"),
    "hiddens not returned": (returning(lambda l, h, o: l), [X], {}, TypeError, "did not return them"),
    "hiddens not in the dict": (returning(lambda l, h, o: {"loss": l}), [X], {}, TypeError, "did not return them"),
    "no loss": (returning(lambda l, h, o: None), [X], {}, TypeError, "must return a loss"),
    "no loss in the dict": (returning(lambda l, h, o: {"hiddens": h}), [X], {}, TypeError, "must return a loss"),
    "a loss from NumPy": (returning(lambda l, h, o: (np.float32(1), h)), [X], {}, TypeError, "must return a loss"),
    "a loss that is no scalar": (returning(lambda l, h, o: (o, h)), [X], {}, TypeError, "expected a scalar"),
    "a loss of nothing": (returning(lambda l, h, o: (ops.ones(()), h)), [X], {}, ValueError, "depends on no parameter"),
    "three values": (returning(lambda l, h, o: (l, h, o)), [X], {}, TypeError, "returned 3 values"),
    "a vector logged": (LogsAVector, [X], {}, TypeError, "expected a scalar"),
    "no time axis": (Good, [np.ones(5)], {}, ValueError, "time axis"),
    "leaves of two lengths": (Good, [(X, X[:, :4])], {}, ValueError, "disagree"),
    "another batch size": (Good, [X, np.ones((3, 6, 1))], {"state_carry": "epoch"}, ValueError, "batch of 3 rows"),
    "no data": (Good, [], {}, ValueError, "brought no batch"),
    "data that is no data": (Good, "corpus.txt", {}, ValueError, "Batches cannot be taken"),
    "no validation_step": (Good, [X], {"validation": [X]}, TypeError, "has no validation_step"),
    "a loss that is not finite": (
        returning(lambda l, h, o: (l / 0.0, h)), [X], {"gradient_clip_val": None}, ArithmeticError, "batch 0, window 0",
    ),
    "a negative clip": (Good, [X], {"gradient_clip_val": -1.0}, ValueError, "gradient_clip_val"),
    "windows of no steps": (Good, [X], {"truncated_bptt_steps": 0}, ValueError, "at least 1"),
    "a carry that is none": (Good, [X], {"state_carry": "forever"}, ValueError, "state_carry"),
    "nothing that ends it": (Good, [X], {"max_epochs": None}, ValueError, "Nothing ends this training"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_an_error_that_says_what_to_do(backend: Backend, mistake: str) -> None:
    model, data, options, kind, message = MISTAKES[mistake]
    validation = options.get("validation")
    options = {
        "max_epochs": 1,
        "truncated_bptt_steps": 3,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **options,
    }
    options.pop("validation", None)
    if "callbacks" in options:
        options["callbacks"] = options["callbacks"]()
    with pytest.raises(kind, match=message) as raised:
        tbptt.Trainer(**options).fit(model(), data, validation)
    assert isinstance(raised.value, errors.TbpttError)


def test_logging_and_trainer_outside_a_run_say_where_they_belong(backend: Backend) -> None:
    model = Good()
    with pytest.raises(errors.ModuleProtocolError, match="outside a step"):
        model.log("x", 1.0)
    with pytest.raises(errors.ModuleProtocolError, match="with no trainer"):
        _ = model.trainer


def test_an_exception_reaches_the_callbacks_and_then_the_caller(backend: Backend) -> None:
    seen = []

    class Watch(tbptt.Callback):
        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
            seen.append(exception)

        def on_window_end(self, *arguments: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tbptt.Trainer(
            1, truncated_bptt_steps=3, callbacks=Watch(), enable_progress_bar=False, enable_model_summary=False
        ).fit(Good(), [X])
    assert isinstance(seen[0], KeyboardInterrupt)
