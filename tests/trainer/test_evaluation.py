"""Validation, test and prediction: apart from training, independent of windows, over as much data as was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.callbacks import ModelCheckpoint
from tbptt.data import ArrayStream
from tbptt.dtypes import dtype_scope
from tbptt.loggers import Logger
from tbptt.protocols import Backend
from trainer.models import CharLM, tokens, train
from trainer.recording import Plain, data

QUIET: dict[str, Any] = {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False, "compile": False}


class Seen(tbptt.Callback):
    """Where training and validation were: epoch and batch of each batch, in the order they ended."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, int]] = []
        self.evaluated: list[tuple[int, int]] = []
        self.order = ""

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int
    ) -> None:
        self.trained.append((trainer.current_epoch, batch_idx))
        self.order += "t"

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int
    ) -> None:
        self.evaluated.append((trainer.current_epoch, batch_idx))
        self.order += "s" if trainer.sanity_checking else "v"


class Seer(tbptt.Module):
    """Trains next to nothing, on windows of one step, and keeps the first number of every batch it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.ones(1))
        self.trained: list[float] = []
        self.evaluated: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.trained.append(float(batch[0, 0]))
        return ops.mean(ops.square(ops.sum(self.weight) * batch))

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.evaluated.append(float(batch[0, 0]))
        self.log("value", ops.mean(batch))

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return batch

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def numbers(count: int) -> list[np.ndarray]:
    return [np.full((2, 3), float(n), "float32") for n in range(count)]


def fit(validation: Any = None, batches: int = 5, **options: Any) -> tuple[Seen, tbptt.Trainer]:
    seen = Seen()
    trainer = tbptt.Trainer(**{**QUIET, "num_sanity_val_steps": 0, "callbacks": seen, **options})
    trainer.fit(Seer(), numbers(batches), validation)
    return seen, trainer


# --- validation leaves training alone ---------------------------------------------------------------------------------


def test_validation_in_the_middle_of_a_stateful_epoch_changes_nothing(backend: Backend) -> None:
    """Blocks of one text, state and dropout's clock flow on: losses are equal to the bit, however often validation comes."""
    stream = ArrayStream(tokens(3, 12), batch_size=3, block_steps=3)
    other = [
        tokens(2, 5, seed=1),
        tokens(2, 3, seed=2),
    ]  # another number of rows: a state that got across would not fit

    def small() -> CharLM:
        return CharLM(width=3, layer="rnn", dropout=0.5)

    options = {"compile": False, "num_sanity_val_steps": 1}
    expected, parameters, _ = train(backend.name, small, stream, 2, **options)
    assert len(expected) == 4 * 2
    for validation, interval in ((other, 1), (other, 0.5), (stream, 1)):
        options |= {"validation": validation, "val_check_interval": interval}
        losses, after, trainer = train(backend.name, small, stream, 2, **options)
        assert losses == expected
        assert all(np.array_equal(parameters[name], after[name]) for name in parameters)
        assert np.isfinite(trainer.callback_metrics["val_loss"])


def test_shuffled_training_data_may_be_validated_on_while_it_is_trained_on(backend: Backend) -> None:
    stream = ArrayStream(np.arange(10.0).reshape(10, 1), batch_size=2, shuffle=True)
    runs = []
    for validation in (None, stream):
        model = Seer()
        trainer = tbptt.Trainer(**{**QUIET, "max_epochs": 3}, val_check_interval=2)
        trainer.fit(model, stream, validation)
        runs.append(model.trained)
    assert runs[0] == runs[1]
    assert len(set(runs[0][:5])) == 5 and runs[0][:5] != runs[0][5:10]


class Parts(tbptt.Module):
    """Two kinds of dropout, one of which was switched off by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped, self.kept, self.head = nn.Dropout(0.5), nn.Dropout(0.5), nn.Linear(1, 1)
        self.modes: list[list[bool]] = []

    def step(self, batch: Any) -> Any:
        self.modes.append([self.dropped.training, self.kept.training])
        return ops.mean(ops.square(self.head(self.kept(self.dropped(batch)))))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.step(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.step(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.step(batch)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


def test_parts_get_their_own_modes_back(backend: Backend) -> None:
    model, batches = Parts(), [np.ones((2, 3, 1), "float32")] * 2
    model.kept.eval()
    trainer = tbptt.Trainer(**QUIET, val_check_interval=1)
    trainer.fit(model, batches, batches[:1])
    train, evaluation = [True, False], [False, False]
    assert model.modes == [evaluation, train, evaluation, train, evaluation]  # the sanity check comes first
    for stage in (trainer.validate, trainer.predict):
        stage(model, batches[:1])
        assert [model.training, model.dropped.training, model.kept.training] == [True, True, False]
    model.eval()
    trainer.validate(model, batches)
    assert not model.training and not model.dropped.training
    trainer.fit(model, batches)  # a model that was only used so far is trained whole
    assert model.training and model.kept.training


def test_parts_of_a_plain_object_get_their_modes_back(backend: Backend) -> None:
    class Plainly:
        def __init__(self) -> None:
            self.inside = [nn.Linear(1, 1), nn.Dropout(0.5)]
            self.modes: list[bool] = []

        def step(self, batch: Any) -> Any:
            self.modes.append(self.inside[1].training)
            return ops.mean(ops.square(self.inside[1](self.inside[0](batch))))

        def training_step(self, batch: Any) -> Any:
            return self.step(batch)

        def validation_step(self, batch: Any) -> Any:
            return self.step(batch)

        def configure_optimizers(self) -> Any:
            return optim.SGD(self.inside[0].parameters(), lr=0.1)

    model = Plainly()
    batches = [np.ones((2, 3, 1), "float32")] * 2
    tbptt.Trainer(**QUIET, val_check_interval=1, num_sanity_val_steps=0).fit(model, batches, batches[:1])
    assert model.modes == [True, False, True, False]


# --- windows ----------------------------------------------------------------------------------------------------------


def test_the_loss_of_an_evaluation_does_not_depend_on_the_window(backend: Backend) -> None:
    """Nor on steps that no row counts (a window of only those has no mean), nor on the number of rows and steps of a batch."""

    class Masked(CharLM):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            logits, hiddens = self(batch[0], hiddens)
            loss = nn.functional.cross_entropy(logits, batch[1])
            self.log("val_loss", loss)
            self.log("accuracy", nn.functional.accuracy(logits, batch[1]))
            self.log("norm", ops.mean(ops.square(logits)))
            return {"loss": loss, "hiddens": hiddens}

        def test_step(self, batch: Any, batch_idx: int) -> None:
            logits, _ = self(batch[0])
            self.log("val_loss", nn.functional.cross_entropy(logits, batch[1]))
            self.log("accuracy", nn.functional.accuracy(logits, batch[1]))
            self.log("norm", ops.mean(ops.square(logits)))

    with dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = Masked(width=3, layer="rnn")
    batches = []
    for seed, (rows, steps) in enumerate([(3, 20), (2, 13)]):
        x, y = tokens(rows, steps, seed=seed)
        y = np.where(np.random.default_rng(seed).random(y.shape) < 0.3, -100, y)
        y[:, 7:14] = -100
        batches.append((x, y))
    results = [tbptt.Trainer(**QUIET, truncated_bptt_steps=k).validate(model, batches)[0] for k in (1, 7, 20)]
    results += tbptt.Trainer(**QUIET, truncated_bptt_steps=7).test(model, batches)  # without hiddens: whole batches
    assert set(results[0]) == {"val_loss", "accuracy", "norm"}
    for name in results[0]:
        found = [result[name] for result in results]
        np.testing.assert_allclose(found, found[-1], rtol=1e-12)


def test_a_step_without_hiddens_sees_whole_batches(backend: Backend) -> None:
    shapes = []

    class Whole(Plain):
        def validation_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            shapes.append(tuple(batch[0].shape))

    tbptt.Trainer(**QUIET, truncated_bptt_steps=2, state_carry="epoch").fit(Whole(), data(), data(steps=5))
    assert shapes == [(2, 5, 1)] * 4


# --- how much, and when -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "count"), [(None, 5), (3, 3), (9, 5), (1.0, 5), (0.5, 2), (0.01, 1), (1, 1)])
def test_limits_are_counts_or_fractions(backend: Backend, limit: Any, count: int) -> None:
    stages = ("train", "val", "test", "predict")
    options = {f"limit_{stage}_batches": limit for stage in stages}
    seen, trainer = fit(numbers(5), max_epochs=2, **options)
    assert trainer.num_training_batches == count and trainer.global_step == 2 * count
    assert seen.trained == seen.evaluated == [(epoch, n) for epoch in (0, 1) for n in range(count)]
    mean = {"value": sum(range(count)) / count}
    assert trainer.validate(dataloaders=numbers(5)) == [mean]
    assert trainer.test(dataloaders=numbers(5)) == [mean]
    assert len(trainer.predict(dataloaders=numbers(5))) == count


def test_a_limit_of_zero_leaves_validation_out(backend: Backend) -> None:
    for limit in (0, 0.0):
        seen, trainer = fit(numbers(5), limit_val_batches=limit)
        assert len(seen.trained) == 5 and not seen.evaluated
        assert not trainer.has_validation


def test_a_limit_of_zero_leaves_training_out(backend: Backend) -> None:
    seen, trainer = fit(numbers(5), limit_train_batches=0, max_epochs=None, max_steps=5)
    assert not seen.order and (trainer.current_epoch, trainer.global_step) == (0, 0)


INTERVALS = [
    ({"check_val_every_n_epoch": 1}, "tttttv" * 4),
    ({"check_val_every_n_epoch": 2}, "ttttttttttv" * 2),
    ({"check_val_every_n_epoch": 3}, "ttttt" * 3 + "v" + "ttttt"),
    ({"val_check_interval": 2}, "ttvttvt" * 4),
    ({"val_check_interval": 0.4}, "ttvttvt" * 4),
    ({"val_check_interval": 5}, "tttttv" * 4),
    ({"val_check_interval": 2, "check_val_every_n_epoch": 2}, "tttttttvttvt" * 2),
    ({"val_check_interval": 3, "check_val_every_n_epoch": None}, "tttv" * 6 + "tt"),
    ({"val_check_interval": 7, "check_val_every_n_epoch": None}, "tttttttv" * 2 + "tttttt"),
]


@pytest.mark.parametrize(("options", "order"), INTERVALS)
def test_validation_comes_when_it_was_asked_for(backend: Backend, options: dict[str, Any], order: str) -> None:
    seen, _ = fit(numbers(1), max_epochs=4, **options)
    assert seen.order == order


class Kept(Logger):
    """Everything sent to it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append(dict(metrics))


@pytest.mark.parametrize(("steps", "batches", "windows"), [(0, 0, 0), (1, 1, 1), (2, 2, 4), (-1, 3, 9)])
def test_the_sanity_check_leaves_no_trace(backend: Backend, steps: int, batches: int, windows: int) -> None:
    count, logger = 0, Kept()

    class Watch(tbptt.Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            assert trainer.callback_metrics == trainer.logged_metrics == {} and not logger.rows
            assert not trainer.sanity_checking and trainer.global_step == 0
            assert module.training
            self.before = count, seen.order

    class Counting(Plain):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            nonlocal count
            count += 1
            return super().validation_step(batch, batch_idx, hiddens)

    watch, seen = Watch(), Seen()
    options = {**QUIET, "max_epochs": 2, "num_sanity_val_steps": steps, "callbacks": [seen, watch], "logger": logger}
    trainer = tbptt.Trainer(truncated_bptt_steps=2, **options)
    trainer.fit(Counting(), data(), data(batches=3))
    assert watch.before == (windows, "s" * batches)
    assert seen.order == "s" * batches + "ttvvv" * 2
    of_epochs = [row["val_loss"] for row in logger.rows if "val_loss" in row]
    assert len(of_epochs) == 2 and of_epochs[0] != of_epochs[1] == trainer.callback_metrics["val_loss"]
    assert trainer.validate(dataloaders=data(batches=3)) == [{"val_loss": of_epochs[1]}]


@pytest.mark.parametrize(("amount", "count"), [(2, 2), (0.4, 2), (1, 1)])
def test_overfitting_sees_the_same_batches_in_every_epoch(backend: Backend, amount: Any, count: int) -> None:
    stream = ArrayStream(np.arange(10.0).reshape(10, 1), batch_size=2, shuffle=True)
    model = Seer()
    tbptt.Trainer(**{**QUIET, "max_epochs": 3}, overfit_batches=amount, num_sanity_val_steps=0).fit(
        model, stream, numbers(5)
    )
    epoch = model.trained[:count]
    assert model.trained == 3 * epoch and len(set(epoch)) == count
    assert model.evaluated == 3 * list(map(float, range(count)))


@pytest.mark.parametrize(("amount", "count"), [(True, 1), (1, 1), (3, 3)])
def test_a_fast_run_does_a_little_of_everything(backend: Backend, amount: Any, count: int, tmp_path: Path) -> None:
    seen, logger = Seen(), Kept()
    options: dict[str, Any] = {"max_epochs": 7, "val_check_interval": 0.2, "num_sanity_val_steps": 2, "logger": logger}
    options["callbacks"] = [seen, ModelCheckpoint(tmp_path, monitor="value")]
    _, trainer = fit(numbers(5), **options, fast_dev_run=amount)
    assert seen.order == "t" * count + "v" * count
    assert trainer.global_step == count and trainer.current_epoch == 1
    assert not logger.rows and not list(tmp_path.iterdir())
    assert trainer.test(dataloaders=numbers(5)) == [{"value": (count - 1) / 2}]
    assert len(trainer.predict(dataloaders=numbers(5))) == count


# --- test and validate ------------------------------------------------------------------------------------------------


class Drift(tbptt.Module):
    """Its weight goes 0, 1, 2, ... with the epochs; the value it is measured by is best at 2."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return ops.negative(ops.sum(self.weight))

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("distance", ops.sum(ops.abs(ops.subtract(self.weight, 2.0))))
        self.log("weight", ops.sum(self.weight))
        self.log("hidden", 7.0, logger=False)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return ops.multiply(self.weight, 1.0)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=1.0)


def test_testing_after_a_fit_is_done_with_the_best_weights(backend: Backend, tmp_path: Path) -> None:
    model, batch = Drift(), numbers(1)
    checkpoint = ModelCheckpoint(tmp_path, monitor="distance", save_last=True)
    trainer = tbptt.Trainer(**{**QUIET, "max_epochs": 5}, callbacks=checkpoint)
    trainer.fit(model, batch, batch)

    def weight_in(stage: str, *arguments: Any, **options: Any) -> float:
        (metrics,) = getattr(trainer, stage)(*arguments, dataloaders=batch, **options)
        assert float(ops.to_numpy(model.weight)[0]) == 5.0  # the model has its own back
        assert metrics == {"distance": abs(metrics["weight"] - 2), "weight": metrics["weight"], "hidden": 7.0}
        assert trainer.callback_metrics == metrics | {"hidden": 7.0}
        return float(metrics["weight"])

    assert weight_in("test") == weight_in("test", model) == 2.0
    assert weight_in("test", ckpt_path="last") == 5.0
    assert weight_in("test", ckpt_path=checkpoint.best_model_path) == 2.0
    assert weight_in("validate") == 5.0
    assert weight_in("validate", ckpt_path="best") == 2.0
    assert float(ops.to_numpy(trainer.predict(dataloaders=batch)[0])[0]) == 5.0
    assert float(ops.to_numpy(trainer.predict(dataloaders=batch, ckpt_path="best")[0])[0]) == 2.0
    other = Drift()  # a model of which this trainer has seen no training is tested as it is
    assert trainer.test(other, batch)[0]["weight"] == 0.0


def test_an_exception_while_testing_leaves_the_model_its_own_weights(backend: Backend, tmp_path: Path) -> None:
    class Failing(Drift):
        def test_step(self, batch: Any, batch_idx: int) -> Any:
            raise RuntimeError("no")

    model, batch = Failing(), numbers(1)
    trainer = tbptt.Trainer(**{**QUIET, "max_epochs": 5}, callbacks=ModelCheckpoint(tmp_path, monitor="distance"))
    trainer.fit(model, batch, batch)
    with pytest.raises(RuntimeError, match="no"):
        trainer.test(dataloaders=batch)
    assert float(ops.to_numpy(model.weight)[0]) == 5.0
    assert model.training


# --- prediction -------------------------------------------------------------------------------------------------------


def forecaster() -> tuple[Plain, list[np.ndarray]]:
    class Forecaster(Plain):
        def predict_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            return self(batch, hiddens)

    with dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = Forecaster()
    return model, [x for batch in (data(1, 2, 11), data(1, 3, 6, seed=1)) for x, _ in batch]


def close(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ops.is_tensor(ours) and tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(ops.to_numpy(ours), ops.to_numpy(tbptt.stop_gradient(theirs)), rtol=1e-12)


@pytest.mark.parametrize("window", [None, 1, 4, 6, 11])
def test_predictions_of_windows_are_joined_in_the_order_of_time(backend: Backend, window: int | None) -> None:
    model, batches = forecaster()
    expected = [model(ops.asarray(x))[0] for x in batches]
    trainer = tbptt.Trainer(**QUIET, truncated_bptt_steps=window)
    close(trainer.predict(model, batches), expected)
    as_dict = lambda batch, batch_idx, hiddens: {  # noqa: E731
        "prediction": (out := model(batch, hiddens))[0],
        "twice": [ops.multiply(out[0], 2.0)],
        "hiddens": out[1],
    }
    model.predict_step = as_dict  # type: ignore[method-assign]
    found = trainer.predict(model, batches)
    assert [set(tree) for tree in found] == [{"prediction", "twice"}] * 2
    close([tree["prediction"] for tree in found], expected)
    close([tree["twice"][0] for tree in found], [ops.multiply(value, 2.0) for value in expected])


def test_predictions_without_hiddens_are_those_of_whole_batches(backend: Backend) -> None:
    model, batches = forecaster()
    expected = [model(ops.asarray(x)) for x in batches]
    trainer = tbptt.Trainer(**QUIET, truncated_bptt_steps=4)
    model.predict_step = lambda batch, batch_idx: model(batch)[0]  # type: ignore[method-assign,assignment]
    close(trainer.predict(model, batches), [outputs for outputs, _ in expected])
    del model.predict_step  # type: ignore[attr-defined]
    type(model).predict_step = tbptt.Module.predict_step  # type: ignore[method-assign,assignment]  # calls the module
    found = trainer.predict(model, batches)
    close([outputs for outputs, _ in found], [outputs for outputs, _ in expected])
    close([state for _, state in found], [state for _, state in expected])


def test_state_flows_from_batch_to_batch_of_predictions_too(backend: Backend) -> None:
    model, (x, _) = forecaster()
    stream = ArrayStream(x, batch_size=2, block_steps=5)
    found = tbptt.Trainer(**QUIET, truncated_bptt_steps=2, state_carry="epoch").predict(model, stream)
    assert [value.shape[1] for value in found] == [5, 5, 1]
    close([ops.concat(found, axis=1)], [model(ops.asarray(x))[0]])


def test_what_has_no_time_gets_an_entry_a_window(backend: Backend) -> None:
    model, (x, _) = forecaster()

    def summed(batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = model(batch, hiddens)
        return {"total": ops.sum(outputs), "row": ops.sum(outputs, axis=(1, 2)), "hiddens": hiddens}

    model.predict_step = summed  # type: ignore[method-assign,assignment]
    (found,) = tbptt.Trainer(**QUIET, truncated_bptt_steps=4).predict(model, [x])
    outputs = model(ops.asarray(x))[0]
    pieces = [outputs[:, :4], outputs[:, 4:8], outputs[:, 8:]]
    close([found["total"]], [ops.stack([ops.sum(piece) for piece in pieces])])
    close([found["row"]], [ops.stack([ops.sum(piece, axis=(1, 2)) for piece in pieces], axis=1)])


def test_a_compiled_prediction_is_the_same(backend: Backend) -> None:
    model, batches = forecaster()
    trainer = tbptt.Trainer(**{**QUIET, "compile": "auto"}, truncated_bptt_steps=6)
    close(trainer.predict(model, batches), [model(ops.asarray(x))[0] for x in batches])
