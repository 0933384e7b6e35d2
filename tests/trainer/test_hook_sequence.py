"""The sequence of hooks, recorded: one file for both engines, compiled or not; and that hooks do not change the numbers."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import ops, optim
from tbptt.callbacks import EarlyStopping
from tbptt.dtypes import dtype_scope
from tbptt.protocols import Backend
from tbptt.schedules import Fixed
from trainer.recording import Plain, Trace, data, golden, without_steps


class TwoOptimizers(Plain):
    """One optimizer for the recurrence, one for the head."""

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int, hiddens: Any) -> Any:  # type: ignore[override]
        return self.loss(batch, hiddens)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.rnn.parameters(), lr=1e-2), optim.Adam(self.head.parameters(), lr=1e-2)


class ByHand(Plain):
    """Manual optimization: three windows inside one step."""

    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
        optimizer, hiddens = self.optimizers(), None
        for window in tbptt.windows(batch, 2):
            loss, hiddens = self.loss(window, hiddens)
            hiddens = tbptt.detach(hiddens)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()


class Failing(Plain):
    """Breaks in the second window."""

    def on_window_start(self, window: Any, window_idx: int) -> None:
        super().on_window_start(window, window_idx)
        if window_idx == 1:
            raise RuntimeError("in the middle")


SCENARIOS: dict[str, tuple[type, dict[str, Any], bool]] = {
    "plain_fit": (Plain, {}, True),
    "validation_twice_an_epoch": (Plain, {"val_check_interval": 0.5, "max_epochs": 2, "num_sanity_val_steps": 0}, True),
    "accumulation": (Plain, {"accumulate_grad_batches": 2}, False),
    "two_optimizers": (TwoOptimizers, {}, False),
    "manual": (ByHand, {}, False),
    "exception": (Failing, {}, False),
    "overlapping_windows": (Plain, {"truncated_bptt_steps": Fixed(2, 4)}, False),
    "early_stop": (
        Plain,
        {"max_epochs": 9, "num_sanity_val_steps": 0, "stopping": {"monitor": "val_loss", "patience": 1, "min_delta": 100.0}}, True,
    ),
}  # fmt: skip


def record(name: str, compile: bool | str) -> list[str]:
    base, options, validates = SCENARIOS[name]
    trace = Trace(boundary=name == "overlapping_windows")
    model = trace.module(base)
    options = {"max_epochs": 1, "truncated_bptt_steps": 3, **options}
    stopping = options.pop("stopping", None)
    options["callbacks"] = [trace.callback(), *([EarlyStopping(**stopping)] if stopping else [])]
    trainer = tbptt.Trainer(
        **options, compile=compile, enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0
    )
    with contextlib.suppress(RuntimeError):
        trainer.fit(model, data(), data(1, seed=1) if validates else None)
    return trace.lines


@pytest.mark.parametrize("compile", ["auto", False])
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_sequence_is_the_golden_one(backend: Backend, name: str, compile: bool | str) -> None:
    lines = record(name, compile)
    compiles = backend.compilation.compile(record, compile, name).bakes_numbers and name != "manual"
    assert (without_steps(lines) if compiles else lines) == golden(name, compiles)


@pytest.mark.parametrize("stage", ["validation", "test", "predict"])
def test_test_and_predict_follow_the_order_of_validation(backend: Backend, stage: str) -> None:
    trace = Trace()
    model = trace.module(Plain)
    trainer = tbptt.Trainer(
        1, truncated_bptt_steps=3, callbacks=trace.callback(), enable_progress_bar=False, compile=False
    )
    verb = {"validation": "validate"}.get(stage, stage)
    getattr(trainer, verb)(model, data(1))
    expected = [
        line.replace('"validate"', f'"{verb}"').replace("validation", stage)
        for line in golden("validate", False)
        if stage != "predict"
        or line.split()[-1] != "validation_epoch_end"  # predictions are the answer, not a hook's argument
    ]
    assert trace.lines == expected


class Hooked(Plain):
    """Overrides the hooks inside a window's step, and changes nothing."""

    def on_before_zero_grad(self, optimizer: Any) -> None:
        pass

    def on_before_backward(self, loss: Any) -> None:
        pass

    def on_after_backward(self) -> None:
        assert self.trainer.optimizer_in_turn.gradients is not None


class HookedAfterTheGradient(Plain):
    def on_after_backward(self) -> None:
        pass

    def on_before_optimizer_step(self, optimizer: Any, optimizer_idx: int) -> None:
        pass

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any
    ) -> None:
        optimizer.step(closure=optimizer_closure)


def losses_of(model: type, **options: Any) -> tuple[list[float], list[np.ndarray]]:
    found: list[float] = []

    class Losses(tbptt.Callback):
        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            found.append(float(outputs["loss"]))

    with dtype_scope("float64"):
        tbptt.seed_everything(0)
        module = model()
    trainer = tbptt.Trainer(
        **{"max_epochs": 3, "truncated_bptt_steps": 2, "gradient_clip_val": 0.5, "callbacks": Losses(), **options},
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data(3))
    return found, [np.array(ops.to_numpy(value)) for value in module.parameters()]


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_hooks_after_the_gradient_do_not_change_a_bit(backend: Backend, algorithm: str) -> None:
    (bare, before), (hooked, after) = (
        losses_of(model, gradient_clip_algorithm=algorithm) for model in (Plain, HookedAfterTheGradient)
    )
    assert bare == hooked
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert bare[-1] < bare[0]


def test_hooks_before_the_gradient_keep_the_numbers(backend: Backend) -> None:
    bare, hooked = losses_of(Plain)[0], losses_of(Hooked)[0]
    np.testing.assert_allclose(bare, hooked, rtol=0, atol=1e-12)


def test_all_hooks_overridden_keep_the_numbers(backend: Backend) -> None:
    bare = losses_of(Plain)[0]
    hooked = losses_of(lambda: Trace().module(Plain))[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(bare, hooked, rtol=0, atol=1e-12)
