"""All callbacks in a real run on both engines: what they offer each other and the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import ops, optim
from tbptt.callbacks import (
    EarlyStopping,
    EMAWeightAveraging,
    GradientNormMonitor,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    Timer,
)
from tbptt.protocols import Backend
from trainer.models import CharLM, tokens

QUICK: dict[str, Any] = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "gradient_clip_val": 1e-3,
    "compile": False,
    "num_sanity_val_steps": 1,
}


class Kept(tbptt.loggers.Logger):
    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def named(self, name: str) -> list[tuple[int | None, float]]:
        return [(step, row[name]) for step, row in self.rows if name in row]


def fit(callbacks: list[Any], epochs: int = 2, **options: Any) -> tuple[tbptt.Trainer, CharLM]:
    tbptt.seed_everything(0)
    model = CharLM(width=4, layer="rnn", dropout=0.0, optimizer=options.pop("optimizer", None))
    trainer = tbptt.Trainer(epochs, truncated_bptt_steps=5, callbacks=callbacks, **{**QUICK, **options})
    trainer.fit(model, [tokens(3, 20), tokens(3, 12)], [tokens(3, 9)])
    return trainer, model


def score(model: CharLM, path: Any = None) -> float:
    """The loss of validation, by another trainer."""
    [metrics] = tbptt.Trainer(1, truncated_bptt_steps=5, **QUICK).validate(model, [tokens(3, 9)], ckpt_path=path)
    return metrics["val_loss"]


def arrays(model: Any) -> list[np.ndarray]:
    return [np.array(ops.to_numpy(parameter)) for parameter in model.parameters()]


def test_monitors_log_rates_and_norms_before_clipping_and_training_stays_the_same(backend: Backend) -> None:
    logger, timer = Kept(), Timer()
    callbacks = [LearningRateMonitor("window"), GradientNormMonitor(per_parameter=True, every_n_windows=4), timer]
    trainer, model = fit(callbacks, logger=logger)
    assert trainer.global_step == 14
    assert len(logger.named("lr-Adam")) == 14 and logger.named("lr-Adam")[0][1] == pytest.approx(2e-3)
    norms = logger.named("grad_norm")
    assert len(norms) == 4 and min(norm for _, norm in norms) > 1e-2  # the clip is at 1e-3
    assert len(logger.named("grad_norm/head.weight")) == 4
    assert timer.time_elapsed() > timer.time_elapsed("validate") > 0
    for with_callbacks, without in zip(arrays(model), arrays(fit([])[1]), strict=True):
        np.testing.assert_allclose(with_callbacks, without, rtol=1e-5, atol=1e-7)


def test_the_run_stops_and_the_best_checkpoint_scores_what_it_says(backend: Backend, tmp_path: Path) -> None:
    stopping = EarlyStopping("val_loss", stopping_threshold=100.0)
    best = ModelCheckpoint(tmp_path, "{epoch}-{val_loss:.3f}", "val_loss", save_last=True)
    trainer, model = fit([stopping, best], epochs=5)
    assert trainer.current_epoch == 1 and "stopping_threshold" in str(stopping.stopping_reason)
    assert {path.name for path in tmp_path.iterdir()} == {Path(best.best_model_path).name, "last.safetensors"}
    assert score(model, best.best_model_path) == pytest.approx(best.best_model_score, rel=1e-6)


def test_with_ema_validation_scores_the_averages_and_checkpoints_and_the_model_have_them(
    backend: Backend, tmp_path: Path
) -> None:
    best = ModelCheckpoint(tmp_path, monitor="val_loss", save_top_k=-1)
    trainer, model = fit(
        [EMAWeightAveraging(decay=0.9), best], optimizer=lambda p: optim.Adam(p, lr=0.05), compile="auto"
    )
    plain, _ = fit([], optimizer=lambda p: optim.Adam(p, lr=0.05))
    assert abs(trainer.callback_metrics["val_loss"] - plain.callback_metrics["val_loss"]) > 1e-3
    assert trainer.callback_metrics["train_loss"] == pytest.approx(plain.callback_metrics["train_loss"], rel=1e-5)
    for path, value in best.best_k_models.items():
        assert score(model, path) == pytest.approx(value, rel=1e-5)
    assert score(model) == pytest.approx(list(best.best_k_models.values())[-1], rel=1e-5)


def test_with_swa_the_model_ends_as_the_mean_of_the_last_epochs(backend: Backend) -> None:
    seen: list[list[np.ndarray]] = []

    class Epochs(tbptt.Callback):
        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            seen.append(arrays(module))

    logger = Kept()
    averaging = StochasticWeightAveraging(0.01, 2, annealing_epochs=2, annealing_strategy="linear")
    _, model = fit([averaging, LearningRateMonitor(), Epochs()], epochs=4, logger=logger)
    for found, expected in zip(arrays(model), zip(*seen[1:], strict=True), strict=True):
        np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-5, atol=1e-7)
    assert [rate for _, rate in logger.named("lr-Adam")] == pytest.approx([0.002, 0.006, 0.01])
