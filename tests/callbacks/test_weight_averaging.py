"""Averages of weights against NumPy and against `torch.optim.swa_utils`, on both engines, and swapping exact to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

import tbptt
from callbacks.fakes import FakeTrainer, Loop, optimizer_of
from tbptt import nn, ops, optim
from tbptt.callbacks import EMAWeightAveraging, ModelCheckpoint, StochasticWeightAveraging
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend


def sgd(parameters: Any) -> Any:
    return optim.SGD(parameters, lr=0.1)


class Watch(tbptt.callbacks.Callback):
    """The weights a validation sees."""

    after_module = True

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.seen: list[list[np.ndarray]] = []

    def on_validation_start(self, trainer: Any, module: Any) -> None:
        self.seen.append(self.loop.weights())


def train(loop: Loop, trainer: FakeTrainer, windows: int) -> list[list[np.ndarray]]:
    """Weights after each window."""
    history = []
    for _ in range(windows):
        loop.update()
        trainer.window()
        history.append(loop.weights())
    return history


def assert_same(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float = 0.0) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_the_exponential_average_is_torchs(backend: Backend) -> None:
    loop = Loop(sgd)
    trainer = FakeTrainer(EMAWeightAveraging(decay=0.9), module=loop.module).start()
    peer = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(w.shape)) for w in loop.weights()])
    averaged = AveragedModel(peer, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for weights in train(loop, trainer, 12):
        with torch.no_grad():
            for parameter, weight in zip(peer, weights, strict=True):
                parameter.copy_(torch.from_numpy(weight))
        averaged.update_parameters(peer)
    trainer.end()
    assert_same(loop.weights(), [p.detach().numpy() for p in averaged.module], 1e-6)


def test_validation_runs_on_the_averages_and_the_weights_come_back_to_the_bit(backend: Backend) -> None:
    loop = Loop(sgd)
    watch = Watch(loop)
    trainer = FakeTrainer(EMAWeightAveraging(decay=0.5), watch, module=loop.module).start()
    first, second, third = train(loop, trainer, 3)
    average = [0.5 * (0.5 * a + 0.5 * b) + 0.5 * c for a, b, c in zip(first, second, third, strict=True)]
    trainer.validate()
    assert_same(watch.seen[-1], average, 1e-6)
    assert_same(loop.weights(), third)
    assert np.abs(watch.seen[0][0] - third[0]).max() > 1e-4  # or the test shows nothing


def test_training_is_what_it_would_be_without_averages(backend: Backend) -> None:
    plain, averaged = Loop(lambda p: optim.Adam(p, lr=0.01)), Loop(lambda p: optim.Adam(p, lr=0.01))
    expected = train(plain, FakeTrainer(module=plain.module).start(), 6)
    trainer = FakeTrainer(EMAWeightAveraging(decay=0.5), module=averaged.module).start()
    found = []
    for _ in range(6):
        found += train(averaged, trainer, 1)
        trainer.validate()
    for a, b in zip(found, expected, strict=True):
        assert_same(a, b)


def test_before_the_first_update_nothing_is_swapped(backend: Backend) -> None:
    loop = Loop(sgd)
    watch = Watch(loop)
    trainer = FakeTrainer(EMAWeightAveraging(update_starting_at_step=100), watch, module=loop.module).start()
    history = train(loop, trainer, 2)
    trainer.validate()
    trainer.end()
    assert_same(watch.seen[0], history[-1])
    assert_same(loop.weights(), history[-1])


@pytest.mark.parametrize(("every", "start", "taken"), [(1, None, range(8)), (3, None, (0, 3, 6)), (2, 3, (4, 6))])
def test_updates_come_at_the_steps_they_are_to(backend: Backend, every: int, start: int | None, taken: Any) -> None:
    loop = Loop(sgd)
    trainer = FakeTrainer(EMAWeightAveraging(0.5, every, start), module=loop.module).start()
    history = train(loop, trainer, 8)
    trainer.end()
    steps = list(taken)
    average = history[steps[0]]
    for step in steps[1:]:
        average = [0.5 * a + 0.5 * w for a, w in zip(average, history[step], strict=True)]
    assert_same(loop.weights(), average, 1e-6)


def test_a_window_without_update_is_no_step(backend: Backend) -> None:
    loop = Loop(sgd)
    averaging = EMAWeightAveraging(0.5)
    trainer = FakeTrainer(averaging, module=loop.module).start()
    train(loop, trainer, 2)
    trainer("on_window_end", None, None, 2)  # global_step is as before: gradients are being accumulated
    assert averaging.updates == 2


def test_an_exception_in_validation_leaves_the_model_its_weights(backend: Backend) -> None:
    loop = Loop(sgd)
    averaging = EMAWeightAveraging(0.5)
    trainer = FakeTrainer(averaging, module=loop.module).start()
    history = train(loop, trainer, 3)
    trainer("on_validation_start")
    assert np.abs(loop.weights()[0] - history[-1][0]).max() > 1e-4
    trainer("on_exception", KeyboardInterrupt())
    assert_same(loop.weights(), history[-1])
    trainer("setup", "validate")  # outside a fit, a checkpoint's weights may be asked for
    trainer("on_validation_start")
    assert_same(loop.weights(), history[-1])
    with averaging.averaged_weights():
        assert np.abs(loop.weights()[0] - history[-1][0]).max() > 1e-4
    assert_same(loop.weights(), history[-1])


def test_a_second_run_starts_its_own_averages(backend: Backend) -> None:
    loop = Loop(sgd)
    averaging = EMAWeightAveraging(0.5)
    trainer = FakeTrainer(averaging, module=loop.module).start()
    train(loop, trainer, 3)
    trainer.start()  # broken off, and begun again
    history = train(loop, trainer, 1)
    trainer.end()
    assert_same(loop.weights(), history[0])


def test_halves_are_averaged_in_float32(backend: Backend) -> None:
    module = nn.Linear(1, 1, bias=False)
    module.weight = ops.parameter(np.ones((1, 1), "float16"))
    averaging = EMAWeightAveraging(0.9999)
    averaging.update(module)
    ops.assign(module.weight, np.full((1, 1), 2.0))
    for _ in range(1000):  # each moves it by less than half of float16's spacing at 1
        averaging.update(module)
    with averaging.averaged_weights():
        assert float(ops.to_numpy(module.weight)[0, 0]) == pytest.approx(2 - 0.9999**1000, rel=1e-3)
    assert ops.dtype(module.weight) == "float16" and float(ops.to_numpy(module.weight)[0, 0]) == 2.0


def test_a_checkpoint_has_the_weights_that_were_validated(backend: Backend, tmp_path: Path) -> None:
    loop = Loop(sgd)
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", filename="best")
    trainer = FakeTrainer(checkpoint, EMAWeightAveraging(0.5), has_validation=True, module=loop.module).start()
    first, second = train(loop, trainer, 2)
    trainer.epoch(windows=0, validation={"val_loss": 1.0})
    assert_same(loop.weights(), second)
    loop.module.load_weights(checkpoint.best_model_path)
    assert_same(loop.weights(), [0.5 * a + 0.5 * b for a, b in zip(first, second, strict=True)], 1e-6)


@pytest.mark.parametrize("options", [{"decay": 1.0}, {"decay": -0.1}, {"update_every_n_steps": 0}])
def test_numbers_out_of_range_are_errors(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        EMAWeightAveraging(**options)


@pytest.mark.parametrize(("start", "first"), [(3, 2), (1, 0), (0.6, 2), (0.0, 0)])
def test_the_stochastic_average_is_the_mean_over_epochs(backend: Backend, start: float, first: int) -> None:
    loop = Loop(sgd)
    watch = Watch(loop)
    averaging = StochasticWeightAveraging(0.05, swa_epoch_start=start)
    trainer = FakeTrainer(averaging, watch, module=loop.module, max_epochs=5, optimizers=[loop.optimizer]).start()
    history = []
    for _ in range(5):
        trainer("on_train_epoch_start")
        history.append(train(loop, trainer, 2)[-1])
        trainer.validate()
        trainer("on_train_epoch_end")
        trainer.current_epoch += 1
    for seen, weights in zip(watch.seen, history, strict=True):
        assert_same(seen, weights)  # validation sees the weights
    trainer.end()
    assert_same(loop.weights(), [np.mean(w, axis=0) for w in zip(*history[first:], strict=True)], 1e-6)


@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_rates_anneal_as_torchs_swalr(strategy: Any, epochs: int) -> None:
    peer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.1}, {"params": [torch.zeros(1)], "lr": 0.3}])
    schedule = SWALR(peer, [0.01, 0.02], anneal_epochs=epochs, anneal_strategy=strategy)
    expected = []
    for _ in range(7):
        peer.step()
        expected.append([group["lr"] for group in peer.param_groups])
        schedule.step()
    if epochs == 0:
        # SWALR's constructor leaves the rate for the first epoch, although its annealing takes none
        expected = expected[1:]

    optimizer = optimizer_of("SGD", groups=2)
    optimizer.param_groups[1]["lr"] = 0.3
    averaging = StochasticWeightAveraging([0.01, 0.02], 3, epochs, strategy)
    trainer = FakeTrainer(averaging, module=nn.Linear(1, 1), max_epochs=9, optimizers=[optimizer]).start()
    found = []
    for _ in range(9):
        trainer("on_train_epoch_start")
        trainer.window()
        found.append(optimizer.rates())
        for group in optimizer.param_groups:
            group["lr"] *= 1 if trainer.current_epoch < 2 else 7  # another schedule, whose time is over
        trainer("on_train_epoch_end")
        trainer.current_epoch += 1
    assert found[:2] == [[0.1, 0.3]] * 2
    np.testing.assert_allclose(found[2:][: len(expected)], expected, rtol=1e-12)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a rate of 0": ({"swa_lrs": 0.0}, "swa_lrs"),
    "a part above 1": ({"swa_lrs": 0.1, "swa_epoch_start": 1.5}, "swa_epoch_start"),
    "an epoch 0": ({"swa_lrs": 0.1, "swa_epoch_start": 0}, "swa_epoch_start"),
    "less than no epochs": ({"swa_lrs": 0.1, "annealing_epochs": -1}, "annealing_epochs"),
    "another strategy": ({"swa_lrs": 0.1, "annealing_strategy": "exp"}, "annealing_strategy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_errors(mistake: str) -> None:
    options, name = MISTAKES[mistake]
    with pytest.raises(ConfigurationError, match=name):
        StochasticWeightAveraging(**options)


def test_mistakes_that_only_the_run_shows_are_errors_too() -> None:
    with pytest.raises(ConfigurationError, match="part of max_epochs"):
        FakeTrainer(StochasticWeightAveraging(0.1), max_epochs=None).start()
    with pytest.raises(ConfigurationError, match="ends after 5 epochs"):
        FakeTrainer(StochasticWeightAveraging(0.1, 7), max_epochs=5).start()
    trainer = FakeTrainer(StochasticWeightAveraging([0.1, 0.2], 1), optimizers=[optimizer_of("SGD")]).start()
    with pytest.raises(ConfigurationError, match="2 rates, and there are 1 parameter groups"):
        trainer("on_train_epoch_start")
