"""The exact gradient, in one window, in many that are chained, or recomputed from stored states: one number, and effects once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import optim
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Checkpointed, Fixed, cost
from tbptt.trainer.effects import Effects
from trainer.models import CharLM, tokens
from trainer.recurrences import (
    MATRIX,
    STEPS,
    Recurrence,
    check_close,
    closed_form,
    data,
    first_state,
    fit,
    full_gradient,
)

WINDOWS = [1, 7, STEPS]
SLOTS = [None, 1, 2, 3]


@pytest.mark.parametrize("loss", ["own mean", "noted mean", "sum"])
@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("window", WINDOWS)
def test_recomputation_gives_the_full_gradient(backend: Backend, window: int, slots: int | None, loss: str) -> None:
    if backend.name == "tensorflow" and (window, loss) not in {(7, "own mean"), (1, "noted mean"), (STEPS, "sum")}:
        return  # one loss for each window: what differs between them is the core's
    updates, _, trainer = fit(lambda: Recurrence(loss), Checkpointed(window, slots), [data()])
    assert trainer.global_step == 1
    check_close(updates.total(), full_gradient(loss), 1e-12)


@pytest.mark.parametrize(
    "schedule", [Fixed(STEPS), Fixed(3, STEPS + 1), Fixed(7, 30), Fixed(5, 2 * STEPS, offset=2)], ids=repr
)
def test_windows_that_reach_back_to_the_start_add_up_to_the_full_gradient(backend: Backend, schedule: Any) -> None:
    updates, _, trainer = fit(Recurrence, schedule, [data()])
    assert trainer.global_step == len(list(schedule.plan(STEPS)))
    check_close(updates.total(), full_gradient(), 1e-12)


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("window", [1, 4, 7, STEPS])
def test_as_many_steps_run_as_the_cost_says(window: int, slots: int | None) -> None:
    schedule = Checkpointed(window, slots)
    with tbptt.use_backend("torch"):
        _, module, _ = fit(lambda: Recurrence("noted mean"), schedule, [data()])
    assert sum(module.calls) == cost(schedule, STEPS)
    assert max(module.calls) == min(window, STEPS)


def test_the_burnt_in_steps_are_a_constant_start(backend: Backend) -> None:
    burnt = 5
    x, y = data()
    truth = closed_form(MATRIX, x, y, first_state(), losses=burnt, reach=burnt)
    updates, _, _ = fit(Recurrence, Checkpointed(4, 2, burn_in=burnt), [(x, y)])
    check_close(updates.total(), truth.gradient, 1e-12)


@pytest.mark.parametrize("schedule", [Checkpointed(7, 2), Checkpointed(30)], ids=repr)
@pytest.mark.parametrize("layer", ["lstm", "gru"])
def test_two_layers_with_dropout(backend: Backend, layer: str, schedule: Any) -> None:
    """Units are dropped as in one plain run: the masks depend on time, not on cuts."""

    def model() -> CharLM:
        return CharLM(layer=layer, width=5, dropout=0.3, optimizer=lambda p: optim.SGD(p, lr=0.0))

    full, _, _ = fit(model, STEPS, [tokens(2, STEPS)])
    updates, _, _ = fit(model, schedule, [tokens(2, STEPS)])
    check_close(updates.total(), full.total(), 1e-11)


def test_the_same_in_compiled_programs() -> None:
    with tbptt.use_backend("tensorflow"):
        updates, _, _ = fit(lambda: Recurrence("own mean"), Checkpointed(4, 2), [data(steps=12)], compile="auto")
    check_close(updates.total(), full_gradient("own mean", steps=12), 1e-12)


# ------------------------------------------------------------------------------------------------ effects happen once


@pytest.mark.parametrize(
    "schedule", [Checkpointed(4, 1), Checkpointed(1), Fixed(3, 7), Fixed(7, 3), ARTBP(4, seed=0)], ids=repr
)
def test_what_is_logged_counts_every_step_once(backend: Backend, schedule: Any) -> None:
    _, _, trainer = fit(Recurrence, schedule, [data()])
    np.testing.assert_allclose(trainer.callback_metrics["x"], data()[0].mean(), rtol=1e-12)


class TorchParts(tbptt.Module):
    """A recurrence between torch's own modules that change something besides: running statistics, and a generator."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.dropout = torch.nn.BatchNorm1d(4).double(), torch.nn.Dropout(0.4)
        self.into, self.rnn = torch.nn.Linear(1, 4).double(), torch.nn.GRU(4, 3, batch_first=True).double()

    def loss(self, x: Any, y: Any, state: Any) -> Any:
        inputs = self.norm(self.into(x[..., None]).transpose(1, 2)).transpose(1, 2)
        outputs, state = self.rnn(self.dropout(inputs), state)
        return torch.sum((outputs - y) ** 2), state

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x, y = batch
        return self.loss(x, y, hiddens)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)

    def native(self) -> list[Any]:
        return [parameter for part in (self.norm, self.into, self.rnn) for parameter in part.parameters()]


def torch_windows(model: TorchParts, window: int) -> Any:
    """Windows in torch's own way, without a cut: gradients by parameter, and the generator's state."""
    x, y = map(torch.tensor, data())
    state, total = None, torch.zeros((), dtype=torch.float64)
    for begin in range(0, STEPS, window):
        loss, state = model.loss(x[:, begin : begin + window], y[:, begin : begin + window], state)
        total = total + loss
    return torch.autograd.grad(total, model.native()), torch.get_rng_state()


def check_effects(window: int, slots: int | None) -> None:
    with tbptt.use_backend("torch"):
        plain = TorchParts()
        torch.manual_seed(5)
        gradients, after = torch_windows(plain, window)

        module = TorchParts()
        found: list[Any] = []

        class Look(tbptt.Callback):
            def on_train_start(self, trainer: Any, module: Any) -> None:
                torch.manual_seed(5)

            def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any, optimizer_idx: int) -> None:
                by_identity = dict(zip(map(id, optimizer.parameters), optimizer.gradients, strict=True))
                found.extend(by_identity[id(parameter)].clone() for parameter in module.native())

        # the loss says nothing about what it is a mean over: whether it is a sum is found out, and leaves nothing behind
        fit(lambda: module, Checkpointed(window, slots), [data()], callbacks=[Look()])
    assert torch.equal(torch.get_rng_state(), after), "the generator stands elsewhere"
    for name, buffer in plain.norm.named_buffers():
        np.testing.assert_allclose(dict(module.norm.named_buffers())[name], buffer, rtol=1e-14, err_msg=name)
    assert int(dict(module.norm.named_buffers())["num_batches_tracked"]) == math.ceil(STEPS / window)
    scale = max(float(gradient.abs().max()) for gradient in gradients)
    for one, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("window", [2, 7, STEPS])
def test_running_statistics_and_torchs_dropout_are_those_of_one_plain_pass(window: int, slots: int | None) -> None:
    check_effects(window, slots)


def test_effects_that_are_not_put_back_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Effects, "restore", lambda self, saved: None)
    with pytest.raises(AssertionError, match="the generator stands elsewhere"):
        check_effects(7, 2)


def test_statistics_of_an_overlap_count_once() -> None:
    """Fixed(4, 8): after the last window the statistics are those of windows of four steps."""
    with tbptt.use_backend("torch"):
        plain, module = TorchParts(), TorchParts()
        torch_windows(plain, 4)
        fit(lambda: module, Fixed(4, 8), [data()])
    for (name, expected), (_, buffer) in zip(plain.norm.named_buffers(), module.norm.named_buffers(), strict=True):
        np.testing.assert_allclose(buffer, expected, rtol=1e-13, err_msg=name)
