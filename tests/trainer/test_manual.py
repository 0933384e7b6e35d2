"""Manual optimization: the module steps its optimizers itself, and gets what the trainer would have got."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import nn, ops, optim
from tbptt.errors import GradientError, ModuleProtocolError
from tbptt.memory import anonymous_memory
from tbptt.nn.functional import mse_loss
from tbptt.optim.lr_scheduler import ExponentialLR
from tbptt.protocols import Backend
from trainer.slopes import Slope, Weights, quiet

WINDOW, WINDOWS = 2, 10


class Automatic(tbptt.Module):
    """A linear head over an LSTM, trained by the trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 5), nn.Linear(5, 1)
        self.losses: list[float] = []

    def loss(self, batch: Any, hiddens: Any) -> Any:
        features, hiddens = self.lstm(batch[0], hiddens)
        return mse_loss(self.head(features), batch[1]), hiddens

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.loss(batch, hiddens)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss, hiddens

    def on_window_end(self, outputs: Any, window: Any, window_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))

    def configure_optimizers(self) -> Any:
        return optim.Adam(self.parameters(), lr=0.02)


class ByHand(Automatic):
    """The same, with the loop over windows inside the step."""

    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
        optimizer, hiddens = self.optimizers(), None
        for window in tbptt.windows(batch, WINDOW):
            loss, hiddens = self.loss(window, hiddens)
            optimizer.zero_grad()
            self.backward_pass(loss)
            self.before_step(optimizer)
            optimizer.step()
            hiddens = tbptt.detach(hiddens)
            self.log("loss", loss, on_step=False, on_epoch=True)
            self.losses.append(float(tbptt.stop_gradient(loss)))

    def backward_pass(self, loss: Any) -> None:
        self.manual_backward(loss)

    def before_step(self, optimizer: Any) -> None:
        """Nothing."""

    def on_window_end(self, outputs: Any, window: Any, window_idx: int) -> None:
        """Nothing."""


class Clipping(ByHand):
    def before_step(self, optimizer: Any) -> None:
        self.clip_gradients(optimizer, gradient_clip_val=BOUND, gradient_clip_algorithm="norm")


class TorchsBackward(ByHand):
    def backward_pass(self, loss: Any) -> None:
        loss.backward()


class TorchsBackwardClipping(TorchsBackward, Clipping):
    """Both."""


BOUND = 0.05


def data(batches: int = 2, steps: int = WINDOW * WINDOWS - 1) -> list[Any]:
    """The last window is shorter than the others."""
    x = np.random.default_rng(0).standard_normal((batches, 3, steps, 2))
    return [(b, np.cumsum(b[..., :1], axis=1)) for b in x]


def fit(model: Any, batches: Any = None, **options: Any) -> tuple[Any, tbptt.Trainer]:
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        module = model()
    trainer = quiet(**{"truncated_bptt_steps": WINDOW, **options})
    trainer.fit(module, data() if batches is None else batches)
    return module, trainer


def check_equal(model: Any, options: dict[str, Any], **automatic: Any) -> None:
    expected, reference = fit(Automatic, **automatic)
    found, trainer = fit(model, **options)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=0, atol=1e-12)
    for ours, theirs in zip(found.parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(ops.to_numpy(ours), ops.to_numpy(theirs), rtol=0, atol=1e-12)
    assert trainer.global_step == reference.global_step == 2 * WINDOWS
    np.testing.assert_allclose(trainer.callback_metrics["loss"], reference.callback_metrics["loss"], rtol=1e-12)


CASES: dict[str, tuple[type, dict[str, Any], dict[str, Any]]] = {
    "plain": (ByHand, {}, {}),
    "clip_gradients": (Clipping, {}, {"gradient_clip_val": BOUND}),
    "the trainer's bound": (ByHand, {"gradient_clip_val": BOUND}, {"gradient_clip_val": BOUND}),
    "clip_gradients comes before the trainer's": (Clipping, {"gradient_clip_val": 1e-6}, {"gradient_clip_val": BOUND}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_loop_over_windows_inside_the_step_is_automatic_training(backend: Backend, case: str) -> None:
    """Losses, parameters, counted updates and the epoch's mean, in which the last window weighs half."""
    model, options, automatic = CASES[case]
    check_equal(model, options, **automatic)


def test_the_same_with_the_compiled_parts(backend: Backend) -> None:
    check_equal(ByHand, {"compile": "auto", "gradient_clip_val": BOUND}, gradient_clip_val=BOUND)


@pytest.mark.parametrize("model", [TorchsBackward, TorchsBackwardClipping])
def test_on_torch_loss_backward_will_do(model: type) -> None:
    with tbptt.use_backend("torch"):
        check_equal(model, {"gradient_clip_val": BOUND}, gradient_clip_val=BOUND)


# ------------------------------------------------------------------------------------------------ accumulation


def test_accumulated_windows_make_one_update(backend: Backend) -> None:
    """`step` holds gradients back: the mean of four windows, weighted by steps, is the trainer's own accumulation."""
    options = {"accumulate_grad_windows": 4, "gradient_clip_val": BOUND}
    expected, reference = fit(Automatic, **options)
    found, trainer = fit(ByHand, **options)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=0, atol=1e-12)
    assert trainer.global_step == reference.global_step == 5


# ------------------------------------------------------------------------------------------------ two optimizers

REAL, NOISE = np.random.default_rng(1).standard_normal((2, 8, 3))


class Adversaries(tbptt.Module):
    """A generator and a discriminator, two optimizers."""

    automatic_optimization = False

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Linear(3, 3)
        self.body, self.verdict = nn.Linear(3, 4), nn.Linear(4, 1)

    def discriminate(self, x: Any) -> Any:
        return ops.mean(self.verdict(ops.tanh(self.body(x))))

    def configure_optimizers(self) -> Any:
        return (
            optim.Adam(self.generator.parameters(), lr=0.01),
            optim.Adam(self.body.parameters() + self.verdict.parameters(), lr=0.03),
        )


class DiscriminatorFirst(Adversaries):
    """As in Lightning's example: the generator's forward pass comes before the discriminator's backward pass."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        of_generator, of_discriminator = self.optimizers()
        fake = self.generator(batch[1])
        loss = self.discriminate(tbptt.stop_gradient(fake)) - self.discriminate(batch[0])
        of_discriminator.zero_grad()
        self.manual_backward(loss)
        of_discriminator.step()
        of_generator.zero_grad()
        self.manual_backward(-self.discriminate(fake))
        of_generator.step()


class OneForwardPass(Adversaries):
    """Two losses of one pass; what the second leaves with the discriminator is added to what the first did."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        of_generator, of_discriminator = self.optimizers()
        of_fake = self.discriminate(self.generator(batch[1]))
        of_discriminator.zero_grad()
        self.manual_backward(of_fake - self.discriminate(batch[0]), retain_graph=True)
        of_generator.zero_grad()
        self.manual_backward(of_fake * -0.5)
        of_discriminator.step()
        of_generator.step()


class OneForwardPassHooked(OneForwardPass):
    """The hook `backward` is not told of retain_graph, and it holds all the same."""

    def backward(self, loss: Any, optimizer: Any = None, optimizer_idx: Any = None) -> None:
        super().backward(loss)


class Native(Adversaries):
    """`loss.backward()` of torch, whose gradients reach every optimizer's parameters until these are told to forget them."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        of_generator, of_discriminator = self.optimizers()
        fake = self.generator(batch[1])
        loss = self.discriminate(fake.detach()) - self.discriminate(batch[0])
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        of_generator.zero_grad()
        (-self.discriminate(fake)).backward()
        of_generator.step()


def adversaries_by_hand(one_pass: bool, updates: int) -> list[np.ndarray]:
    """The same two programs in plain torch, from the same start."""
    with tbptt.use_backend("torch"), tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = Adversaries()
    real, noise = torch.tensor(REAL), torch.tensor(NOISE)
    generator = [torch.nn.Parameter(p.detach().clone()) for p in model.generator.parameters()]
    others = [torch.nn.Parameter(p.detach().clone()) for p in model.body.parameters() + model.verdict.parameters()]
    g, d = torch.optim.Adam(generator, lr=0.01), torch.optim.Adam(others, lr=0.03)

    def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return x @ weight.T + bias if weight.shape[1] == x.shape[1] else x @ weight + bias

    def discriminate(x: torch.Tensor) -> torch.Tensor:
        return linear(torch.tanh(linear(x, *others[:2])), *others[2:]).mean()

    for _ in range(updates):
        fake = noise @ generator[0].T + generator[1]
        if one_pass:
            of_fake = discriminate(fake)
            d.zero_grad()
            (of_fake - discriminate(real)).backward(retain_graph=True)
            g.zero_grad()
            (of_fake * -0.5).backward()
            d.step()
        else:
            d.zero_grad()
            (discriminate(fake.detach()) - discriminate(real)).backward()
            d.step()
            g.zero_grad()
            (-discriminate(fake)).backward()
        g.step()
    return [p.detach().numpy() for p in generator + others]


@pytest.mark.parametrize("model", [DiscriminatorFirst, OneForwardPass, OneForwardPassHooked])
def test_two_optimizers_do_what_they_do_in_torch(backend: Backend, model: type) -> None:
    found, trainer = fit(model, [(REAL, NOISE)] * 5, truncated_bptt_steps=None)
    for ours, theirs in zip(found.parameters(), adversaries_by_hand(issubclass(model, OneForwardPass), 5), strict=True):
        np.testing.assert_allclose(ops.to_numpy(ours), theirs, rtol=0, atol=1e-12)
    assert trainer.global_step == 10


def test_zero_grad_forgets_what_loss_backward_left_on_torch() -> None:
    with tbptt.use_backend("torch"):
        found, _ = fit(Native, [(REAL, NOISE)] * 5, truncated_bptt_steps=None)
    for ours, theirs in zip(found.parameters(), adversaries_by_hand(False, 5), strict=True):
        np.testing.assert_allclose(ops.to_numpy(ours), theirs, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------ schedulers


class Descending(Slope):
    """Three updates a batch; the module steps its scheduler, once a batch."""

    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        optimizer = self.optimizers()
        for _ in range(3):
            optimizer.zero_grad()
            self.manual_backward(ops.sum(self.first) + ops.sum(self.second))
            optimizer.step()
        schedulers = self.lr_schedulers()
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers] if schedulers else []:
            scheduler.step()


@pytest.mark.parametrize("interval", ["window", "batch", "epoch"])
def test_schedulers_are_the_modules_to_step(backend: Backend, interval: str) -> None:
    def configure(module: Any) -> Any:
        optimizer = optim.SGD(module.parameters(), lr=0.5)
        return [optimizer], [{"scheduler": ExponentialLR(optimizer, 0.9), "interval": interval}]

    weights = Weights()
    fit(lambda: Descending(configure), [np.ones((2, 4, 1))] * 2, callbacks=[weights], max_epochs=2)
    np.testing.assert_allclose(weights.taken[:, 0], 3 * 0.5 * 0.9 ** np.arange(4), rtol=1e-12)


def test_lr_schedulers_is_none_one_or_a_list(backend: Backend) -> None:
    found: list[Any] = []

    class Asking(Descending):
        def on_train_end(self) -> None:
            found.append(self.lr_schedulers())

    for count in range(3):

        def configure(module: Any, count: int = count) -> Any:
            optimizer = optim.SGD(module.parameters(), lr=0.5)
            return [optimizer], [ExponentialLR(optimizer, 0.9) for _ in range(count)]

        fit(lambda configure=configure: Asking(configure), [np.ones((2, 4, 1))])
    assert found[0] is None
    assert isinstance(found[1], ExponentialLR)
    assert [type(scheduler) for scheduler in found[2]] == [ExponentialLR] * 2


# ------------------------------------------------------------------------------------------------ logging and hooks


def test_an_epochs_mean_is_over_all_that_was_logged_under_a_name(backend: Backend) -> None:
    """Two hundred values in one step."""
    values = np.random.default_rng(0).standard_normal(200)

    class Talking(Descending):
        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            for number in values:
                self.log("value", ops.asarray(number), on_step=True, on_epoch=True)
            self.log("largest", max(values), on_step=False, on_epoch=True, reduce_fx="max")
            super().training_step(batch, batch_idx)

    _, trainer = fit(lambda: Talking(lambda m: optim.SGD(m.parameters(), lr=0.5)), [np.ones((2, 4, 1))] * 2)
    np.testing.assert_allclose(trainer.callback_metrics["value_epoch"], values.mean(), rtol=1e-6)
    np.testing.assert_allclose(trainer.callback_metrics["value_step"], values[-1], rtol=1e-6)
    np.testing.assert_allclose(trainer.callback_metrics["largest"], values.max(), rtol=1e-12)


def test_hooks_around_a_manual_backward_pass_and_update(backend: Backend) -> None:
    """Gradients of two: the hook `backward` doubles the loss, on_before_optimizer_step adds one."""
    seen: list[Any] = []

    class Hooked(Descending):
        def on_before_backward(self, loss: Any) -> None:
            seen.append("before backward")

        def backward(self, loss: Any, optimizer: Any = None, optimizer_idx: Any = None) -> None:
            super().backward(loss * 2.0)

        def on_after_backward(self) -> None:
            seen.append([float(ops.sum(g)) for g in self.optimizers().gradients])

        def on_before_optimizer_step(self, optimizer: Any, optimizer_idx: int) -> None:
            optimizer.gradients = [gradient + 1.0 for gradient in optimizer.gradients]

    weights = Weights()
    fit(
        lambda: Hooked(lambda m: optim.SGD(m.parameters(), lr=0.5)),
        [np.ones((2, 4, 1))],
        callbacks=[weights],
        gradient_clip_val=2.5,
        gradient_clip_algorithm="value",
    )
    np.testing.assert_allclose(weights.taken, [[3 * 0.5 * 2.5] * 2], rtol=1e-12)  # clipped after the hook
    assert seen == ["before backward", [2.0, 2.0]] * 3


# ------------------------------------------------------------------------------------------------ memory

ROWS, WIDTH = 250, 128  # a quarter of a megabyte an activation in float64


class Long(tbptt.Module):
    """A loop of as many windows as the batch has steps; looks at memory and at live tensors in its windows 20 and last."""

    automatic_optimization = False

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.Linear(WIDTH, WIDTH)
        self.seen: list[tuple[int, int]] = []

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        state = ops.zeros((ROWS, WIDTH))
        for index in range(batch.shape[1]):
            state = ops.tanh(self.recurrent(state) + batch[0, index])
            loss = mse_loss(ops.sin(state), state)
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.log("loss", loss)
            optimizer.step()
            state = tbptt.detach(state)
            if index in (19, batch.shape[1] - 1):
                gc.collect()
                kind = type(state)
                self.seen.append((anonymous_memory(), sum(type(each) is kind for each in gc.get_objects())))

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=1e-3)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small operations wait for one another on a machine with other work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_memory_does_not_grow_over_the_windows_of_a_step(backend: Backend) -> None:
    model, _ = fit(Long, [np.ones((1, 220, 1))], truncated_bptt_steps=None)
    (memory_early, alive_early), (memory_late, alive_late) = model.seen
    assert memory_late - memory_early < 40 * 2**20  # two hundred windows, on record each three quarters of a megabyte
    assert alive_late - alive_early < 70  # up to 64 logged scalars wait to be fetched together


# ------------------------------------------------------------------------------------------------ mistakes


class Mistake(Descending):
    def __init__(self) -> None:
        super().__init__(lambda m: optim.SGD(m.parameters(), lr=0.5))
        self.rnn = nn.RNN(1, 2)


class StepsWithoutBackward(Mistake):
    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.optimizers().step()


class LossOfNone(Mistake):
    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.manual_backward(None)


class LossOfNumpy(Mistake):
    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.manual_backward(np.float32(1.0))


class VectorLoss(Mistake):
    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.manual_backward(self.rnn(batch)[0])


class LossOfNothing(Mistake):
    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        self.manual_backward(ops.mean(batch))


class BackwardInAHook(Mistake):
    def on_train_epoch_end(self) -> None:
        self.manual_backward(ops.sum(self.first))


class AutomaticBackward(Mistake):
    automatic_optimization = True

    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
        loss = ops.sum(self.first)
        self.manual_backward(loss)
        return loss


MISTAKES = {
    "a step without gradients": (StepsWithoutBackward, ModuleProtocolError, r"Call self\.manual_backward\(loss\) before it"),
    "no loss": (LossOfNone, ModuleProtocolError, "received NoneType"),
    "a loss of NumPy": (LossOfNumpy, ModuleProtocolError, "received float32"),
    "a loss that is no scalar": (VectorLoss, ModuleProtocolError, r"shape \(2, 4, 2\).*mean or its sum"),
    "a loss of nothing": (LossOfNothing, GradientError, "depends on no parameter of any optimizer"),
    "a backward pass in a hook": (BackwardInAHook, ModuleProtocolError, "outside training_step"),
    "a backward pass in automatic optimization": (
        AutomaticBackward, ModuleProtocolError, "set automatic_optimization = False",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_an_error_that_says_what_to_do(backend: Backend, mistake: str) -> None:
    model, kind, message = MISTAKES[mistake]
    with pytest.raises(kind, match=message):
        fit(model, [np.ones((2, 4, 1))], truncated_bptt_steps=None)


def test_without_a_trainer_it_says_where_manual_optimization_belongs(backend: Backend) -> None:
    model = Mistake()
    for call in (model.optimizers, model.lr_schedulers, lambda: model.manual_backward(ops.sum(model.first))):
        with pytest.raises(ModuleProtocolError, match="with no trainer"):
            call()


def test_a_state_that_was_not_cut_is_told_on_torch() -> None:
    class Forgetful(ByHand):
        def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
            optimizer, hiddens = self.optimizers(), None
            for window in tbptt.windows(batch, WINDOW):
                loss, hiddens = self.loss(window, hiddens)
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()

    with tbptt.use_backend("torch"), pytest.raises(GradientError, match=r"tbptt\.detach\(state\)"):
        fit(Forgetful)
