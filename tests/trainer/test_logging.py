"""What is logged, where it arrives and under which step: an oracle keeps the numbers that loggers and metrics have to hold."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tbptt
from tbptt import dtypes, ops
from tbptt.errors import ConfigurationError
from tbptt.loggers import CSVLogger, TensorBoardLogger
from tbptt.protocols import Backend
from trainer.recording import Plain, data

QUIET: dict[str, Any] = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "truncated_bptt_steps": 4,
}
# two batches of six steps, cut at four: windows of 2 x 4 and of 2 x 2 elements
WEIGHTS = [8, 4, 8, 4]


class Kept(tbptt.loggers.Logger):
    """Keeps what the trainer sends."""

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []
        self.hparams: dict[str, Any] = {}
        self.ends: list[str] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, params: Any) -> None:
        self.hparams |= params

    def finalize(self, status: str) -> None:
        self.ends.append(status)

    def named(self, name: str) -> list[tuple[int | None, float]]:
        return [(step, row[name]) for step, row in self.rows if name in row]


class Oracle(tbptt.Callback):
    """The loss of every window, an entry an epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[float]] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.epochs.append([])

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.epochs[-1].append(float(outputs["loss"]))

    @property
    def values(self) -> list[float]:
        return [value for epoch in self.epochs for value in epoch]


def fit(model: Any, validation: Any = None, **options: Any) -> tbptt.Trainer:
    with dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        trainer = tbptt.Trainer(**{"max_epochs": 2, **QUIET, **options})
        trainer.fit(model(), data(), validation)
    return trainer


class Options(Plain):
    """Logs its loss in every manner."""

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.loss(batch, hiddens)
        self.log("unsaid", loss)
        self.log("both", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("secret", loss, on_step=True, on_epoch=True, logger=False)
        self.log("neither", loss, on_step=False, on_epoch=False)
        for reduction in ("mean", "sum", "min", "max", np.median):
            name = f"reduced_{getattr(reduction, '__name__', reduction)}"
            self.log(name, loss, on_step=False, on_epoch=True, reduce_fx=reduction)
        self.log_dict({"once": loss, "twice": 2.0 * loss}, on_step=False, on_epoch=True, batch_size=1)
        return {"loss": loss, "hiddens": hiddens}

    def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.loss(batch, hiddens)
        self.log("val_loss", loss)
        self.log("val_both", loss, on_step=True, on_epoch=True)
        return {"hiddens": hiddens}


EPOCH_NAMES = {
    "both_epoch",
    *(f"reduced_{name}" for name in ("mean", "sum", "min", "max", "median")),
    "once",
    "twice",
}


def test_every_option_of_log_does_what_it_says(backend: Backend) -> None:
    oracle, logger = Oracle(), Kept()
    trainer = fit(Options, data(1, seed=1), callbacks=oracle, logger=logger, log_every_n_steps=1)
    first, last = (np.array(epoch) for epoch in oracle.epochs)
    metrics = trainer.callback_metrics
    expected = {
        "unsaid": last[-1],
        "both_step": last[-1],
        "both_epoch": np.average(last, weights=WEIGHTS),
        "both": np.average(last, weights=WEIGHTS),
        "secret_step": last[-1],
        "secret_epoch": np.average(last, weights=WEIGHTS),
        "secret": np.average(last, weights=WEIGHTS),
        "reduced_mean": np.average(last, weights=WEIGHTS),
        "reduced_sum": last.sum(),
        "reduced_min": last.min(),
        "reduced_max": last.max(),
        "reduced_median": np.median(last),
        "once": last.mean(),
        "twice": 2 * last.mean(),
    }
    validated = {"val_loss", "val_both", "val_both_epoch", "val_both_step"}
    assert set(metrics) == set(expected) | validated
    for name, value in expected.items():
        assert metrics[name] == pytest.approx(value, rel=1e-14), name
    assert metrics["val_loss"] == metrics["val_both"] == metrics["val_both_epoch"] != metrics["val_both_step"]
    assert trainer.progress_bar_metrics == {"both": last[-1]}

    steps = [row for row in logger.rows if "unsaid" in row[1]]
    assert steps == [
        (step, {"epoch": step // 4, "unsaid": loss, "both_step": loss}) for step, loss in enumerate(oracle.values)
    ]
    epochs = [row for row in logger.rows if "once" in row[1]]
    assert [(step, set(row) - {"epoch"}) for step, row in epochs] == [(3, EPOCH_NAMES), (7, EPOCH_NAMES)]
    for (_, row), losses in zip(epochs, (first, last), strict=True):
        assert row["both_epoch"] == pytest.approx(np.average(losses, weights=WEIGHTS), rel=1e-14)
    validations = [row for row in logger.rows if "val_loss" in row[1]]
    assert [(step, set(row)) for step, row in validations] == [
        (step, {"epoch", "val_loss", "val_both_epoch"}) for step in (3, 7)
    ]
    assert len(logger.rows) == len(steps) + len(epochs) + len(validations)
    assert logger.ends == ["success"]


@pytest.mark.parametrize("every", [1, 3, 5])
def test_every_nth_optimizer_step_is_written_counted_from_zero(backend: Backend, every: int) -> None:
    """Two batches of six windows of one step: 12 windows, and as many updates."""
    oracle, logger = Oracle(), Kept()
    options = {"truncated_bptt_steps": 1, "log_every_n_steps": every, "compile": False}
    fit(Plain, max_epochs=1, callbacks=oracle, logger=logger, **options)
    written = list(range(every - 1, 12, every))
    assert logger.named("train_loss") == [(step, oracle.values[step]) for step in written]


def test_while_gradients_accumulate_the_window_that_makes_the_step_is_written(backend: Backend) -> None:
    oracle, logger = Oracle(), Kept()
    options = {"truncated_bptt_steps": 1, "accumulate_grad_windows": 3, "log_every_n_steps": 2, "compile": False}
    fit(Plain, max_epochs=1, callbacks=oracle, logger=logger, **options)
    assert logger.named("train_loss") == [(1, oracle.values[5]), (3, oracle.values[11])]


class InHooks(Plain):
    """Logs in its hooks how often it has logged."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.expected: dict[str, list[float]] = {}

    def put(self, name: str, **options: Any) -> None:
        self.count += 1
        self.expected.setdefault(name, []).append(float(self.count))
        self.log(name, float(self.count), **options)

    def on_train_epoch_start(self) -> None:
        self.put("epoch_start")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.put("batch_start", on_step=True, on_epoch=False)

    def on_after_backward(self) -> None:
        self.put("after_backward")

    def on_before_optimizer_step(self, optimizer: Any, optimizer_idx: int) -> None:
        self.put("both", on_step=True, on_epoch=True, reduce_fx="sum")

    def on_window_end(self, outputs: Any, window: Any, window_idx: int) -> None:
        self.put("window_end")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.put("batch_end")

    def training_epoch_end(self, outputs: Any) -> None:
        self.put("outputs_end")

    def on_train_epoch_end(self) -> None:
        self.put("epoch_end")
        if self.current_epoch == 0:
            self.put("first_only")

    def on_epoch_end(self) -> None:
        if not self.training:
            return
        self.put("very_end")

    def on_train_end(self) -> None:
        self.put("train_end")

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        self.put("val_batch")

    def validation_epoch_end(self, outputs: Any) -> None:
        self.put("val_outputs")

    def on_validation_epoch_end(self) -> None:
        self.put("val_epoch")


def test_what_hooks_log_arrives_under_the_step_it_belongs_to(backend: Backend) -> None:
    logger, models = Kept(), []

    def make() -> InHooks:
        models.append(InHooks())
        return models[0]

    trainer = fit(make, data(2, seed=1), logger=logger, log_every_n_steps=1, compile=False)
    said, everywhere, one = models[0].expected, list(range(8)), [3, 7]
    for name, steps in {
        "batch_start": [0, 2, 4, 6],
        "after_backward": everywhere,
        "window_end": everywhere,
        "batch_end": [1, 3, 5, 7],
        "epoch_start": one,
        "outputs_end": one,
        "epoch_end": one,
        "first_only": [3],
        "very_end": one,
        "train_end": [7],
        "val_outputs": one,
        "val_epoch": one,
    }.items():
        assert logger.named(name) == list(zip(steps, said[name], strict=True)), name
        assert trainer.callback_metrics[name] == said[name][-1], name
    assert logger.named("both_step") == list(zip(everywhere, said["both"], strict=True))
    assert logger.named("both_epoch") == [(3, sum(said["both"][:4])), (7, sum(said["both"][4:]))]
    means = [np.mean(said["val_batch"][:2]), np.mean(said["val_batch"][2:])]
    assert logger.named("val_batch") == list(zip(one, means, strict=True))


def test_callbacks_and_models_of_no_base_class_log_too(backend: Backend) -> None:
    class Log(tbptt.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            module.log("through_module", float(batch_idx))
            trainer.log("through_trainer", float(batch_idx), on_step=False, on_epoch=True, reduce_fx="max")
            trainer.log_metrics({"at_once": 10.0 + batch_idx})

    logger = Kept()
    trainer = fit(Plain, max_epochs=1, callbacks=Log(), logger=logger, log_every_n_steps=1, compile=False)
    assert logger.named("through_module") == [(1, 0.0), (3, 1.0)]
    assert logger.named("through_trainer") == [(3, 1.0)]
    assert logger.named("at_once") == [(1, 10.0), (3, 11.0)]
    names = ("through_module", "through_trainer", "at_once")
    assert [trainer.callback_metrics[name] for name in names] == [1.0, 1.0, 11.0]


SCORES = [3.0, 2.0, 2.5, 2.6, 1.0, 1.0]
HOOKS = ["training_epoch_end", "on_train_epoch_end", "validation_epoch_end", "on_validation_epoch_end"]


@pytest.mark.parametrize("hook", HOOKS)
def test_stopping_and_checkpoints_see_what_the_module_logs_as_an_epoch_ends(
    backend: Backend, hook: str, tmp_path: Path
) -> None:
    def log_score(self: Any, *outputs: Any) -> None:
        self.log("score", SCORES[self.current_epoch])

    best = tbptt.callbacks.ModelCheckpoint(tmp_path, "{epoch}", "score")
    stopping = tbptt.callbacks.EarlyStopping("score", patience=2)
    model = type("Scored", (Plain,), {hook: log_score})
    validation = data(1) if "validation" in hook else None
    trainer = fit(model, validation, max_epochs=6, callbacks=[best, stopping], compile=False)
    assert trainer.current_epoch == 4
    assert stopping.best_score == best.best_model_score == 2.0
    assert Path(best.best_model_path).name == "epoch=1.safetensors"


def read_csv(logger: CSVLogger) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(logger.log_dir, "metrics.csv").read_text(encoding="utf-8"))))


def test_csv_and_tensorboard_hold_what_was_logged_side_by_side(backend: Backend, tmp_path: Path) -> None:
    class WithHparams(Plain):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.save_hyperparameters()

    oracle, kept = Oracle(), Kept()
    table, board = CSVLogger(tmp_path / "csv"), TensorBoardLogger(tmp_path / "board")
    fit(WithHparams, data(1, seed=1), callbacks=oracle, logger=[table, board, kept], log_every_n_steps=2)
    rows = read_csv(table)
    written = [(int(row["step"]), float(row["train_loss"])) for row in rows if row["train_loss"]]
    assert written == [(step, oracle.values[step]) for step in (1, 3, 5, 7)]
    everything = [
        (int(row.pop("step")), {name: float(text) for name, text in row.items() if text})
        for row in (dict(row) for row in rows)
    ]
    assert everything == kept.rows
    events = EventAccumulator(board.log_dir, size_guidance={"scalars": 0}).Reload()
    assert set(events.Tags()["scalars"]) == {"epoch", "train_loss", "val_loss"}
    for name in ("train_loss", "val_loss"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(step, float(np.float32(value))) for step, value in kept.named(name)]
    assert kept.hparams == {"width": 3}
    assert '"width": 3' in Path(table.log_dir, "hparams.json").read_text()


def test_the_table_is_the_same_on_both_engines(tmp_path: Path) -> None:
    texts = []
    for engine in ("torch", "tensorflow"):
        table = CSVLogger(tmp_path / engine)
        with tbptt.use_backend(engine):
            fit(Options, data(1, seed=1), logger=table, log_every_n_steps=3)
        texts.append([line.split(",") for line in Path(table.log_dir, "metrics.csv").read_text().splitlines()])
    ours, theirs = texts
    assert ours[0] == theirs[0] == ["epoch", "step", *sorted({*ours[0]} - {"epoch", "step"})]
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    assert [[bool(cell) for cell in row] for row in ours] == [[bool(cell) for cell in row] for row in theirs]
    numbers = [[float(cell or 0) for row in text[1:] for cell in row] for text in texts]
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-9)


def test_no_window_waits_for_a_value_of_the_one_before(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions of tensors to Python's and NumPy's numbers, counted at the end of each window."""
    conversions, seen = [0], []

    def counting(function: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            conversions[0] += 1
            return function(*arguments, **options)

        return counted

    kind = type(backend.tensors.asarray(np.zeros(1)))
    for name in ("__float__", "__int__", "__bool__", "__array__", "item", "numpy", "tolist"):
        if hasattr(kind, name):
            monkeypatch.setattr(kind, name, counting(getattr(kind, name)))
    assert float(backend.tensors.asarray(np.zeros(()))) == 0.0
    assert conversions[0]

    class Watch(tbptt.Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            conversions[0] = 0

        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            seen.append(conversions[0])

    logger = Kept()
    options = {"truncated_bptt_steps": 1, "log_every_n_steps": 1, "gradient_clip_val": 1.0}
    fit(Plain, max_epochs=1, callbacks=Watch(), logger=logger, **options)
    assert seen == [0] * 12
    assert conversions[0] >= 12
    assert len(logger.named("train_loss")) == 12


@pytest.mark.parametrize("windows", [3, 70])
def test_after_an_exception_loggers_have_every_window_and_are_closed(backend: Backend, windows: int) -> None:
    oracle, logger, order = Oracle(), Kept(), []

    class Break(tbptt.Callback):
        def on_window_start(self, trainer: Any, module: Any, window: Any, window_idx: int) -> None:
            if trainer.global_step == windows:
                raise RuntimeError("broken")

        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
            order.append((type(exception), len(logger.rows), list(logger.ends)))

    options = {"truncated_bptt_steps": 1, "log_every_n_steps": 1, "compile": False, "max_epochs": 20}
    with pytest.raises(RuntimeError, match="broken"):
        fit(Plain, callbacks=[oracle, Break()], logger=logger, **options)
    assert logger.named("train_loss") == list(enumerate(oracle.values))
    assert len(oracle.values) == windows
    assert order == [(RuntimeError, windows, [])]
    assert logger.ends == ["failed"]


def test_an_exception_while_validating_keeps_the_windows_trained_before_it(backend: Backend) -> None:
    class Broken(Plain):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            raise RuntimeError("broken")

    logger = Kept()
    with pytest.raises(RuntimeError, match="broken"):
        fit(Broken, data(1), logger=logger, log_every_n_steps=1, compile=False, val_check_interval=1)
    assert [step for step, _ in logger.named("train_loss")] == [0, 1]
    assert logger.ends == ["failed"]


def test_any_object_with_log_metrics_is_a_logger(backend: Backend) -> None:
    class Mine:
        def __init__(self) -> None:
            self.rows: list[Any] = []

        def log_metrics(self, metrics: dict[str, float], step: int) -> None:
            self.rows.append((step, metrics))

    mine = Mine()
    trainer = fit(Plain, max_epochs=1, logger=mine, log_every_n_steps=4, compile=False)
    assert [(step, set(metrics)) for step, metrics in mine.rows] == [(3, {"epoch", "train_loss"})]
    assert trainer.logger.logger is mine
    with pytest.raises(ConfigurationError, match="expected True, False, a logger"):
        tbptt.Trainer(logger="runs", **QUIET)


def test_an_unknown_reduction_is_refused_by_name(backend: Backend) -> None:
    class Wrong(Plain):
        def on_train_epoch_end(self) -> None:
            self.log("x", ops.ones(()), reduce_fx="average")

    with pytest.raises(ConfigurationError, match=r"reduce_fx= of self.log\('x', ...\) is 'mean', 'sum', 'min', 'max'"):
        fit(Wrong, compile=False)
