"""Time, with a clock that the test turns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from callbacks.fakes import FakeTrainer
from tbptt.callbacks import Timer
from tbptt.errors import ConfigurationError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tbptt.callbacks.timer.time.monotonic", clock)
    return clock


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("01:02:03:04", 86400 + 2 * 3600 + 3 * 60 + 4),
        (timedelta(minutes=2), 120),
        ({"hours": 1, "seconds": 1}, 3601),
        (None, None),
    ],
)
def test_a_duration_has_three_forms(duration: Any, seconds: float | None) -> None:
    assert Timer(duration).time_remaining() == seconds


@pytest.mark.parametrize("duration", ["12:00", "1:2:3:4", "a day", {"fortnights": 1}])
def test_other_forms_are_errors(duration: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"duration is .*; expected"):
        Timer(duration)


def test_wrong_names_are_errors() -> None:
    with pytest.raises(ConfigurationError, match="interval must be 'window'"):
        Timer(interval="step")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no stage 'fit'"):
        Timer().time_elapsed("fit")


@pytest.mark.parametrize("interval", ["window", "batch", "epoch"])
def test_the_run_ends_at_the_first_moment_of_its_kind_after_the_time(clock: Clock, interval: Any) -> None:
    trainer = FakeTrainer(Timer({"seconds": 10}, interval=interval)).start()
    moments = {
        "window": ("on_window_end", None, None, 0),
        "batch": ("on_train_batch_end", None, None, 0),
        "epoch": ("on_train_epoch_end",),
    }
    clock.now += 9.5
    for moment in moments.values():
        trainer(*moment)
    assert not trainer.should_stop
    clock.now += 0.5
    for name, moment in moments.items():
        if name != interval:
            trainer(*moment)
    assert not trainer.should_stop
    trainer(*moments[interval])
    assert trainer.should_stop


def test_stages_are_measured_apart(clock: Clock) -> None:
    timer = Timer({"seconds": 60})
    trainer = FakeTrainer(timer)
    assert timer.time_elapsed() == timer.time_elapsed("test") == 0
    trainer.start()
    clock.now += 5
    trainer("on_validation_start")
    clock.now += 2
    trainer("on_validation_end")
    clock.now += 1
    assert (timer.time_elapsed(), timer.time_elapsed("validate"), timer.time_remaining()) == (8, 2, 52)
    trainer.end()
    for stage, seconds in (("test", 3), ("predict", 4)):
        trainer(f"on_{stage}_start")
        clock.now += seconds
        trainer(f"on_{stage}_end")
    clock.now += 100
    assert [timer.time_elapsed(stage) for stage in ("train", "validate", "test", "predict")] == [8, 2, 3, 4]


def test_a_resumed_run_has_what_was_left(clock: Clock) -> None:
    first = Timer({"seconds": 10})
    FakeTrainer(first).start()
    clock.now += 7
    second = Timer({"seconds": 10})
    second.load_state_dict(first.state_dict())
    trainer = FakeTrainer(second).start()
    clock.now += 2
    trainer.window()
    assert not trainer.should_stop and second.time_remaining() == 1
    clock.now += 1
    trainer.window()
    assert trainer.should_stop
    third = Timer({"seconds": 10})
    third.load_state_dict(second.state_dict())
    assert FakeTrainer(third).start().should_stop  # nothing is left


def test_without_a_duration_it_only_measures(clock: Clock) -> None:
    timer = Timer()
    trainer = FakeTrainer(timer).start()
    clock.now += 1e9
    trainer.epoch()
    assert not trainer.should_stop and timer.time_remaining() is None and timer.time_elapsed() == 1e9
