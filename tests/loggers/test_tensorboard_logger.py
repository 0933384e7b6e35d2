"""TensorBoard logs, read back by TensorBoard itself, whose reader checks every record's sums."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from tbptt import ops
from tbptt.errors import ConfigurationError
from tbptt.loggers import TensorBoardLogger
from tbptt.protocols import Backend


def read(folder: str) -> Any:
    return EventAccumulator(folder).Reload()


def scalars(folder: str, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def hparams(folder: str) -> dict[str, Any]:
    content = read(folder).SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    found = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}


def test_scalars_come_back_by_name_and_step(backend: Backend, tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    for step in range(3):
        logger.log_metrics({"train_loss": ops.asarray(np.float32(1 / (step + 1))), "epoch": 0}, step=10 * step)
    logger.log_metrics({"val_loss": 0.25}, step=20)
    logger.save()
    assert Path(logger.log_dir) == tmp_path / "tbptt_logs" / "version_0"
    assert scalars(logger.log_dir, "train_loss") == [
        (10 * step, float(np.float32(1 / (step + 1)))) for step in range(3)
    ]
    assert scalars(logger.log_dir, "epoch") == [(0, 0), (10, 0), (20, 0)]
    assert scalars(logger.log_dir, "val_loss") == [(20, 0.25)]
    assert read(logger.log_dir).file_version == 2.0


def test_what_is_not_finite_comes_back_as_such(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"nan": math.nan, "inf": math.inf, "minus": -math.inf, "beyond float32": 1e300, "int": 10**30})
    logger.save()
    assert math.isnan(scalars(logger.log_dir, "nan")[0][1])
    assert [scalars(logger.log_dir, tag)[0][1] for tag in ("inf", "minus", "beyond float32")] == [
        math.inf,
        -math.inf,
        math.inf,
    ]
    assert scalars(logger.log_dir, "int") == [(0, float(np.float32(1e30)))]


def test_logging_goes_on_in_the_same_file_after_finalize(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.finalize("success")
    logger.finalize("success")
    logger.save()
    logger.log_metrics({"a": 2.0}, step=1)
    logger.finalize("failed")
    assert scalars(logger.log_dir, "a") == [(0, 1.0), (1, 2.0)]
    assert len(list(Path(logger.log_dir).iterdir())) == 1


def test_a_resumed_run_adds_to_the_one_before(tmp_path: Path) -> None:
    for step in range(12):  # within one second: the names must differ, and keep their order, all the same
        logger = TensorBoardLogger(tmp_path, version=7)
        logger.log_metrics({"a": float(step)}, step)
        logger.finalize("success")
    assert scalars(logger.log_dir, "a") == [(step, float(step)) for step in range(12)]
    assert len(list(Path(logger.log_dir).iterdir())) == 12


def test_hyperparameters_reach_the_hparams_page(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    logger.log_hyperparams({"optimizer": {"lr": 0.1, "betas": (0.9, 0.99)}, "layers": np.int64(2), "compile": "auto"})
    logger.log_hyperparams({"layers": 2})
    logger.finalize("success")
    assert hparams(logger.log_dir) == {
        "optimizer/lr": 0.1,
        "optimizer/betas": "[0.9, 0.99]",
        "layers": 2.0,
        "compile": "auto",
    }
    with pytest.raises(ConfigurationError, match="mapping"):
        logger.log_hyperparams([1])  # type: ignore[arg-type]


def test_sub_dir_and_prefix(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="chars", version="a", sub_dir="validation", prefix="p")
    logger.log_metrics({"loss": 1.0}, step=5)
    logger.save()
    assert logger.log_dir == str(tmp_path / "chars" / "a" / "validation")
    assert scalars(logger.log_dir, "p-loss") == [(5, 1.0)]


def test_nothing_is_made_before_something_is_logged(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path / "runs")
    logger.log_metrics({})
    logger.log_hyperparams({})
    logger.save()
    logger.finalize("success")
    assert not (tmp_path / "runs").exists()


def test_flush_secs_decides_when_events_are_on_disk(tmp_path: Path) -> None:
    at_once, later = TensorBoardLogger(tmp_path, flush_secs=0), TensorBoardLogger(tmp_path)
    for logger in (at_once, later):
        logger.log_metrics({"a": 1.0}, step=0)
    assert scalars(at_once.log_dir, "a") == [(0, 1.0)]
    assert "a" not in read(later.log_dir).Tags()["scalars"]
    folder = later.log_dir
    del logger, later
    gc.collect()
    assert scalars(folder, "a") == [(0, 1.0)]


def test_a_bad_value_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="metric 'bad' cannot be logged"):
        TensorBoardLogger(tmp_path / "runs").log_metrics({"good": 1.0, "bad": "text"})
    assert not (tmp_path / "runs").exists()


def test_writing_imports_no_engine(tmp_path: Path) -> None:
    code = (
        "import sys; import numpy as np; from tbptt.loggers import TensorBoardLogger; before = 'tensorboard' in sys.modules;"
        "logger = TensorBoardLogger(sys.argv[1]); logger.log_hyperparams({'lr': 0.1}); "
        "logger.log_metrics({'a': 1.0, 'b': np.float32(2)}); logger.finalize('success');"
        "print(before, {'torch', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False set()"
    assert scalars(str(tmp_path / "tbptt_logs" / "version_0"), "a") == [(0, 1.0)]


def test_without_tensorboard_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'tbptt\[tensorboard\]'"):
        TensorBoardLogger(tmp_path)
