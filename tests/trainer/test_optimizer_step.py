"""The hooks between a window's gradient and its update: chosen intervals, warm-up, closures, clipping, line searches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops, optim
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend
from tbptt.testing.oracles import optimizers as oracles
from trainer.slopes import Slope, batches, descend

RATE = 0.5


def both(model: Any) -> Any:
    return optim.SGD([model.first, model.second], lr=RATE)


def one_each(model: Any) -> Any:
    return optim.SGD([model.first], lr=RATE), optim.SGD([model.second], lr=RATE)


def native(backend: Backend, model: Any) -> Any:
    """Descent by the engine's own optimizer."""
    if backend.name == "torch":
        return torch.optim.SGD([model.first, model.second], lr=RATE)
    import keras

    return keras.optimizers.SGD(RATE)


# ------------------------------------------------------------------------------------------------ optimizer_step


@pytest.mark.parametrize("compile", ["auto", False])
def test_one_optimizer_every_second_batch_and_the_other_every_fourth(backend: Backend, compile: bool | str) -> None:
    class Intervals(Slope):
        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any
        ) -> None:
            if (batch_idx + 1) % (2, 4)[optimizer_idx] == 0:
                optimizer.step(closure=optimizer_closure)

    taken, trainer, _ = descend(
        lambda: Intervals(one_each), batches(8), truncated_bptt_steps=3, compile=compile, max_epochs=2
    )
    by_batch = taken.reshape(2, 8, 2, 2)  # epoch, batch, window, optimizer
    expected = np.zeros((2, 8, 2, 2))
    expected[:, 1::2, :, 0] = expected[:, 3::4, :, 1] = RATE
    np.testing.assert_allclose(by_batch, expected, atol=1e-13)
    assert trainer.global_step == 2 * (8 + 4)


@pytest.mark.parametrize("kind", ["ours", "native"])
def test_warm_up_by_overriding_optimizer_step(backend: Backend, kind: str) -> None:
    """Lightning 2.x's signature: rate(n) = RATE · min(1, (n + 1) / 5)."""

    class WarmUp(Slope):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any) -> None:  # type: ignore[override]
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (self.trainer.global_step + 1) / 5)
            optimizer.step(closure=optimizer_closure)

    configure = both if kind == "ours" else lambda model: native(backend, model)
    taken, _, _ = descend(lambda: WarmUp(configure), batches(2, 8), compile="auto")
    expected = RATE * np.minimum(1.0, np.arange(1, 9) / 5)
    # Keras keeps a rate in float32
    np.testing.assert_allclose(taken, np.stack([expected] * 2, 1), rtol=1e-12 if kind == "ours" else 1e-6)


def test_accumulation_steps_once_for_all_its_windows(backend: Backend) -> None:
    seen = []

    class Watch(Slope):
        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any
        ) -> None:
            loss = optimizer.step(closure=optimizer_closure)
            seen.append((epoch, batch_idx, optimizer_idx, float(loss)))

    taken, trainer, _ = descend(lambda: Watch(both), batches(3), accumulate_grad_batches=2)
    expected = np.zeros(9)
    expected[[5, 8]] = RATE  # what is left at the end of the epoch makes an update too
    np.testing.assert_allclose(taken[:, 0], expected, atol=1e-15)
    assert seen == [(0, 1, 0, 0.0), (0, 2, 0, -2 * RATE)]
    assert trainer.global_step == 2


# ------------------------------------------------------------------------------------------------ closures


class Parabola(tbptt.Module):
    """loss = ½·(w − 3)², gradient w − 3, from w = 0; it writes down how often it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.zeros(1))
        self.runs = 0
        self.notes: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.runs += 1
        loss = ops.sum(ops.square(self.weight - 3.0)) * 0.5
        self.log("loss", loss, on_epoch=True, reduce_fx="sum")
        return loss

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.1)


def parabola(w: float) -> float:
    return 0.5 * (w - 3.0) ** 2


def value(tensor: Any) -> float:
    return float(ops.to_numpy(tensor).reshape(-1)[0])


def run(model: Any, count: int = 1, **options: Any) -> tbptt.Trainer:
    trainer = tbptt.Trainer(
        **{"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False, "compile": False, **options}
    )
    trainer.fit(model, batches(count))
    return trainer


@pytest.mark.parametrize("compile", ["auto", False])
def test_a_closure_answers_with_the_loss_there_is_and_then_computes_it_anew(
    backend: Backend, compile: bool | str
) -> None:
    class Twice(Parabola):
        def on_after_backward(self) -> None:
            self.log("passes", 1.0, on_epoch=True, reduce_fx="sum")

        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any
        ) -> None:
            for _ in range(2):
                loss = optimizer_closure()
                self.notes.append((value(self.weight), value(loss), value(optimizer.gradients[0])))
                optimizer.step()

    with tbptt.dtypes.dtype_scope("float64"):
        model = Twice()
    trainer = run(model, 2, compile=compile)
    w, expected = 0.0, []
    for _ in range(4):
        expected.append((w, parabola(w), w - 3.0))
        w -= 0.1 * (w - 3.0)
    np.testing.assert_allclose(model.notes, expected, rtol=1e-12)
    np.testing.assert_allclose(value(model.weight), w, rtol=1e-12)
    assert trainer.global_step == 4
    # what a recomputed pass logs, in the step or in a hook, is not kept
    assert trainer.callback_metrics["passes_epoch"] == 2.0
    np.testing.assert_allclose(trainer.callback_metrics["loss_epoch"], expected[0][1] + expected[2][1], rtol=1e-12)
    if not compile:
        assert model.runs == 4


def test_a_recomputed_pass_goes_through_the_modules_hooks(backend: Backend) -> None:
    """Twice the loss, gradients plus one, bound 4 by value: −6 + 1 → −4 at w = 0; then −5.2 + 1 → −4 at w = 0.4."""

    class Hooked(Parabola):
        def backward(self, loss: Any, optimizer: Any = None, optimizer_idx: Any = None) -> None:
            super().backward(loss * 2.0)

        def on_after_backward(self) -> None:
            optimizer = self.trainer.optimizer_in_turn
            optimizer.gradients = [gradient + 1.0 for gradient in optimizer.gradients]

        def configure_gradient_clipping(
            self, optimizer: Any, optimizer_idx: int, gradient_clip_val: Any, gradient_clip_algorithm: Any
        ) -> None:
            self.notes.append(value(optimizer.gradients[0]))
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any
        ) -> None:
            optimizer.step(optimizer_closure)
            optimizer.step(optimizer_closure)

    watched = []

    class Watch(tbptt.Callback):
        def on_after_backward(self, trainer: Any, module: Any) -> None:
            watched.append(1)

    with tbptt.dtypes.dtype_scope("float64"):
        model = Hooked()
    run(model, gradient_clip_val=4.0, gradient_clip_algorithm="value", callbacks=[Watch()])
    np.testing.assert_allclose(model.notes, [-5.0, -4.2], rtol=1e-12)
    np.testing.assert_allclose(value(model.weight), 0.8, rtol=1e-12)
    assert watched == [1]  # callbacks watch the passes of the run, not those of a search


# ------------------------------------------------------------------------------------------------ line search


class Quadratic(tbptt.Module):
    """½ wᵀA w − bᵀw with a badly scaled A; the minimum is A⁻¹b."""

    A, b = np.array([[10.0, 1.0], [1.0, 0.5]]), np.array([1.0, -2.0])

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.zeros(2))
        self.make, self.runs = make, 0

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.runs += 1
        w = self.weight
        loss = ops.sum(ops.multiply(w, ops.matmul(ops.asarray(self.A), w))) * 0.5 - ops.sum(ops.asarray(self.b) * w)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        return self.make(self.parameters())


@pytest.mark.parametrize("overridden", [False, True])
def test_lbfgs_finds_the_minimum_of_a_quadratic(overridden: bool) -> None:
    class Stepping(Quadratic):
        def optimizer_step(
            self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any
        ) -> None:
            optimizer.step(closure=optimizer_closure)

    with tbptt.use_backend("torch"), tbptt.dtypes.dtype_scope("float64"):
        model = (Stepping if overridden else Quadratic)(
            lambda p: torch.optim.LBFGS(
                p, max_iter=5, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=1e-14
            )
        )
    trainer = run(model, 4)
    np.testing.assert_allclose(ops.to_numpy(model.weight), np.linalg.solve(model.A, model.b), rtol=1e-8)
    assert trainer.global_step == 4
    assert model.runs > 8


class Looking(torch.optim.Optimizer):
    """Evaluates three times without moving, and writes down the gradients it finds."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 1.0})
        self.found: list[np.ndarray] = []

    def step(self, closure: Any) -> Any:  # type: ignore[override]
        for _ in range(3):
            loss = closure()
            self.found.append(self.param_groups[0]["params"][0].grad.numpy().copy())
        return loss


def test_every_gradient_of_a_line_search_is_clipped() -> None:
    made: list[Looking] = []
    with tbptt.use_backend("torch"), tbptt.dtypes.dtype_scope("float64"):
        model = Quadratic(lambda p: made.append(Looking(p)) or made[-1])
    run(model, gradient_clip_val=0.1)
    expected = -Quadratic.b * 0.1 / np.linalg.norm(Quadratic.b)
    np.testing.assert_allclose(made[0].found, [expected] * 3, rtol=1e-5)


def test_a_line_search_over_an_accumulation_is_refused() -> None:
    with tbptt.use_backend("torch"):
        model = Quadratic(lambda p: torch.optim.LBFGS(p))
    with pytest.raises(ConfigurationError, match="LBFGS computes the loss again"):
        run(model, 2, accumulate_grad_batches=2)


# ------------------------------------------------------------------------------------------------ clipping


def test_configure_gradient_clipping_decides_how_gradients_are_clipped(backend: Backend) -> None:
    received = []

    class Own(Slope):
        def configure_gradient_clipping(
            self, optimizer: Any, optimizer_idx: int, gradient_clip_val: Any, gradient_clip_algorithm: Any
        ) -> None:
            received.append((optimizer_idx, gradient_clip_val, gradient_clip_algorithm))
            if optimizer_idx == 1:
                self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="value")

    taken, _, _ = descend(lambda: Own(one_each), batches(1), gradient_clip_val=0.25)
    np.testing.assert_allclose(taken, [[RATE, 0.5 * RATE]] * 3, rtol=1e-12)  # the first one's hook clips nothing
    assert received == [(0, 0.25, "norm"), (1, 0.25, "norm")] * 3


def test_configure_gradient_clipping_with_the_signature_of_lightning_2(backend: Backend) -> None:
    class Own(Slope):
        def configure_gradient_clipping(  # type: ignore[override]
            self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
        ) -> None:
            self.clip_gradients(
                optimizer, gradient_clip_val=gradient_clip_val, gradient_clip_algorithm=gradient_clip_algorithm
            )

    taken, _, _ = descend(lambda: Own(both), batches(1), gradient_clip_val=0.25, gradient_clip_algorithm="value")
    np.testing.assert_allclose(taken, np.full((3, 2), 0.25 * RATE), rtol=1e-12)


# ------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("hook", ["on_after_backward", "on_before_optimizer_step", "a callback"])
def test_hooks_see_and_replace_gradients(backend: Backend, hook: str) -> None:
    """Adam with the gradients a hook put there, against the oracle; None leaves a parameter alone."""
    wanted = [np.array([g]) for g in (0.3, -2.0, 1e-3)]
    seen, given = [], iter(wanted)

    def replace(optimizer: Any) -> None:
        seen.append([value(g) for g in optimizer.gradients])
        optimizer.gradients = [ops.asarray(next(given)), None]

    class AfterBackward(Slope):
        def on_after_backward(self) -> None:
            replace(self.trainer.optimizer_in_turn)

    class BeforeStep(Slope):
        def on_before_optimizer_step(self, optimizer: Any) -> None:  # type: ignore[override]  # as in Lightning 2.x
            replace(optimizer)

    class Watch(tbptt.Callback):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any, optimizer_idx: int) -> None:
            replace(optimizer)

    kind = {"on_after_backward": AfterBackward, "on_before_optimizer_step": BeforeStep}.get(hook, Slope)
    _, _, model = descend(
        lambda: kind(lambda m: optim.Adam([m.first, m.second], lr=0.1)),
        batches(1),
        callbacks=[Watch()] if hook == "a callback" else [],
    )
    assert seen == [[1.0, 1.0]] * 3
    expected = oracles.adam(np.zeros(1), wanted, lr=0.1)
    np.testing.assert_allclose(ops.to_numpy(model.first), expected, rtol=1e-12)
    assert value(model.second) == 0.0


class Doubling(Slope):
    def backward(self, loss: Any, optimizer: Any = None, optimizer_idx: Any = None) -> None:
        super().backward(loss * 2.0)


@pytest.mark.parametrize("compile", ["auto", False])
def test_backward_overridden_doubles_the_gradient(backend: Backend, compile: bool | str) -> None:
    taken, _, _ = descend(lambda: Doubling(one_each), batches(1), compile=compile)
    np.testing.assert_allclose(taken, np.full((3, 2), 2 * RATE), rtol=1e-12)


def test_backward_overridden_while_gradients_accumulate(backend: Backend) -> None:
    taken, _, _ = descend(lambda: Doubling(both), batches(1), accumulate_grad_windows=3)
    np.testing.assert_allclose(taken, [[0, 0], [0, 0], [2 * RATE] * 2], rtol=1e-12, atol=1e-15)


def test_backward_overridden_under_a_loss_scale(backend: Backend) -> None:
    taken, _, _ = descend(lambda: Doubling(both), batches(1), precision="16-mixed")
    np.testing.assert_allclose(taken, np.full((3, 2), 2 * RATE), rtol=1e-6)


def test_loss_backward_works_on_torch_and_each_optimizer_takes_its_own() -> None:
    class Native(Slope):
        def backward(self, loss: Any, optimizer: Any = None, optimizer_idx: Any = None) -> None:
            loss.backward()

    with tbptt.use_backend("torch"):
        taken, _, model = descend(lambda: Native(one_each), batches(2), gradient_clip_val=10.0)
        assert model.first.grad is None and model.second.grad is None
        accumulated, _, _ = descend(lambda: Native(one_each), batches(2), accumulate_grad_batches=2)
    np.testing.assert_allclose(taken, np.full((6, 2), RATE), rtol=1e-12)
    np.testing.assert_allclose(accumulated[-1], [RATE] * 2, rtol=1e-12)


def test_training_step_end_makes_of_outputs_what_is_trained_on(backend: Backend) -> None:
    received = []

    class Ending(Slope):
        def training_step_end(self, outputs: Any) -> Any:
            received.append(sorted(outputs))
            return {**outputs, "loss": outputs["loss"] * 3.0}

    taken, _, _ = descend(lambda: Ending(both), batches(1))
    np.testing.assert_allclose(taken, np.full((3, 2), 3 * RATE), rtol=1e-12)
    assert received == [["hiddens", "loss", "seen"]] * 3
