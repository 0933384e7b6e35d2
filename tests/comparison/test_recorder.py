"""What the recorder writes down is what happened, and writing it down changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tbptt
from comparison.small import Small, data, recorded, trainer
from tbptt import ops
from tbptt.comparison import EnoughWindows, Reader, Recorder
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend


def norm(gradients: dict[str, Any]) -> float:
    return float(np.sqrt(sum((gradient**2).sum() for gradient in gradients.values())))


def test_gradients_are_clipped_and_subtracted_by_the_formulas(backend: Backend) -> None:
    records = recorded(gradient_clip_val=0.01)
    assert [list(record.moments) for record in records] == [
        ["start", "data", "forward", "loss", "gradient", "clipping", "update"],
        *[["data", "forward", "loss", "gradient", "clipping", "update"]] * 3,
    ]
    before = records[0].moments["start"]
    for record in records:
        moments = record.moments
        factor = min(1.0, 0.01 / norm(moments["gradient"]))
        assert factor < 1
        for name, gradient in moments["gradient"].items():
            np.testing.assert_allclose(moments["clipping"][name], gradient * factor, rtol=1e-12, atol=0)
            expected = before[name] - 0.1 * moments["clipping"][name]
            np.testing.assert_allclose(moments["update"][name], expected, rtol=0, atol=1e-15)
        before = moments["update"]


def test_states_and_losses_are_those_of_the_window(backend: Backend) -> None:
    model = Small(lr=1e-300)  # nothing moves, so that windows can be run again by hand
    records = recorded(model)
    x, y = data()[0]
    features, (h, c) = model.lstm(ops.asarray(x[:, :15]))
    prediction = ops.to_numpy(model.head(features))
    np.testing.assert_allclose(records[2].moments["forward"]["state[0]"], ops.to_numpy(h), rtol=0, atol=1e-14)
    np.testing.assert_allclose(records[2].moments["forward"]["state[1]"], ops.to_numpy(c), rtol=0, atol=1e-14)
    loss = ((prediction[:, 10:] - y[:, 10:15]) ** 2).mean()
    np.testing.assert_allclose(records[2].moments["loss"]["loss"], loss, rtol=1e-13)
    np.testing.assert_array_equal(records[2].moments["data"]["batch[0]"], x[:, 10:15])


def test_a_recorded_run_is_the_same_run(backend: Backend) -> None:
    def train(**options: Any) -> tuple[Any, float]:
        tbptt.seed_everything(0)
        model, running = Small(), trainer(gradient_clip_val=0.1, **options)
        running.fit(model, data())
        return [ops.to_numpy(p) for p in model.parameters()], running.callback_metrics["train_loss"]

    (plain, loss), (watched, seen) = train(), train(callbacks=Recorder(lambda record: None))
    assert seen == pytest.approx(loss, rel=1e-14)
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-15)


def test_a_loss_that_is_logged_is_a_loss_and_no_part_of_the_forward_pass(backend: Backend) -> None:
    moments = recorded()[0].moments
    assert list(moments["forward"]) == ["state[0]", "state[1]"]
    assert list(moments["loss"]) == ["loss", "logged['train_loss']"]


def test_while_gradients_accumulate_there_is_no_update_to_write_down(backend: Backend) -> None:
    records = recorded(accumulate_grad_windows=2)
    assert ["update" in record.moments for record in records] == [False, True, False, True]
    assert [record.place.step for record in records] == [0, 1, 1, 2]


def test_a_parameter_that_somebody_changes_between_windows_is_written_down(backend: Backend) -> None:
    class Nudge(tbptt.Callback):
        def on_window_start(self, trainer: Any, module: Any, window: Any, window_idx: int) -> None:
            if window_idx == 2:
                value = ops.to_numpy(module.head.bias) + 1
                backend.interop.write(module.head.bias, value)

    records: list[Any] = []
    trainer(callbacks=[Nudge(), Recorder(records.append)]).fit(Small(), data())
    assert [list(record.moments.get("start", {})) for record in records][1:] == [[], ["head.bias"], []]
    np.testing.assert_allclose(
        records[2].moments["start"]["head.bias"], records[1].moments["update"]["head.bias"] + 1, rtol=0, atol=1e-15
    )


def test_a_file_holds_what_a_function_is_given_over_several_fits(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "run.tbptt"
    given: list[Any] = []
    running = trainer(callbacks=[Recorder(given.append), Recorder(path)])
    running.fit(Small(), data(2))
    running.fit(Small(), data(1))
    with path.open("rb") as file:
        reader = Reader(file, path)
        assert reader.head.backend == backend.name
        assert reader.head.versions["tbptt"] == tbptt.__version__
        read = list(reader)
    assert [record.place for record in read] == [record.place for record in given]
    assert (read[-1].place.fit, read[-1].place.window, read[4].place.batch) == (1, 11, 1)
    for one, other in zip(read, given, strict=True):
        assert list(one.moments) == list(other.moments)
        for moment, entries in one.moments.items():
            assert list(entries) == list(other.moments[moment])
            for name, array in entries.items():
                assert array.dtype == other.moments[moment][name].dtype
                np.testing.assert_array_equal(array, other.moments[moment][name])


def test_it_ends_a_script_after_so_many_windows_with_a_status_of_success(backend: Backend) -> None:
    records: list[Any] = []
    with pytest.raises(EnoughWindows) as caught:
        trainer(callbacks=Recorder(records.append, windows=3)).fit(Small(), data(4))
    assert len(records) == 3
    assert isinstance(caught.value, SystemExit) and caught.value.code == 0


def test_of_large_arrays_a_part_is_kept_if_asked(backend: Backend) -> None:
    records: list[Any] = []
    trainer(callbacks=Recorder(records.append, elements=4)).fit(Small(), data())
    update = records[0].moments["update"]
    assert {name: array.shape for name, array in update.items()}["lstm.weight_ih_l0"] == (4,)
    assert records[0].shapes["update/lstm.weight_ih_l0"] == (12, 2)
    assert update["head.bias"].shape == (1,)


@pytest.mark.parametrize("wrong", [{"windows": 0}, {"elements": -1}])
def test_wrong_arguments(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        Recorder(lambda record: None, **wrong)
