"""CSV logs: every number comes back to the bit, no row is lost, no two runs share a folder, and memory stays bounded."""

from __future__ import annotations

import csv
import gc
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tbptt import GradientTape, nn, ops
from tbptt.errors import ConfigurationError
from tbptt.loggers import CSVLogger, Logger, TensorBoardLogger, as_loggers
from tbptt.loggers.directory import next_version
from tbptt.protocols import Backend


def text_of(logger: CSVLogger) -> str:
    return Path(logger.log_dir, "metrics.csv").read_text(encoding="utf-8")


def rows_of(logger: CSVLogger) -> list[dict[str, str]]:
    with Path(logger.log_dir, "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def hparams_of(logger: CSVLogger) -> Any:
    def no_constants(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(Path(logger.log_dir, "hparams.json").read_text(encoding="utf-8"), parse_constant=no_constants)


def test_the_file_is_where_lightning_users_look_and_reads_as_expected(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"train_loss": 0.5, "epoch": 0}, step=4)
    logger.log_metrics({"acc": 0.25, "epoch": 0}, step=4)
    logger.save()
    assert text_of(logger) == "epoch,step,acc,train_loss\n0,4,,0.5\n0,4,0.25,\n"
    assert Path(logger.log_dir) == tmp_path / "tbptt_logs" / "version_0"
    assert (logger.name, logger.version, logger.save_dir) == ("tbptt_logs", 0, str(tmp_path))


def test_floats_come_back_to_the_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.random.default_rng(1).integers(-300, 300, 200)
    logger = CSVLogger(tmp_path)
    for value in values:
        logger.log_metrics({"x": value})
    logger.save()
    assert [float(row["x"]) for row in rows_of(logger)] == values.tolist()


def test_tensors_of_either_engine_give_the_same_text(backend: Backend, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": ops.asarray(np.float32(0.1)), "b": ops.asarray(np.float64(0.1)), "n": np.int64(7)}, step=0)
    logger.save()
    assert text_of(logger) == "step,a,b,n\n0,0.10000000149011612,0.1,7\n"


def test_a_loss_on_the_tape_is_logged_as_it_is(backend: Backend, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    weight = nn.Parameter(np.array([1.0, 2.0], "float32"))
    with GradientTape() as tape:
        loss = ops.sum(ops.square(weight))
        logger.log_metrics({"loss": loss}, step=0)
    assert np.asarray(ops.to_numpy(tape.gradient(loss, weight))).tolist() == [2.0, 4.0]
    logger.save()
    assert text_of(logger) == "step,loss\n0,5.0\n"


def test_what_is_not_finite_is_written_as_such(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": math.nan, "b": math.inf, "c": -math.inf}, step=0)
    logger.save()
    assert text_of(logger) == "step,a,b,c\n0,nan,inf,-inf\n"


def test_new_names_widen_the_file_and_lose_nothing(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=1)
    for step, name in enumerate(["m", "z", "a", "m", 'odd, "name"']):
        logger.log_metrics({name: step + 0.5}, step)
    expected = {"step": "", "a": "", "m": "", 'odd, "name"': "", "z": ""}
    assert rows_of(logger) == [
        expected | {"step": str(step), name: str(step + 0.5)}
        for step, name in enumerate(["m", "z", "a", "m", 'odd, "name"'])
    ]
    assert [path.name for path in Path(logger.log_dir).iterdir()] == ["metrics.csv"]


def test_a_rewrite_that_fails_leaves_the_old_file_and_keeps_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.save()
    before = text_of(logger)
    logger.log_metrics({"b": 2.0}, step=1)
    with monkeypatch.context() as patched:

        def fails(*_: Any) -> None:
            raise OSError("disk full")

        patched.setattr(os, "replace", fails)
        with pytest.raises(OSError, match="disk full"):
            logger.save()
    assert text_of(logger) == before
    logger.save()
    assert text_of(logger) == "step,a,b\n0,1.0,\n1,,2.0\n"
    assert [path.name for path in Path(logger.log_dir).iterdir()] == ["metrics.csv"]


def test_memory_holds_the_rows_between_two_flushes_only(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=10)
    held = []
    for step in range(35):
        logger.log_metrics({"a": 1.0}, step)
        assert logger._file is not None
        held.append(len(logger._file._rows))
    assert held == [(step + 1) % 10 for step in range(35)]
    assert len(rows_of(logger)) == 30


def test_logging_goes_on_after_finalize_and_finalize_may_come_twice(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"train_loss": 1.0}, step=0)
    logger.finalize("success")
    logger.finalize("success")
    logger.log_metrics({"test_loss": 2.0}, step=1)
    logger.finalize("failed")
    assert text_of(logger) == "step,test_loss,train_loss\n0,,1.0\n1,2.0,\n"


def test_finalize_without_anything_logged_makes_nothing(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path / "runs")
    logger.log_metrics({}, step=0)
    logger.save()
    logger.finalize("success")
    assert not (tmp_path / "runs").exists()


def test_a_given_version_is_written_on_even_behind_half_a_line(tmp_path: Path) -> None:
    first = CSVLogger(tmp_path, version=3)
    first.log_metrics({"a": 1.0, "b": 2.0}, step=0)
    first.save()
    path = Path(first.log_dir, "metrics.csv")
    path.write_text(path.read_text() + "1,3")  # killed while writing
    second = CSVLogger(tmp_path, version=3)
    second.log_metrics({"a": 5.0}, step=1)
    second.save()
    assert text_of(second) == "step,a,b\n0,1.0,2.0\n1,3\n1,5.0,\n"
    second.log_metrics({"c": 6.0}, step=2)
    second.save()
    assert text_of(second) == "step,a,b,c\n0,1.0,2.0,\n1,3,,\n1,5.0,,\n2,,,6.0\n"


def test_rows_held_are_written_when_the_logger_or_the_process_ends(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version="collected")
    logger.log_metrics({"a": 1.0})
    path = Path(logger.log_dir, "metrics.csv")
    del logger
    gc.collect()
    assert path.read_text() == "step,a\n0,1.0\n"
    code = (
        "import sys; from tbptt.loggers import CSVLogger; logger = CSVLogger(sys.argv[1], version='process');"
        "logger.log_metrics({'a': 1.0}); raise SystemExit(3)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 3
    assert (tmp_path / "tbptt_logs" / "process" / "metrics.csv").read_text() == "step,a\n0,1.0\n"


def test_without_a_step_rows_count_on_from_the_last_one(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    for step in (None, None, 10, None):
        logger.log_metrics({"a": 1.0}, step)
    logger.log_metrics({"a": 1.0, "step": 40.0}, 12)  # a metric of that name is the step, as in Lightning
    logger.save()
    assert [row["step"] for row in rows_of(logger)] == ["0", "1", "10", "11", "40"]


def test_the_prefix_stands_before_every_name(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, prefix="run")
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.save()
    assert text_of(logger) == "step,run-loss\n0,1.0\n"


def test_versions_count_up_past_gaps_and_strangers(tmp_path: Path) -> None:
    for folder in ("version_2", "version_0", "version_x", "other"):
        (tmp_path / "tbptt_logs" / folder).mkdir(parents=True)
    assert [CSVLogger(tmp_path).version for _ in range(2)] == [3, 4]
    assert CSVLogger(tmp_path, name="").log_dir == str(tmp_path / "version_0")
    assert CSVLogger(tmp_path, version="baseline").log_dir == str(tmp_path / "tbptt_logs" / "baseline")


def test_racing_runs_get_a_version_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda _: next_version(tmp_path / "threads"), range(64)))
    assert sorted(versions) == list(range(64))

    def too_late(folder: Path) -> list[Path]:  # the others' folders appear after the look
        return []

    monkeypatch.setattr(Path, "iterdir", too_late)
    assert next_version(tmp_path / "threads") == 64


@pytest.mark.parametrize("bad", ["text", "0.5", None, [1.0], 1j, np.ones(3), np.ones((1,)), {"a": 1.0}])
def test_a_value_that_is_no_number_is_refused_before_anything_is_kept(tmp_path: Path, bad: Any) -> None:
    logger = CSVLogger(tmp_path / "runs")
    with pytest.raises(ConfigurationError, match=r"metric 'bad' cannot be logged.*received a \w+"):
        logger.log_metrics({"good": 1.0, "bad": bad}, step=0)
    logger.save()
    assert not (tmp_path / "runs").exists()


def test_a_vector_of_either_engine_is_refused(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"of shape \(1,\)"):
        CSVLogger(tmp_path).log_metrics({"bad": ops.asarray(np.ones(1, "float32"))})


def test_hyperparameters_are_strict_json_and_add_up(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams({"lr": 1e-3, "layers": np.int64(2), "clip": math.inf, "path": Path("a/b"), "none": None})
    logger.log_hyperparams({"lr": 0.1, "optimizer": {"betas": (0.9, np.float64(0.99)), "fused": np.bool_(True)}})
    assert hparams_of(logger) == {
        "lr": 0.1,
        "layers": 2,
        "clip": "inf",
        "path": str(Path("a/b")),
        "none": None,
        "optimizer": {"betas": [0.9, 0.99], "fused": True},
    }
    with pytest.raises(ConfigurationError, match=r"mapping.*vars\(namespace\)"):
        logger.log_hyperparams(3)  # type: ignore[arg-type]


def test_a_wrong_flush_interval_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="flush_logs_every_n_steps"):
        CSVLogger(tmp_path, flush_logs_every_n_steps=0)


class Own:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def log_metrics(self, metrics: Any, step: Any) -> None:
        self.seen.append((metrics, step))


class Fuller(Own):
    name = "mine"

    def finalize(self, status: str) -> None:
        self.seen.append(status)


def test_the_trainers_argument_in_all_its_forms(tmp_path: Path) -> None:
    assert as_loggers(None, tmp_path) == as_loggers(False, tmp_path) == as_loggers([], tmp_path) == []
    (made,) = as_loggers(True, tmp_path)
    assert isinstance(made, CSVLogger)
    assert made.save_dir == str(tmp_path)
    assert as_loggers(True, None)[0].save_dir == "."
    csv_logger, tensorboard = CSVLogger(tmp_path), TensorBoardLogger(tmp_path)
    assert as_loggers(csv_logger, None) == [csv_logger]
    assert as_loggers(iter((csv_logger, tensorboard)), None) == [csv_logger, tensorboard]


def test_a_users_own_object_needs_log_metrics_only() -> None:
    own, fuller = Own(), Fuller()
    loggers = as_loggers([own, fuller], None)  # type: ignore[list-item]
    for logger in loggers:
        assert isinstance(logger, Logger)
        logger.log_metrics({"a": 1.0}, step=2)
        logger.log_hyperparams({"lr": 0.1})
        logger.save()
        logger.finalize("success")
    assert own.seen == [({"a": 1.0}, 2)]
    assert fuller.seen == [({"a": 1.0}, 2), "success"]
    assert [(logger.name, logger.version, logger.log_dir, logger.save_dir) for logger in loggers] == [
        (None, None, None, None),
        ("mine", None, None, None),
    ]


@pytest.mark.parametrize("wrong", ["runs", 1, CSVLogger, [True], [None], {"a": 1}, object()])
def test_anything_else_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="logger= expected True, False, a logger or a list of loggers"):
        as_loggers(wrong, None)
