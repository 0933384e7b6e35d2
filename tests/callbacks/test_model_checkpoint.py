"""Which files there are after a run, and what is in them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from callbacks.fakes import FakeTrainer, Loop
from tbptt import optim
from tbptt.callbacks import ModelCheckpoint
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def run(checkpoint: ModelCheckpoint, losses: list[float], windows: int = 2, **settings: Any) -> FakeTrainer:
    trainer = FakeTrainer(checkpoint, has_validation=True, **settings).start()
    for loss in losses:
        trainer.epoch(windows=windows, validation={"val_loss": loss})
    trainer.end()
    return trainer


def test_without_a_metric_the_latest_is_kept(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path)
    run(checkpoint, [1, 2, 3])
    assert files(tmp_path) == {"epoch=2-step=6.safetensors"}
    assert Path(checkpoint.best_model_path) == tmp_path / "epoch=2-step=6.safetensors"
    assert checkpoint.best_model_score is None


@pytest.mark.parametrize(
    ("k", "mode", "epochs", "best", "worst"),
    [
        (1, "min", {2}, 2, 2),
        (2, "min", {2, 4}, 2, 4),
        (3, "min", {1, 2, 4}, 2, 1),
        (2, "max", {0, 3}, 3, 0),
        (-1, "min", {0, 1, 2, 3, 4}, 2, 3),
        (9, "max", {0, 1, 2, 3, 4}, 3, 2),
    ],
)
def test_the_best_are_kept(tmp_path: Path, k: int, mode: Any, epochs: set[int], best: int, worst: int) -> None:
    losses = [5.0, 4.0, 1.0, 6.0, 2.0]
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}", "val_loss", save_top_k=k, mode=mode)
    run(checkpoint, losses)
    assert files(tmp_path) == {f"epoch={epoch}.safetensors" for epoch in epochs}
    for path, score in checkpoint.best_k_models.items():
        epoch = int(Path(path).read_text().split()[0])
        assert path == str(tmp_path / f"epoch={epoch}.safetensors") and score == losses[epoch]
    assert checkpoint.best_model_path == str(tmp_path / f"epoch={best}.safetensors")
    assert checkpoint.best_model_score == losses[best]
    assert checkpoint.kth_best_model_path == str(tmp_path / f"epoch={worst}.safetensors")


def test_none_are_kept(tmp_path: Path) -> None:
    assert run(ModelCheckpoint(tmp_path, save_top_k=0, monitor="val_loss"), [1, 2]).saved == []


def test_equal_is_not_better_and_nan_is_worst(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}", "val_loss")
    run(checkpoint, [math.nan, 3.0, 3.0, math.nan])
    assert files(tmp_path) == {"epoch=1.safetensors"} and checkpoint.best_model_score == 3.0


def test_the_old_file_goes_only_after_the_new_one_is_written(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}", "val_loss")
    trainer = FakeTrainer(checkpoint, has_validation=True).start()
    trainer.epoch(validation={"val_loss": 2.0})

    def full_disk(path: str) -> None:
        raise OSError("No space left on device")

    save, trainer.save_checkpoint = trainer.save_checkpoint, full_disk  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space"):
        trainer.validate(val_loss=1.0)
    assert files(tmp_path) == {"epoch=0.safetensors"}
    assert checkpoint.best_model_path == str(tmp_path / "epoch=0.safetensors") and checkpoint.best_model_score == 2.0
    trainer.save_checkpoint = save  # type: ignore[method-assign]
    trainer.validate(val_loss=1.0)
    assert files(tmp_path) == {"epoch=1.safetensors"}


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("best.safetensors", "best-v1.safetensors", "last.safetensors"):
        (tmp_path / name).write_text("another's")
    checkpoint = ModelCheckpoint(tmp_path, "best", "val_loss", save_last=True)
    run(checkpoint, [3.0, 2.0, 1.0])
    theirs = {"best.safetensors", "best-v1.safetensors", "last.safetensors"}
    assert files(tmp_path) == theirs | {"best-v2.safetensors", "last-v1.safetensors"}
    assert {(tmp_path / name).read_text() for name in theirs} == {"another's"}
    assert (tmp_path / "best-v2.safetensors").read_text() == "2 6"
    assert checkpoint.last_model_path == str(tmp_path / "last-v1.safetensors")


def test_two_of_its_own_with_one_name_get_versions(tmp_path: Path) -> None:
    run(ModelCheckpoint(tmp_path, "{val_loss:.0f}", "val_loss", save_top_k=2), [1.4, 1.3, 1.2])
    # the third takes the name of the first, whose place it takes
    assert {name: (tmp_path / name).read_text()[0] for name in files(tmp_path)} == {
        "val_loss=1.safetensors": "2",
        "val_loss=1-v1.safetensors": "1",
    }


def test_the_last_is_kept_beside_the_best(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}", "val_loss", save_last=True)
    run(checkpoint, [1.0, 2.0, 3.0])
    assert files(tmp_path) == {"epoch=0.safetensors", "last.safetensors"}
    assert (tmp_path / "last.safetensors").read_text().split()[1] == "6"
    assert checkpoint.last_model_path == str(tmp_path / "last.safetensors")


NAMES = [
    ("{epoch}-{step}", {}, "epoch=3-step=40"),
    ("{epoch:03d}-{val_loss:.2f}", {}, "epoch=003-val_loss=0.12"),
    ("e{epoch}-loss{val/loss:.1e}", {"auto_insert_metric_name": False}, "e3-loss1.2e-01"),
    ("{val/loss:.1f}", {}, "val_loss=0.1"),
    ("{f1.macro:.1f}", {}, "f1.macro=0.5"),
    ("best", {}, "best"),
    ("best.safetensors", {}, "best"),
]


@pytest.mark.parametrize(("template", "options", "expected"), NAMES)
def test_names_are_filled_in(template: str, options: dict[str, Any], expected: str) -> None:
    metrics = {"epoch": 3, "step": 40, "val_loss": 0.123, "val/loss": 0.123, "f1.macro": 0.5}
    assert ModelCheckpoint(filename=template, **options).format_checkpoint_name(metrics) == f"{expected}.safetensors"


def test_names_that_cannot_be_filled_in_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"asks for 'acc'.* There is: epoch, step, val_loss"):
        run(ModelCheckpoint(tmp_path, "{acc}"), [1.0])
    with pytest.raises(ConfigurationError, match="cannot show val_loss"):
        run(ModelCheckpoint(tmp_path, "{val_loss:03d}"), [1.0])


def test_it_saves_in_the_first_loggers_folder_or_the_trainers(tmp_path: Path) -> None:
    logger = SimpleNamespace(log_dir=str(tmp_path / "version_0"))
    run(ModelCheckpoint(filename="a"), [1.0], loggers=[logger, SimpleNamespace(log_dir=None)])
    run(ModelCheckpoint(filename="b"), [1.0], loggers=[SimpleNamespace(log_dir=None)], default_root_dir=tmp_path)
    run(ModelCheckpoint(filename="c"), [1.0], default_root_dir=str(tmp_path))
    assert files(tmp_path / "version_0" / "checkpoints") == {"a.safetensors"}
    assert files(tmp_path / "checkpoints") == {"b.safetensors", "c.safetensors"}


def test_epochs_and_windows_are_counted(tmp_path: Path) -> None:
    def steps(**options: Any) -> list[int]:
        folder = tmp_path / str(options)
        run(ModelCheckpoint(folder, "{step}", save_top_k=-1, **options), [1.0] * 4, windows=5)
        return sorted(int(path.read_text().split()[1]) for path in folder.iterdir())

    assert steps(every_n_epochs=2) == [10, 20]
    assert steps(every_n_windows=3) == [3, 6, 9, 12, 15, 18]


def test_a_window_without_update_gives_no_second_file(tmp_path: Path) -> None:
    trainer = FakeTrainer(ModelCheckpoint(tmp_path, save_top_k=-1, every_n_windows=1)).start()
    trainer.window()
    trainer("on_window_end", None, None, 1)  # nothing was updated
    assert len(trainer.saved) == 1


def test_while_windows_are_counted_a_metric_of_validation_may_be_yet_to_come(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, "{step}", "val_loss", every_n_windows=2, save_top_k=-1)
    run(checkpoint, [3.0, 2.0], windows=4)
    assert files(tmp_path) == {"step=6.safetensors", "step=8.safetensors"}
    with pytest.raises(ConfigurationError, match=r"'val_los'.* There is: val_loss"):
        run(ModelCheckpoint(tmp_path, monitor="val_los", every_n_windows=2), [3.0, 2.0])
    with pytest.warns(UserWarning, match="'val_los', which was never logged"):
        run(ModelCheckpoint(tmp_path, monitor="val_los", every_n_windows=2), [3.0])


def test_while_windows_are_counted_the_windows_own_values_rank_and_name(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, "{step}-{acc:.1f}", "train_loss", every_n_windows=1)
    trainer = FakeTrainer(checkpoint, callback_metrics={"train_loss": 0.0}).start()  # of the epoch before
    for loss, acc in ((3.0, 0.1), (1.0, 0.2), (2.0, 0.3)):
        trainer.global_step += 1
        trainer("on_window_end", {"loss": 9.0, "train_loss": np.float32(loss), "acc": np.float32(acc)}, None, 0)
    assert files(tmp_path) == {"step=2-acc=0.2.safetensors"} and checkpoint.best_model_score == 1.0


@pytest.mark.parametrize(
    ("options", "has_validation", "expected"),
    [
        ({}, True, "after validation"),
        ({}, False, "after the epoch"),
        ({"monitor": "train_loss"}, True, "after the epoch"),  # its mean is not known before
        ({"save_on_train_epoch_end": True}, True, "after the epoch"),
        ({"save_on_train_epoch_end": False}, True, "after validation"),
    ],
)
def test_where_it_saves_in_an_epoch(
    tmp_path: Path, options: dict[str, Any], has_validation: bool, expected: str
) -> None:
    trainer = FakeTrainer(ModelCheckpoint(tmp_path, **options), has_validation=has_validation).start()
    trainer.window()
    if has_validation:
        trainer.validate(val_loss=1.0)
    after_validation = len(trainer.saved)
    trainer.callback_metrics["train_loss"] = 1.0
    trainer("on_train_epoch_end")
    assert (after_validation, len(trainer.saved)) == ((1, 1) if expected == "after validation" else (0, 1))


def test_quick_runs_sanity_checks_and_other_stages_save_nothing(tmp_path: Path) -> None:
    assert run(ModelCheckpoint(tmp_path, save_last=True), [1.0], fast_dev_run=True).saved == []
    checkpoint = ModelCheckpoint(tmp_path)
    trainer = FakeTrainer(checkpoint, has_validation=True, sanity_checking=True).start()
    trainer.validate(val_loss=1.0)
    trainer.sanity_checking = False
    trainer("setup", "validate")
    trainer.validate(val_loss=1.0)
    assert trainer.saved == []


def test_a_resumed_run_knows_the_files(tmp_path: Path) -> None:
    first, second = (ModelCheckpoint(tmp_path, "{epoch}", "val_loss", save_last=True) for _ in range(2))
    run(first, [3.0, 2.0])
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    run(second, [2.5, 2.5, 1.0], current_epoch=2)
    assert files(tmp_path) == {"epoch=4.safetensors", "last.safetensors"}


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "Lightning's name": ({"every_n_train_steps": 5}, "every_n_windows"),
    "a name of nobody": ({"every_n": 5}, "no argument 'every_n'"),
    "two intervals": ({"every_n_epochs": 1, "every_n_windows": 1}, "exclude each other"),
    "an interval of 0": ({"every_n_windows": 0}, "every_n_windows is 0"),
    "several without a metric": ({"save_top_k": 2}, "save_top_k"),
    "less than all": ({"save_top_k": -2, "monitor": "x"}, "save_top_k"),
    "another mode": ({"mode": "auto"}, "mode must be"),
    "more than weights": ({"save_weights_only": False}, "save_weights_only"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_errors(mistake: str) -> None:
    options, message = MISTAKES[mistake]
    with pytest.raises(ConfigurationError, match=message):
        ModelCheckpoint(**options)


def test_the_best_file_gives_the_best_weights_back(backend: Backend, tmp_path: Path) -> None:
    loop = Loop(lambda parameters: optim.SGD(parameters, lr=0.1))
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    trainer = FakeTrainer(checkpoint, has_validation=True, module=loop.module).start()
    history = []
    for loss in (2.0, 1.0, 3.0):
        loop.update()
        history.append(loop.weights())
        trainer.epoch(validation={"val_loss": loss})
    loop.module.load_weights(checkpoint.best_model_path)
    for found, expected in zip(loop.weights(), history[1], strict=True):
        np.testing.assert_array_equal(found, expected)
