"""What `configure_optimizers` may return: each form trains what it names, and every window uses the rate its scheduler says."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import ops, optim
from tbptt.errors import ConfigurationError
from tbptt.optim.lr_scheduler import ExponentialLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from tbptt.protocols import Backend
from trainer.slopes import Slope, batches, descend

RATE, GAMMA = 0.5, 0.9
EPOCH = 6  # windows: two batches of three


def first(model: Any, lr: float = RATE) -> optim.SGD:
    return optim.SGD([model.first], lr=lr)


def second(model: Any, lr: float = 0.25) -> optim.SGD:
    return optim.SGD([model.second], lr=lr)


def fall(optimizer: Any) -> LRScheduler:
    return ExponentialLR(optimizer, GAMMA)


def by_window(optimizer: Any, **more: Any) -> dict[str, Any]:
    return {"scheduler": fall(optimizer), "interval": "window", **more}


def constant(rate: float) -> np.ndarray:
    return np.full(2 * EPOCH, rate)


def every(windows: int, rate: float = RATE) -> np.ndarray:
    """rate · γ^⌊n / windows⌋ of the windows of two epochs."""
    return rate * GAMMA ** (np.arange(2 * EPOCH) // windows)


def with_schedulers(model: Any) -> Any:
    a, b = first(model), second(model)
    return [a, b], [by_window(b), fall(a)]  # in an order of their own: a scheduler knows whose it is


def one_dict(model: Any) -> Any:
    a = first(model)
    return {"optimizer": a, "lr_scheduler": fall(a)}


def several_schedulers(model: Any) -> Any:
    a = first(model)
    return {"optimizer": a, "lr_scheduler": [by_window(a), fall(a)]}


def dicts(model: Any) -> Any:
    a, b = first(model), second(model)
    return [{"optimizer": a}, {"optimizer": b, "lr_scheduler": by_window(b, frequency=2)}]


def mixed(model: Any) -> Any:
    b = second(model)
    return first(model), {"optimizer": b, "lr_scheduler": fall(b)}


ZERO = constant(0.0)
FORMS: dict[str, tuple[Callable[[Any], Any], np.ndarray, np.ndarray]] = {
    "one": (first, constant(RATE), ZERO),
    "a list of one": (lambda m: [first(m)], constant(RATE), ZERO),
    "a list": (lambda m: [first(m), second(m)], constant(RATE), constant(0.25)),
    "a tuple": (lambda m: (first(m), second(m)), constant(RATE), constant(0.25)),
    "optimizers and no schedulers": (lambda m: ([first(m), second(m)], []), constant(RATE), constant(0.25)),
    "optimizers and schedulers": (with_schedulers, every(EPOCH), every(1, 0.25)),
    "a dict": (one_dict, every(EPOCH), ZERO),
    "a dict with several schedulers": (several_schedulers, every(1) * GAMMA ** (np.arange(12) // EPOCH), ZERO),
    "a list of dicts": (dicts, constant(RATE), every(2, 0.25)),
    "an optimizer and a dict": (mixed, constant(RATE), every(EPOCH, 0.25)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_trains_what_it_names_at_the_rate_it_says(backend: Backend, form: str) -> None:
    configure, *expected = FORMS[form]
    taken, trainer, _ = descend(lambda: Slope(configure), max_epochs=2)
    np.testing.assert_allclose(taken, np.stack(expected, 1), rtol=1e-12, atol=1e-15)
    assert trainer.global_step == 2 * EPOCH * sum(bool(column.any()) for column in expected)


@pytest.mark.parametrize(
    "interval, frequency, windows",
    [("window", 1, 1), ("step", 1, 1), ("window", 4, 4), ("batch", 1, 3), ("batch", 3, 9), ("epoch", 1, 6), ("epoch", 2, 12)],
)  # fmt: skip
def test_the_interval_and_frequency_of_a_scheduler(
    backend: Backend, interval: str, frequency: int, windows: int
) -> None:
    def configure(model: Any) -> Any:
        a = first(model)
        scheduler = {"scheduler": fall(a), "interval": interval, "frequency": frequency, "name": "falling"}
        return {"optimizer": a, "lr_scheduler": scheduler}

    taken, _, _ = descend(lambda: Slope(configure), max_epochs=3)
    np.testing.assert_allclose(taken[:, 0], RATE * GAMMA ** (np.arange(3 * EPOCH) // windows), rtol=1e-12)


def test_while_gradients_accumulate_a_scheduler_by_window_counts_updates(backend: Backend) -> None:
    def configure(model: Any) -> Any:
        a = first(model)
        return [a], [by_window(a)]

    taken, trainer, _ = descend(lambda: Slope(configure), max_epochs=2, accumulate_grad_windows=2)
    expected = np.zeros(12)
    expected[1::2] = RATE * GAMMA ** np.arange(6)
    np.testing.assert_allclose(taken[:, 0], expected, rtol=1e-12, atol=1e-15)
    assert trainer.global_step == 6


def test_one_cycle_by_window_in_the_compiled_step(backend: Backend) -> None:
    """Cosine from max/25 up to max over 0.3 of the steps, and down to max/25e4; new rates are no new traces."""
    total, top = 12, 0.4

    def configure(model: Any) -> Any:
        a = first(model)
        return {"optimizer": a, "lr_scheduler": {"scheduler": OneCycleLR(a, top, total), "interval": "window"}}

    taken, trainer, _ = descend(lambda: Slope(configure), max_epochs=2, compile="auto")

    def between(start: float, end: float, share: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    summit = 0.3 * total - 1
    expected = [
        between(top / 25, top, n / summit)
        if n <= summit
        else between(top, top / 25e4, (n - summit) / (total - 1 - summit))
        for n in range(total)
    ]
    np.testing.assert_allclose(taken[:, 0], expected, rtol=1e-12, atol=1e-15)
    assert trainer.train_step.compiled.traces <= 2


class Scored(Slope):
    """Logs a score a window, a batch or an epoch, from a list."""

    def __init__(self, scores: list[float], interval: str, **settings: Any) -> None:
        super().__init__(self.with_plateau)
        self.scores, self.interval, self.settings = list(scores), interval, settings

    def with_plateau(self, _: Any) -> Any:
        a = first(self)
        plateau = ReduceLROnPlateau(a, factor=0.5, patience=0)
        scheduler = {"scheduler": plateau, "interval": self.interval, "monitor": "score", **self.settings}
        return {"optimizer": a, "lr_scheduler": scheduler}

    def say(self, moment: str) -> None:
        if self.interval == moment:
            self.log("score", self.scores.pop(0), on_step=True, on_epoch=False)

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        self.say("window")
        return super().training_step(batch, batch_idx, hiddens)

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.say("batch")

    def on_train_epoch_end(self) -> None:
        self.say("epoch")


@pytest.mark.parametrize("interval, windows", [("window", 1), ("batch", 3), ("epoch", 6)])
def test_a_plateau_is_found_in_what_it_monitors(backend: Backend, interval: str, windows: int) -> None:
    """Peer: torch's own scheduler, fed the same scores. The score of a window counts for the next window's rate."""
    scores = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 0.5, 0.7, 0.7, 0.1, 0.2, 0.3]
    count = 2 * EPOCH // windows
    peer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(peer, factor=0.5, patience=0)
    expected = []
    for score in scores[:count]:
        expected += [peer.param_groups[0]["lr"]] * windows
        plateau.step(score)
    taken, _, _ = descend(lambda: Scored(scores[:count], interval), max_epochs=2)
    np.testing.assert_allclose(taken[:, 0], expected, rtol=1e-12)


def test_a_plateau_of_the_validation_loss(backend: Backend) -> None:
    """The loss grows by one with every epoch, so the rate halves after every epoch but the first."""

    class Worse(Slope):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", 1.0 + self.current_epoch)

    def configure(model: Any) -> Any:
        a = first(model)
        return {"optimizer": a, "lr_scheduler": ReduceLROnPlateau(a, factor=0.5, patience=0), "monitor": "val_loss"}

    class WithData(Worse):
        def val_dataloader(self) -> Any:
            return batches(1)

    taken, _, _ = descend(lambda: WithData(configure), max_epochs=4)
    np.testing.assert_allclose(taken[::EPOCH, 0], [0.5, 0.5, 0.25, 0.125], rtol=1e-12)


class Missing(Scored):
    """Follows what nobody logs, and does not mind."""

    def __init__(self) -> None:
        super().__init__([], "epoch", strict=False)

    def say(self, moment: str) -> None:
        """Nothing."""


def test_a_monitored_value_may_be_missing_where_the_scheduler_is_not_strict(backend: Backend) -> None:
    taken, _, _ = descend(Missing, max_epochs=2)
    np.testing.assert_allclose(taken[:, 0], RATE, rtol=1e-12)


class Halving:
    """A scheduler of the user's own: all it has is ``step``."""

    def __init__(self, optimizer: Any) -> None:
        self._mine = optimizer

    def step(self, value: float | None = None) -> None:
        self._mine.lr = self._mine.lr / 2 if value is None else value


def test_a_scheduler_of_ones_own_belongs_to_the_optimizer_it_came_with(backend: Backend) -> None:
    """Optimizers take turns by batch, and a scheduler counts the batches of its own optimizer."""

    def configure(model: Any) -> Any:
        a, b = first(model), second(model, RATE)
        return [
            {"optimizer": a, "frequency": 2},
            {"optimizer": b, "frequency": 1, "lr_scheduler": {"scheduler": Halving(b), "interval": "batch"}},
        ]

    taken, _, _ = descend(lambda: Slope(configure), batches(6, 2))
    np.testing.assert_allclose(taken[:, 0], [0.5, 0.5, 0, 0.5, 0.5, 0], atol=1e-15)
    np.testing.assert_allclose(taken[:, 1], [0, 0, 0.5, 0, 0, 0.25], atol=1e-15)


def test_a_scheduler_of_ones_own_is_given_what_it_monitors_if_it_says_so(backend: Backend) -> None:
    """The value logged in a window is the next window's rate: 0, 1, 2 windows seen."""

    def configure(model: Any) -> Any:
        a = first(model)
        own = {"scheduler": Halving(a), "interval": "window", "monitor": "level", "reduce_on_plateau": True}
        return {"optimizer": a, "lr_scheduler": own}

    taken, _, _ = descend(lambda: Slope(configure), batches(1, 8))
    np.testing.assert_allclose(taken[:, 0], [0.5, 0.0, 1.0, 2.0], atol=1e-15)


def test_lr_scheduler_step_decides_how_a_scheduler_steps(backend: Backend) -> None:
    seen: list[Any] = []

    class Twice(Slope):
        def lr_scheduler_step(self, scheduler: Any, optimizer_idx: int, metric: Any) -> None:
            seen.append((type(scheduler).__name__, optimizer_idx, metric))
            super().lr_scheduler_step(scheduler, optimizer_idx, metric)
            super().lr_scheduler_step(scheduler, optimizer_idx, metric)

    class Newer(Slope):
        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:  # type: ignore[override]
            seen.append(metric)
            scheduler.step(metric)

    def configure(model: Any) -> Any:
        b = second(model)
        return [first(model), b], [by_window(b)]

    taken, _, _ = descend(lambda: Twice(configure), max_epochs=2)
    np.testing.assert_allclose(taken[:, 1], 0.25 * GAMMA ** (2 * np.arange(12)), rtol=1e-12)
    assert seen == [("ExponentialLR", 1, None)] * 12
    seen.clear()
    plateau = {"interval": "window", "monitor": "level"}
    descend(lambda: Newer(lambda m: [a := first(m)] and ([a], [{"scheduler": ReduceLROnPlateau(a), **plateau}])))
    assert seen == [0.0, 1.0, 2.0] * 2  # the state is new with every batch


@pytest.mark.parametrize(
    "frequencies, message",
    [((1, None), "every optimizer needs"), ((0, 0), "every optimizer needs"), ((1.5, 1), "every optimizer needs")],
)
def test_frequencies_are_whole_and_given_to_all_optimizers(backend: Backend, frequencies: Any, message: str) -> None:
    def configure(model: Any) -> Any:
        made = (first(model), second(model))
        pairs = zip(made, frequencies, strict=True)
        return [{"optimizer": o, **({} if n is None else {"frequency": n})} for o, n in pairs]

    with pytest.raises(ConfigurationError, match=message):
        descend(lambda: Slope(configure))


# ------------------------------------------------------------------------------------------------ several optimizers


class Product(Slope):
    """loss = first · second; the state tells which optimizer made it: 1 for the first, 100 for the second."""

    def __init__(self) -> None:
        super().__init__(lambda model: (first(model, 0.1), second(model, 0.1)))
        self.entered: list[tuple[int, float]] = []
        for parameter, value in ((self.first, 2.0), (self.second, 3.0)):
            self.backend.tensors.assign(parameter, np.array([value]))

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int, hiddens: Any) -> Any:  # type: ignore[override]
        seen = ops.zeros_like(batch[:, 0]) if hiddens is None else hiddens
        loss = ops.sum(self.first * self.second)
        self.log("entered", ops.mean(seen))
        return {"loss": loss, "hiddens": seen + (1.0, 100.0)[optimizer_idx], "entered": ops.mean(seen)}

    def training_epoch_end(self, outputs: Any) -> None:
        self.outputs = outputs


@pytest.mark.parametrize("compile", ["auto", False])
def test_optimizers_see_one_state_and_the_last_one_carries_its_own_on(backend: Backend, compile: bool | str) -> None:
    _, _, model = descend(Product, compile=compile)
    entered = [[[float(o["entered"]) for o in window] for window in batch] for batch in model.outputs]
    assert entered == [[[0.0, 0.0], [100.0, 100.0], [200.0, 200.0]]] * 2


@pytest.mark.parametrize("compile", ["auto", False])
def test_an_optimizer_changes_its_own_parameters_alone_and_the_next_one_sees_them(
    backend: Backend, compile: bool | str
) -> None:
    """first −= 0.1 · second, then second −= 0.1 · first with the first as it is now; losses accordingly."""
    taken, _, model = descend(Product, compile=compile)
    a, b = 2.0, 3.0
    expected, losses = [], []
    for _ in range(EPOCH):
        losses.append([a * b, (a - 0.1 * b) * b])
        expected.append([0.1 * b, 0.1 * (a - 0.1 * b)])
        a, b = a - expected[-1][0], b - expected[-1][1]
    np.testing.assert_allclose(taken, expected, rtol=1e-11)
    found = [[float(o["loss"]) for o in window] for batch in model.outputs for window in batch]
    np.testing.assert_allclose(found, losses, rtol=1e-12)


# ------------------------------------------------------------------------------------------------ outputs


class Kept(Slope):
    def training_epoch_end(self, outputs: Any) -> None:
        self.outputs = outputs


def test_outputs_are_nested_by_batch_and_window_where_there_are_windows(backend: Backend) -> None:
    _, _, model = descend(lambda: Kept(first))
    assert [[sorted(window) for window in batch] for batch in model.outputs] == [[["loss", "seen"]] * 3] * 2
    seen = [[float(ops.mean(window["seen"])) for window in batch] for batch in model.outputs]
    assert seen == [[0.0, 1.0, 2.0]] * 2
    losses = [float(window["loss"]) for batch in model.outputs for window in batch]
    np.testing.assert_allclose(losses, -RATE * np.arange(6), rtol=1e-12, atol=1e-15)
    _, _, model = descend(lambda: Kept(first), truncated_bptt_steps=None)
    assert [sorted(batch) for batch in model.outputs] == [["loss", "seen"]] * 2


def test_outputs_are_kept_only_for_the_hook(backend: Backend) -> None:
    """Without training_epoch_end at most the window at hand is alive at the end of an epoch."""
    counts = []

    class Watch(tbptt.Callback):
        def __init__(self) -> None:
            self.made: list[Any] = []

        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            self.made.append(weakref.ref(outputs["seen"]))

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            gc.collect()
            counts.append(sum(reference() is not None for reference in self.made))

    for model in (Slope, Kept):
        descend(lambda model=model: model(first), callbacks=[Watch()])
    assert counts[0] <= 1
    assert counts[1] == EPOCH
