"""The trainer's arguments: old spellings, wrong values, and what the right ones do."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.errors import ConfigurationError, DeviceError, ModuleProtocolError, ScheduleError
from tbptt.protocols import Backend
from tbptt.trainer.arguments import OLD_ARGUMENTS, OLD_CALLS, OLD_METHODS
from tbptt.trainer.scaling import LossScale
from trainer.models import Losses
from trainer.recording import Plain, data

QUIET: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}


def fit(model: Any, batches: Any = None, **options: Any) -> tuple[list[float], tbptt.Trainer]:
    losses = Losses()
    callbacks = [losses, *options.pop("callbacks", ())]
    trainer = tbptt.Trainer(**{"max_epochs": 1, "truncated_bptt_steps": 2, "callbacks": callbacks, **QUIET, **options})
    trainer.fit(model, data() if batches is None else batches)
    return losses.values, trainer


def arrays(model: Any) -> list[np.ndarray]:
    return [np.array(ops.to_numpy(parameter)) for parameter in model.parameters()]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OLD_ARGUMENTS)
def test_an_old_argument_is_answered_with_the_new_one(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=...\\) is an old spelling") as raised:
        tbptt.Trainer(**dict[str, Any]({name: 1}))
    new = OLD_ARGUMENTS[name]
    assert f"Now: {new}." in str(raised.value)
    known = tbptt.Trainer.__init__.__annotations__
    assert not set(OLD_ARGUMENTS) & set(known)
    if match := re.match(r"(\w+)=", new):
        assert match[1] in known  # what is recommended exists
    for owner, attribute in re.findall(r"tbptt\.(callbacks|loggers)\.(\w+)", new):
        assert hasattr(getattr(tbptt, owner), attribute)


@pytest.mark.parametrize(("method", "name"), [*OLD_CALLS, ("fit", "train_data"), ("test", "data")])
def test_an_old_argument_of_a_call_is_answered_with_the_new_one(method: str, name: str) -> None:
    trainer = tbptt.Trainer(1, **QUIET)
    new = OLD_CALLS.get((method, name), "It takes model,")
    with pytest.raises(ConfigurationError, match=rf"trainer\.{method}\(\) has no argument '{name}'.*{re.escape(new)}"):
        getattr(trainer, method)(Plain(), **{name: data()})


@pytest.mark.parametrize("name", OLD_METHODS)
def test_an_old_method_is_answered_with_the_new_one(name: str) -> None:
    model = type("Old", (Plain,), {name: lambda self, *arguments: None})()
    with pytest.raises(
        ConfigurationError, match=rf"Old\.{name}\(\) is an old name and would never be called"
    ) as raised:
        fit(model)
    assert f"Now: {OLD_METHODS[name]}." in str(raised.value)
    assert hasattr(tbptt.Module, OLD_METHODS[name].split("(")[0]) or OLD_METHODS[name].endswith("_step_end")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("max_epoch", "max_epochs"),
        ("gradient_clip_value", "gradient_clip_val"),
        ("truncated_bptt_step", "truncated_bptt_steps"),
        ("acumulate_grad_batches", "accumulate_grad_batches"),
        ("enable_progressbar", "enable_progress_bar"),
    ],
)
def test_a_misspelt_argument_is_answered_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no argument '{name}'. Did you mean {meant}="):
        tbptt.Trainer(**dict[str, Any]({name: 1}))


def test_an_argument_of_no_known_name_is_answered_with_the_list() -> None:
    with pytest.raises(ConfigurationError, match=r"no argument 'xyzzy'\. It takes max_epochs, truncated_bptt_steps, "):
        tbptt.Trainer(xyzzy=1)


WRONG: dict[str, list[Any]] = {
    "max_epochs": [-2, 1.5, "3", True],
    "max_steps": [-2, 1.5, "3"],
    "min_epochs": [-1, 1.5],
    "min_steps": [-1, 1.5],
    "max_time": [3, "3 minutes", {"weeknds": 1}],
    "state_carry": ["window", None],
    "gradient_clip_val": [0, -1.0, "1", True],
    "gradient_clip_algorithm": ["l2"],
    "compile": ["always", None],
    "accumulate_grad_batches": [0, 1.5],
    "accumulate_grad_windows": [0, 1.5],
    "limit_train_batches": [-1, 1.5, "all", True],
    "limit_val_batches": [-1, 1.5],
    "limit_test_batches": [-1, 1.5],
    "limit_predict_batches": [-1, 1.5],
    "overfit_batches": [-1, 1.5],
    "fast_dev_run": [-1, 1.5, "yes"],
    "val_check_interval": [0, 0.0, 1.5, -1, True],
    "check_val_every_n_epoch": [0, 0.5],
    "num_sanity_val_steps": [-2, 0.5],
    "logger": ["runs", 3, [3]],
    "log_every_n_steps": [0, 1.5],
    "accelerator": ["tpu", 3],
    "devices": [2, [0, 1], "all"],
    "precision": ["64-mixed", 16, "bf16", 8, True],
    "profiler": ["advanced", 3],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_the_arguments_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        tbptt.Trainer(**dict[str, Any]({name: value}))


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "20"])
def test_windows_are_a_whole_number_of_time_steps(steps: Any) -> None:
    with pytest.raises(ScheduleError, match="steps"):
        tbptt.Trainer(truncated_bptt_steps=steps)


def test_an_old_precision_is_answered_with_the_new_one() -> None:
    with pytest.raises(ConfigurationError, match="Now: '16-mixed'"):
        tbptt.Trainer(precision=16)


def test_arguments_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="over batches or over windows"):
        tbptt.Trainer(accumulate_grad_batches=2, accumulate_grad_windows=2)
    with pytest.raises(ConfigurationError, match="check_val_every_n_epoch=None counts batches"):
        tbptt.Trainer(check_val_every_n_epoch=None)


# --- when a run ends --------------------------------------------------------------------------------------------------


class StopAt(tbptt.Callback):
    """Asks for the end after so many optimizer steps."""

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        if trainer.global_step == self.step:
            trainer.should_stop = True


# two batches of three windows: an epoch is six steps
@pytest.mark.parametrize(
    ("options", "epochs", "steps"),
    [
        ({"max_epochs": 3}, 3, 18),
        ({"max_epochs": 0}, 0, 0),
        ({"max_epochs": -1, "max_steps": 7}, 2, 7),
        ({"max_epochs": None, "max_steps": 12}, 2, 12),
        ({"max_epochs": 1, "max_steps": 100}, 1, 6),
        ({"max_epochs": 4, "min_epochs": 2}, 4, 24),
        ({"max_epochs": 4, "callbacks": [StopAt()]}, 1, 1),
        ({"max_epochs": 4, "callbacks": [StopAt(6)]}, 1, 6),
        ({"max_epochs": 4, "min_epochs": 1, "callbacks": [StopAt()]}, 1, 6),
        ({"max_epochs": 4, "min_epochs": 2, "callbacks": [StopAt()]}, 2, 12),
        ({"max_epochs": 4, "min_epochs": 2, "callbacks": [StopAt(14)]}, 3, 14),
        ({"max_epochs": 4, "min_steps": 4, "callbacks": [StopAt()]}, 1, 4),
        ({"max_epochs": 4, "min_steps": 12, "callbacks": [StopAt(6)]}, 2, 12),
        ({"max_epochs": 4, "min_epochs": 1, "min_steps": 8, "callbacks": [StopAt()]}, 2, 8),
        ({"max_epochs": 4, "max_steps": 5, "min_steps": 8, "callbacks": [StopAt()]}, 1, 5),
        ({"max_epochs": 4, "max_time": timedelta(0), "min_epochs": 0}, 1, 1),
        ({"max_epochs": 1, "max_time": "00:01:00:00"}, 1, 6),
        ({"max_epochs": 1, "max_time": {"hours": 1}}, 1, 6),
    ],
)
def test_epochs_steps_and_time_end_a_run_and_a_stop_waits_for_the_least(
    backend: Backend, options: dict[str, Any], epochs: int, steps: int
) -> None:
    losses, trainer = fit(Plain(), compile=False, **options)
    assert (trainer.current_epoch, trainer.global_step, len(losses)) == (epochs, steps, steps)


@pytest.mark.parametrize("who", ["callback", "module"])
def test_on_train_batch_start_returning_minus_one_ends_the_epoch(backend: Backend, who: str) -> None:
    ended = []

    def skip(self: Any, *arguments: Any) -> int | None:
        return -1 if arguments[-1] == 1 else None

    class Skip(tbptt.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> int | None:
            return skip(self, batch_idx) if who == "callback" else None

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            ended.append((trainer.current_epoch, batch_idx))

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            ended.append((trainer.current_epoch, None))

    def of_module(self: Any, batch: Any, batch_idx: int) -> int | None:
        return skip(self, batch_idx)

    model = type("Skips", (Plain,), {"on_train_batch_start": of_module} if who == "module" else {})()
    _, trainer = fit(model, data(3), max_epochs=2, compile=False, callbacks=[Skip()])
    assert ended == [(0, 0), (0, None), (1, 0), (1, None)]
    assert trainer.global_step == 6


# --- precision, device ------------------------------------------------------------------------------------------------


class Regression(tbptt.Module):
    """A recurrence that learns running sums."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(1, 8), nn.Linear(8, 1)

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        outputs, hiddens = self.rnn(batch[0], hiddens)
        return nn.functional.mse_loss(self.head(outputs), batch[1]), hiddens

    def configure_optimizers(self) -> Any:
        return optim.Adam(self.parameters(), lr=1e-2)


@pytest.mark.parametrize(("precision", "dtype"), [("32-true", "float32"), ("64-true", "float64"), (64, "float64")])
def test_true_precisions_convert_parameters_and_data(backend: Backend, precision: Any, dtype: str) -> None:
    """Against the same weights, converted to the dtype by hand before the run."""
    batches = [tuple(leaf.astype("float32") for leaf in batch) for batch in data()]
    seen = []

    class Watch(tbptt.Callback):
        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            seen.append({ops.dtype(leaf) for leaf in window} | {ops.dtype(outputs["loss"])})
            seen.append({module.precision, trainer.precision})

    tbptt.seed_everything(0)
    model = Regression()
    tbptt.seed_everything(0)
    by_hand = Regression()
    by_hand.to(dtype=dtype)
    losses, _ = fit(model, batches, precision=precision, compile=False, callbacks=[Watch()])
    assert all(each == {dtype} for each in seen[::2])
    assert all(each == {f"{dtype[-2:]}-true"} for each in seen[1::2])
    assert {array.dtype for array in arrays(model)} == {np.dtype(dtype)}
    expected, _ = fit(by_hand, batches, compile=False)
    assert losses == expected


def test_bf16_mixed_trains_and_keeps_parameters_in_32_bits(backend: Backend) -> None:
    tbptt.seed_everything(0)
    model = Regression()
    losses, trainer = fit(model, data(1) * 10, precision="bf16-mixed")
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    assert {array.dtype for array in arrays(model)} == {np.dtype("float32")}
    assert (trainer.precision, trainer.global_step) == ("bf16-mixed", 30)
    tbptt.seed_everything(0)
    plain, _ = fit(Regression(), data(1) * 10, compile=False)
    np.testing.assert_allclose(losses, plain, rtol=0.1)
    assert not np.allclose(losses, plain, rtol=1e-5)  # it was another arithmetic


class Scales(tbptt.Callback):
    """Parameters, optimizer steps and the loss scale after every window."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[list[np.ndarray], int]] = []
        self.updates: list[tuple[float, bool, float]] = []
        original = LossScale.update

        def update(scale: LossScale, finite: bool) -> None:
            before = scale.value
            original(scale, finite)
            self.updates.append((before, finite, scale.value))

        monkeypatch.setattr(LossScale, "update", update)

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.seen.append((arrays(module), trainer.global_step))

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.seen.append((arrays(module), trainer.global_step))


def test_16_mixed_equals_32_bits_up_to_half_precision(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(Regression):
        """A loss whose gradient times the scale of 65536 stays within float16."""

        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            loss, hiddens = super().training_step(batch, batch_idx, hiddens)
            return loss / 16.0, hiddens

    scales = Scales(monkeypatch)
    tbptt.seed_everything(0)
    losses, trainer = fit(Small(), data(1) * 4, precision="16-mixed", callbacks=[scales])
    tbptt.seed_everything(0)
    plain, other = fit(Small(), data(1) * 4, precision="32-true", compile=False)
    np.testing.assert_allclose(losses, plain, rtol=20 * 2.0**-11)
    assert losses != plain
    assert trainer.global_step == other.global_step == 12
    assert all(finite for _, finite, _ in scales.updates)


def test_an_overflow_in_16_mixed_skips_the_update_and_halves_the_scale(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Large(Regression):
        """The gradient at the outputs is some 16 times the scale of 65536: beyond float16, until the scale is small enough."""

        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            loss, hiddens = super().training_step(batch, batch_idx, hiddens)
            return 32.0 * loss, hiddens

    scales = Scales(monkeypatch)
    tbptt.seed_everything(0)
    model = Large()
    fit(model, data(4), precision="16-mixed", callbacks=[scales], compile=False)
    assert len(scales.updates) == 12
    assert scales.updates[0] == (65536.0, False, 32768.0)
    assert any(finite for _, finite, _ in scales.updates)
    for (before, finite, after), old, new in zip(scales.updates, scales.seen[:-1], scales.seen[1:], strict=True):
        same = all(np.array_equal(a, b) for a, b in zip(old[0], new[0], strict=True))
        assert same is not finite
        assert new[1] - old[1] == finite
        assert after == (before if finite else before / 2)
    assert all(np.isfinite(array).all() for array in arrays(model))


@pytest.mark.parametrize("options", [{"accelerator": "cpu"}, {"accelerator": "cpu", "devices": 1}, {"devices": "auto"}])
def test_devices_of_this_machine_are_taken(backend: Backend, options: dict[str, Any]) -> None:
    model = Plain()
    before = model.device
    _, trainer = fit(model, data(1), compile=False, **options)
    assert model.device == ("cpu" if "accelerator" in options else before)
    assert trainer.global_step == 3


def test_a_device_that_is_not_there_is_an_error(backend: Backend) -> None:
    with pytest.raises(DeviceError, match="gpu:77"):
        fit(Plain(), accelerator="gpu", devices=[77])


# --- switches ---------------------------------------------------------------------------------------------------------


def test_deterministic_switches_the_engine(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(backend.compilation, "set_deterministic", asked.append)
    fit(Plain(), data(1), compile=False)
    assert asked == []
    fit(Plain(), data(1), compile=False, deterministic=True)
    assert asked == [True]


def test_detect_anomaly_names_the_operation_in_which_a_nan_arose(backend: Backend) -> None:
    """The slope of a root at zero is infinite, and times zero it is not a number; forward everything is finite."""

    class Root(Plain):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            outputs, hiddens = self(batch[0], hiddens)
            return ops.sum(ops.sqrt(outputs * 0.0)), hiddens

    # torch looks for NaN alone and finds it where infinity meets zero; TensorFlow names where the infinity came from
    name = "MulBackward" if backend.name == "torch" else "(?i)sqrt"
    with pytest.raises(Exception, match=name) as raised:
        fit(Root(), detect_anomaly=True)
    assert not isinstance(raised.value, (ModuleProtocolError, ArithmeticError))
    with pytest.raises(ArithmeticError, match="batch 0, window 1"):  # and without it, when the next loss is NaN
        fit(Root(), compile=False)
    losses, _ = fit(Plain(), data(1), detect_anomaly=True)
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("compile", [False, "auto"])
def test_the_simple_profiler_prints_where_the_time_of_a_window_went(
    backend: Backend, compile: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, trainer = fit(Plain(), data(), profiler="simple", compile=compile)
    printed = capsys.readouterr().out
    calls = {"fit": 1, "next batch": 3, "cut window": 8, "place window": 6, "window step": 6, "on_window_end": 6}
    if compile is False:
        calls |= {"forward": 6, "backward": 6, "update": 6}
    assert "Where the time went" in printed
    for action, count in calls.items():
        assert re.search(rf"{action} +│ {count} +│ \d+\.\d{{3}} +│ \d+\.\d{{3}} ", printed), (action, printed)
    assert trainer.profiler is not None
    seconds = trainer.profiler.seconds
    assert seconds["fit"] >= sum(
        seconds[action] for action in ("next batch", "cut window", "place window", "window step")
    )


def test_the_model_summary_is_printed_before_training(backend: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Plain(), data(1), compile=False)
    assert "Trainable params" not in "".join(capsys.readouterr())
    fit(Plain(), data(1), compile=False, enable_model_summary=True)
    printed = capsys.readouterr().err
    assert re.search(r"\| 0 \| rnn +\| RNN +\|", printed) and re.search(r"\| 1 \| head +\| Linear +\|", printed)
    assert re.search(r"\d+ +Trainable params", printed)
