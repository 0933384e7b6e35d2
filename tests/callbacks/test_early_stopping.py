"""When a run is ended: the rules of Lightning's EarlyStopping, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from callbacks.fakes import FakeTrainer
from tbptt.callbacks import EarlyStopping
from tbptt.errors import ConfigurationError


def epochs_until_stop(values: list[float], **options: Any) -> int | None:
    """The epoch, from 0, after which the run was told to end; None if never."""
    trainer = FakeTrainer(EarlyStopping("loss", **options)).start()
    for epoch, value in enumerate(values):
        trainer.epoch(loss=value)
        if trainer.should_stop:
            return epoch
    return None


RUNS: dict[str, tuple[list[float], dict[str, Any], int | None]] = {
    "three without improvement": ([5, 4, 4, 4, 4, 1], {}, 4),
    "patience starts anew": ([5, 4, 4, 4, 3, 3, 3, 3], {}, 7),
    "equal is no improvement": ([1, 1], {"patience": 1}, 1),
    "patience 0 ends at the first failure": ([2, 1, 1], {"patience": 0}, 2),
    "less than min_delta is none": ([1.0, 0.95, 0.91, 0.9], {"min_delta": 0.1, "patience": 2}, 2),
    "exactly min_delta is none": ([1.0, 0.5], {"min_delta": 0.5, "patience": 1}, 1),
    "more is better": ([1, 2, 3, 3, 3], {"mode": "max", "patience": 2}, 4),
    "more by min_delta is better": ([1.0, 1.5, 2.6, 2.7], {"mode": "max", "min_delta": 0.5, "patience": 1}, 1),
    "never": ([5, 4, 3, 2], {"patience": 1}, None),
    "not finite": ([5, math.nan], {}, 1),
    "infinite": ([5, -math.inf], {}, 1),
    "NaN is no improvement": ([5, math.nan, math.nan], {"check_finite": False, "patience": 2}, 2),
    "threshold": ([5, 0.5, 0.05], {"stopping_threshold": 0.1}, 2),
    "threshold of more": ([0.5, 0.99], {"mode": "max", "stopping_threshold": 0.9}, 1),
    "exactly the threshold is not past it": ([5, 0.1], {"stopping_threshold": 0.1}, None),
    "divergence": ([5, 4, 101], {"divergence_threshold": 100}, 2),
    "divergence of more": ([5, 4, -1], {"mode": "max", "divergence_threshold": 0, "patience": 9}, 2),
}


@pytest.mark.parametrize("run", RUNS)
def test_the_run_ends_where_the_rule_says(run: str) -> None:
    values, options, expected = RUNS[run]
    assert epochs_until_stop(values, **options) == expected


def test_attributes_say_what_happened_and_why() -> None:
    stopping = EarlyStopping("loss", patience=2)
    trainer = FakeTrainer(stopping).start()
    assert stopping.best_score == math.inf and stopping.stopping_reason is None
    for value in (3.0, 2.0, 2.5, 2.5):
        trainer.epoch(loss=value)
    assert (stopping.wait_count, stopping.best_score, stopping.stopped_epoch) == (2, 2.0, 3)
    assert "loss has not improved in the last 2 checks; the best was 2" in str(stopping.stopping_reason)


def test_with_validation_it_checks_after_each_validation_and_not_again_after_the_epoch() -> None:
    stopping = EarlyStopping("val_loss")
    trainer = FakeTrainer(stopping, has_validation=True).start()
    trainer.epoch(validation={"val_loss": 1.0})
    trainer.validate(val_loss=1.0)  # in the midst of the second epoch
    trainer.epoch(validation={"val_loss": 1.0})
    assert stopping.wait_count == 2


def test_a_mean_of_the_training_epoch_is_checked_once_it_is_known() -> None:
    stopping = EarlyStopping("train_loss", patience=2)
    trainer = FakeTrainer(stopping, has_validation=True).start()
    seen = []
    for value in (3.0, 2.0, 1.0, 1.5):
        trainer.epoch(validation={"val_loss": 9.0}, train_loss=value)
        seen.append((stopping.best_score, stopping.wait_count))
    assert seen == [(3.0, 0), (2.0, 0), (1.0, 0), (1.0, 1)]


def test_where_validation_is_rare_a_mean_of_the_training_epoch_is_checked_in_every_epoch() -> None:
    stopping = EarlyStopping("train_loss")
    trainer = FakeTrainer(stopping, has_validation=True).start()
    seen = []
    for epoch, value in enumerate((4.0, 3.0, 2.0, 1.0)):
        trainer.epoch(validation={"val_loss": 9.0} if epoch % 2 else None, train_loss=value)
        seen.append(stopping.best_score)
    assert seen == [4.0, 3.0, 2.0, 1.0]
    rare = EarlyStopping("val_loss")
    trainer = FakeTrainer(rare, has_validation=True).start()
    for epoch in range(4):
        trainer.epoch(validation={"val_loss": 9.0} if epoch % 2 else None, train_loss=1.0)
    assert rare.wait_count == 1


def test_it_can_be_told_where_to_check() -> None:
    late = EarlyStopping("val_loss", check_on_train_epoch_end=True)
    trainer = FakeTrainer(late, has_validation=True).start()
    trainer.validate(val_loss=1.0)
    assert late.best_score == math.inf
    trainer.epoch(validation={"val_loss": 2.0})
    assert late.best_score == 2.0
    never = EarlyStopping("train_loss", check_on_train_epoch_end=False)
    FakeTrainer(never).start().epoch(train_loss=1.0)
    assert never.best_score == math.inf


def test_sanity_checks_other_stages_and_quick_runs_do_not_count() -> None:
    stopping = EarlyStopping("val_loss")
    trainer = FakeTrainer(stopping, has_validation=True, sanity_checking=True).start()
    trainer.validate(val_loss=1.0)
    trainer.sanity_checking = False
    trainer("setup", "validate")
    trainer.validate(val_loss=1.0)
    FakeTrainer(stopping, has_validation=True, fast_dev_run=True).start().validate(val_loss=1.0)
    assert stopping.best_score == math.inf and stopping.wait_count == 0


def test_an_unknown_metric_is_an_error_that_lists_the_known_ones() -> None:
    trainer = FakeTrainer(EarlyStopping("val_los"), has_validation=True).start()
    with pytest.raises(ConfigurationError, match=r"'val_los'.* There is: train_loss, val_loss"):
        trainer.epoch(validation={"val_loss": 1.0}, train_loss=2.0)
    relaxed = FakeTrainer(EarlyStopping("val_los", strict=False)).start()
    relaxed.epoch(val_loss=1.0)
    assert not relaxed.should_stop


def test_a_wrong_mode_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="mode must be 'min'"):
        EarlyStopping("loss", mode="auto")  # type: ignore[arg-type]


def test_it_tells_what_it_does_only_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    epochs_until_stop([3, 2, 2], patience=1)
    assert capsys.readouterr().out == ""
    epochs_until_stop([3, 2, 2], patience=1, verbose=True)
    assert "loss improved from 3 to 2" in (out := capsys.readouterr().out) and "after epoch 3" in out


def test_a_resumed_run_goes_on_waiting() -> None:
    first, second = EarlyStopping("loss"), EarlyStopping("loss", patience=99)
    trainer = FakeTrainer(first).start()
    for value in (1.0, 2.0, 2.0):
        trainer.epoch(loss=value)
    second.load_state_dict(first.state_dict())
    resumed = FakeTrainer(second).start()
    resumed.epoch(loss=1.5)
    assert resumed.should_stop and second.wait_count == 3
    assert first.state_key != EarlyStopping("loss", mode="max").state_key
