"""Gradients accumulated over windows are those of one window-batch with all their rows, each row entered by its own state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.dtypes import dtype_scope
from tbptt.errors import ModuleProtocolError
from tbptt.protocols import Backend

F, H, C, WINDOW, RATE = 2, 3, 4, 4, 0.5
QUIET: dict[str, Any] = {"max_epochs": 1, "enable_progress_bar": False, "enable_model_summary": False}


class Tagger(tbptt.Module):
    """Class numbers for a series. `counted`: the loss is of this library and knows what it is a mean over."""

    def __init__(self, counted: bool = True) -> None:
        super().__init__()
        self.rnn, self.head, self.counted = nn.RNN(F, H), nn.Linear(H, C), counted

    def logits(self, x: Any, state: Any) -> Any:
        features, state = self.rnn(x, state)
        return self.head(features), state

    def loss(self, batch: Any, state: Any) -> Any:
        logits, state = self.logits(batch[0], state)
        if self.counted:
            return nn.functional.cross_entropy(logits, batch[1]), state
        return ops.mean(ops.square(ops.subtract(logits, 0.3))), state

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        return self.loss(batch, hiddens)

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=RATE)


class Manual(Tagger):
    def __init__(self, counted: bool = True) -> None:
        super().__init__(counted)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss, hiddens = self.loss(batch, hiddens)
        self.manual_backward(loss)
        optimizer.step()
        return loss, hiddens


class WholeBatches(Manual):
    """A loop over windows of its own, and a step in each of them."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:  # type: ignore[override]
        state = None
        for start in range(0, batch[0].shape[1], WINDOW):
            window = tuple(leaf[:, start : start + WINDOW] for leaf in batch)
            _, state = super().training_step(window, batch_idx, state)
            state = tbptt.detach(state)


def data(rows: tuple[int, ...] = (2, 3, 2), steps: int = 10) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of different size whose windows of 4 steps end with one of 2, and in which every window counts other targets."""
    draw = np.random.default_rng(0)
    batches = []
    for count in rows:
        targets = draw.integers(0, C, (count, steps))
        ignored = draw.random((count, steps)) < 0.4
        ignored[:, ::WINDOW] = False  # a mean over nothing is NaN
        batches.append((draw.standard_normal((count, steps, F)), np.where(ignored, -100, targets)))
    return batches


def made(kind: type[Tagger] = Tagger, **options: Any) -> Tagger:
    with dtype_scope("float64"):
        tbptt.seed_everything(0)
        return kind(**options)


def values(model: Tagger) -> list[np.ndarray]:
    return [np.array(ops.to_numpy(parameter)) for parameter in model.parameters()]


def one_window_batch(model: Tagger, windows: list[tuple[Any, Any, Any]]) -> list[Any]:
    """The gradients of a single batch that holds the rows of all windows, made of one length by steps that do not count."""
    x = np.zeros((sum(len(x) for x, _, _ in windows), WINDOW, F))
    y, inside = np.full(x.shape[:2], -100), np.zeros(x.shape[:2])
    states, row = np.zeros((1, len(x), H)), 0
    for part, targets, state in windows:
        place = slice(row, row + len(part)), slice(0, part.shape[1])
        x[place], y[place], inside[place] = part, targets, 1
        states[:, place[0]] = 0 if state is None else ops.to_numpy(state)
        row += len(part)
    with tbptt.GradientTape() as tape:
        logits, _ = model.logits(ops.asarray(x), ops.asarray(states))
        if model.counted:
            loss = nn.functional.cross_entropy(logits, ops.asarray(y))
        else:
            squares = ops.mean(ops.square(ops.subtract(logits, 0.3)), axis=2)
            loss = ops.divide(ops.sum(ops.multiply(squares, ops.asarray(inside))), inside.sum())
    return [np.array(ops.to_numpy(gradient)) for gradient in tape.gradient(loss, model.parameters())]


def own_loop(model: Tagger, batches: list[Any], every: int, unit: str, clip: float | None) -> int:
    """The updates written down: a group of windows, its gradient as one batch, the bound on its norm, plain descent."""
    optimizer, updates = optim.SGD(model.parameters(), lr=RATE), 0
    group: list[tuple[Any, Any, Any]] = []
    for number, (x, y) in enumerate(batches, 1):
        state = None
        for start in range(0, x.shape[1], WINDOW):
            window = x[:, start : start + WINDOW], y[:, start : start + WINDOW]
            group.append((*window, state))
            state = tbptt.detach(model.logits(ops.asarray(window[0]), state)[1])
            ends_batch = start + WINDOW >= x.shape[1]
            full = len(group) == every if unit == "windows" else ends_batch and number % every == 0
            if full or (ends_batch and number == len(batches)):
                gradients = one_window_batch(model, group)
                norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
                scale = 1.0 if clip is None else min(1.0, clip / norm)
                optimizer.apply([ops.asarray(scale * gradient) for gradient in gradients])
                group, updates = [], updates + 1
    return updates


CASES = [
    ("windows", 2, None, True, 10),  # groups that reach from one batch into the next, and one window left over
    ("windows", 3, 0.05, True, 12),  # windows of equal size, and a bound
    ("windows", 2, None, False, 10),
    ("batches", 2, 0.05, True, 10),  # one batch left over
    ("batches", 2, None, False, 10),
    ("batches", 5, None, True, 10),  # more than there are
]


# what a part of a batch weighs that the step cut itself, only a counted loss can tell
RUNS = [
    (kind, *case) for kind in (Tagger, Manual, WholeBatches) for case in CASES if kind is not WholeBatches or case[3]
]


@pytest.mark.parametrize(("kind", "unit", "every", "clip", "counted", "steps"), RUNS)
def test_accumulating_is_one_batch_of_all_the_rows(
    backend: Backend, kind: type[Tagger], unit: str, every: int, clip: float | None, counted: bool, steps: int
) -> None:
    model, expected = made(kind, counted=counted), made(counted=counted)
    options: dict[str, Any] = {f"accumulate_grad_{unit}": every, "gradient_clip_val": clip, "compile": False}
    trainer = tbptt.Trainer(truncated_bptt_steps=WINDOW, **options, **QUIET)
    trainer.fit(model, data(steps=steps))
    updates = own_loop(expected, data(steps=steps), every, unit, clip)
    assert trainer.global_step == updates
    assert np.abs(values(model)[0] - values(made())[0]).max() > 1e-3
    for ours, theirs in zip(values(model), values(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def test_compiled_accumulation_is_the_same(backend: Backend) -> None:
    batches, model, expected = data(rows=(2, 2, 2)), made(), made()
    trainer = tbptt.Trainer(accumulate_grad_windows=2, gradient_clip_val=0.05, truncated_bptt_steps=WINDOW, **QUIET)
    trainer.fit(model, batches)
    assert trainer.train_step is not None
    assert trainer.train_step.compiled.road == ("eager" if backend.name == "torch" else "tf.function with XLA")
    own_loop(expected, batches, 2, "windows", 0.05)
    for ours, theirs in zip(values(model), values(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)


def test_state_flows_on_while_gradients_accumulate(backend: Backend) -> None:
    """With state_carry="epoch" the first window of a batch is entered by the last state of the batch before."""
    (x, y), *_ = data(rows=(2,), steps=20)
    pieces = [(x[:, :12], y[:, :12]), (x[:, 12:], y[:, 12:])]
    model, expected = made(), made()
    options = {**QUIET, "compile": False, "truncated_bptt_steps": WINDOW}
    tbptt.Trainer(accumulate_grad_batches=2, state_carry="epoch", **options).fit(model, pieces)
    tbptt.Trainer(accumulate_grad_windows=5, **options).fit(expected, [(x, y)])
    for ours, theirs in zip(values(model), values(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Watch(tbptt.Callback):
    """What happened, in letters: z(ero), b(ackward), o(ptimizer step coming); an w at the end of each window."""

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        self.seen, self.stop_at = "", stop_at
        self.steps: list[int] = []
        self.gradients: list[Any] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int, *rest: Any) -> int | None:
        return -1 if (trainer.current_epoch, batch_idx) == self.stop_at else None

    def on_before_zero_grad(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.seen += "z"

    def on_after_backward(self, trainer: Any, module: Any) -> None:
        self.seen += "b"

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any, optimizer_idx: int) -> None:
        self.seen += "o"
        self.gradients.append([np.array(ops.to_numpy(gradient)) for gradient in optimizer.gradients])

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.seen += "w "
        self.steps.append(trainer.global_step)


def test_hooks_of_the_update_are_left_out_while_accumulating(backend: Backend) -> None:
    model, watch = made(), Watch()
    batches = data(rows=(2, 2))
    options = {**QUIET, "compile": False, "truncated_bptt_steps": WINDOW, "callbacks": watch, "max_epochs": 2}
    tbptt.Trainer(accumulate_grad_windows=4, **options).fit(model, batches)
    epoch = "zbw bw bw bow zbw bow "
    assert watch.seen == 2 * epoch
    assert watch.steps == [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 4]
    fresh, states = made(), []
    for x, _ in batches:
        states += [None, tbptt.detach(fresh.logits(ops.asarray(x[:, :4]), None)[1])]
        states += [tbptt.detach(fresh.logits(ops.asarray(x[:, :8]), None)[1])]
    parts = [(x[:, a : a + 4], y[:, a : a + 4]) for x, y in batches for a in (0, 4, 8)]
    expected = one_window_batch(fresh, [(*part, state) for part, state in zip(parts[:4], states, strict=False)])
    for ours, theirs in zip(watch.gradients[0], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [Tagger, Manual])
def test_an_epoch_that_ends_early_loses_no_gradient(backend: Backend, kind: type[Tagger]) -> None:
    """on_train_batch_start answers -1 before the third batch: that is the end of the epoch, and what is left makes an update."""
    model, expected, watch = made(kind), made(kind), Watch(stop_at=(0, 2))
    options = {**QUIET, "compile": False, "truncated_bptt_steps": WINDOW}
    trainer = tbptt.Trainer(accumulate_grad_batches=3, callbacks=watch, **options)
    trainer.fit(model, data())
    tbptt.Trainer(accumulate_grad_batches=2, **options).fit(expected, data()[:2])
    assert trainer.global_step == 1 and watch.seen.endswith("w o")
    for ours, theirs in zip(values(model), values(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_held_back_gradient_is_not_taken_twice(backend: Backend) -> None:
    """Manual optimization: a step without a backward pass is a mistake while accumulating too, and looking changes nothing."""

    class Looking(Manual):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            answer = super().training_step(batch, batch_idx, hiddens)
            assert self.optimizers().gradients is not None  # the mean of those held back
            self.clip_gradients(self.optimizers(), 1e-9)
            return answer

    class Forgetful(Manual):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            answer = super().training_step(batch, batch_idx, hiddens)
            self.optimizers().step()
            return answer

    runs = []
    for kind in (Looking, Manual):
        model = made(kind)
        tbptt.Trainer(accumulate_grad_batches=3, truncated_bptt_steps=WINDOW, **QUIET).fit(model, data())
        runs.append(values(model))
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ModuleProtocolError, match="called without gradients"):
        tbptt.Trainer(accumulate_grad_batches=3, truncated_bptt_steps=WINDOW, **QUIET).fit(made(Forgetful), data())


def test_gradients_weigh_what_their_lengths_count(backend: Backend) -> None:
    """A loss of the user's own over rows of different length: windows weigh the steps that count in them."""
    draw = np.random.default_rng(1)
    x, lengths = draw.standard_normal((2, 8, F)), np.array([8, 5])

    class OwnLoss(Tagger):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            features, hiddens = self.rnn(batch["x"], hiddens, batch["lengths"])
            inside = ops.less(ops.arange(batch["x"].shape[1]), ops.expand_dims(batch["lengths"], axis=1))
            inside = ops.expand_dims(ops.astype(inside, "float64"), axis=2)
            squares = ops.multiply(ops.square(self.head(features)), inside)
            return ops.divide(ops.sum(squares), ops.sum(inside)), hiddens

    for axis in (1, {"x": 1, "lengths": "lengths"}):
        model, expected = made(OwnLoss), made(OwnLoss)
        options = {**QUIET, "time_axis": axis, "compile": False}
        batch = {"x": x, "lengths": lengths}
        tbptt.Trainer(accumulate_grad_windows=2, truncated_bptt_steps=4, **options).fit(model, [batch])
        state = expected.rnn(ops.asarray(x[:, :4]))[1]
        rows = np.concatenate([x[:, :4], x[:, 4:]])
        whole = {"x": ops.asarray(rows), "lengths": ops.asarray(np.array([4, 4, 4, 1]))}
        start = ops.concat([ops.zeros_like(state), tbptt.detach(state)], axis=1)
        with tbptt.GradientTape() as tape:
            loss, _ = expected.training_step(whole, 0, start)
        optim.SGD(expected.parameters(), lr=RATE).apply(tape.gradient(loss, expected.parameters()))
        for ours, theirs in zip(values(model), values(expected), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10)
