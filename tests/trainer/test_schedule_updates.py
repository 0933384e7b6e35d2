"""What is between gradients of schedules and parameters: accumulation, clipping, several optimizers, hooks, the engines' own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import ops, optim
from tbptt.errors import ModuleProtocolError
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Checkpointed, Fixed
from tbptt.trainer import chain
from tbptt.trainer.combination import Combination
from trainer.recurrences import (
    MATRIX,
    STEPS,
    Recurrence,
    check_close,
    closed_form,
    data,
    factor,
    first_state,
    fit,
    full_gradient,
    values,
)

OVERLAPPING = Fixed(3, 7)


def windows(schedule: Any, rows: int = 3) -> list[tuple[int, list[np.ndarray]]]:
    """Of each window that trains: how many steps count, and the gradient of ½ Σ (h − y)² over them. Parameters do not move."""
    x, y = data(rows)
    states = closed_form(MATRIX, x, y, first_state(rows)).states
    found = []
    for window in schedule.plan(STEPS):
        if window.trains:
            truth = closed_form(
                MATRIX,
                x[:, window.run_from : window.stop],
                y[:, window.run_from : window.stop],
                states[:, window.run_from],
                losses=window.losses - window.run_from,
                reach=window.reach - window.run_from,
                factors={step - window.run_from: factor for step, factor in window.factors},
            )
            found.append((window.stop - window.losses, truth.gradient))
    return found


def summed(parts: list[tuple[int, list[np.ndarray]]]) -> list[np.ndarray]:
    return [np.sum(each, axis=0) for each in zip(*(gradient for _, gradient in parts), strict=True)]


def fresh(schedule: Any) -> Any:
    """One that has drawn nothing yet: a schedule goes on drawing where it was."""
    return type(schedule)(**schedule._arguments())


def sgd(module: Any, rate: float = 0.1) -> Any:
    return optim.SGD(module.parameters(), lr=rate)


# ------------------------------------------------------------------------------------------------ accumulation


@pytest.mark.parametrize("loss", ["own mean", "noted mean"])
@pytest.mark.parametrize("every", [2, 3])
def test_accumulated_windows_weigh_as_many_steps_as_count(backend: Backend, every: int, loss: str) -> None:
    updates, _, _ = fit(lambda: Recurrence(loss), OVERLAPPING, [data()], accumulate_grad_windows=every)
    parts = windows(OVERLAPPING)
    groups = [parts[begin : begin + every] for begin in range(0, len(parts), every)]
    assert len(updates.gradients) == len(groups)
    for found, group in zip(updates.gradients, groups, strict=True):
        scale = factor(loss, sum(steps for steps, _ in group))
        check_close(found, [scale * gradient for gradient in summed(group)])


def test_accumulated_batches_weigh_their_rows(backend: Backend) -> None:
    """Two batches of 3 and 2 rows are one update with the mean over all their steps."""
    updates, _, trainer = fit(
        lambda: Recurrence("noted mean"), OVERLAPPING, [data(3), data(2)], accumulate_grad_batches=2
    )
    total = [a + b for a, b in zip(summed(windows(OVERLAPPING, 3)), summed(windows(OVERLAPPING, 2)), strict=True)]
    assert trainer.global_step == 1
    check_close(updates.total(), [2 / (5 * 3 * STEPS) * gradient for gradient in total])


def test_random_cuts_accumulate_as_sums_over_the_mean_length(backend: Backend) -> None:
    schedule = ARTBP(4, seed=2)
    parts = windows(ARTBP(4, seed=2))
    updates, _, _ = fit(lambda: Recurrence("own mean"), schedule, [data()], accumulate_grad_batches=1)
    for found, (_, gradient) in zip(updates.gradients, parts, strict=True):
        check_close(found, [factor("own mean", 4) * each for each in gradient])
    updates, _, _ = fit(lambda: Recurrence("own mean"), ARTBP(4, seed=2), [data()], accumulate_grad_windows=100)
    assert len(updates.gradients) == 1
    check_close(updates.total(), [factor("own mean", 4 * len(parts)) * each for each in summed(parts)])


def test_a_window_without_anything_to_train_changes_nothing(backend: Backend) -> None:
    """Fixed(4, burn_in=3) of 10 steps: the last window, of two, is burnt in to its end."""
    schedule = Fixed(4, burn_in=3)
    seen: list[Any] = []

    class Look(tbptt.Callback):
        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            seen.append((trainer.global_step, values(module)))

    updates, _, _ = fit(
        lambda: Recurrence(configure=lambda m: optim.Adam(m.parameters(), lr=0.1)),
        schedule,
        [data(steps=10)],
        callbacks=[Look()],
    )
    assert [step for step, _ in seen] == [1, 2, 2] and len(updates.gradients) == 2
    for before, after in zip(seen[1][1], seen[2][1], strict=True):
        np.testing.assert_array_equal(before, after)
    assert np.isfinite(updates.losses).all()


def test_an_accumulation_that_begins_with_such_a_window_begins_anew(backend: Backend) -> None:
    """Fixed(3, 7, burn_in=4): a sequence's first window trains nothing. The gradients of the one before are gone by then."""
    schedule = Fixed(3, 7, burn_in=4)
    plan = list(schedule.plan(STEPS))
    assert [window.trains for window in plan[:2]] == [False, True]
    updates, _, _ = fit(Recurrence, schedule, [data()], accumulate_grad_windows=2, max_epochs=2)
    parts = windows(schedule)
    groups = [parts[:1], *(parts[begin : begin + 2] for begin in range(1, len(parts), 2))]
    assert len(updates.gradients) == 2 * len(groups)
    for found, group in zip(updates.gradients, groups * 2, strict=True):
        weights = [steps / sum(steps for steps, _ in group) for steps, _ in group]
        check_close(
            found,
            summed([(0, [w * each for each in gradient]) for w, (_, gradient) in zip(weights, group, strict=True)]),
        )


# ------------------------------------------------------------------------------------------------ on the way to the parameters


@pytest.mark.parametrize("schedule", [OVERLAPPING, Checkpointed(5, 2), ARTBP(5, seed=0)], ids=repr)
def test_the_bound_is_on_the_norm_of_a_whole_windows_gradient(backend: Backend, schedule: Any) -> None:
    """Plain descent at rate one takes the clipped gradient off; only the first update is looked at."""
    gradient = windows(fresh(schedule))[0][1]
    norm = np.sqrt(sum(np.sum(each**2) for each in gradient))
    _, module, _ = fit(
        lambda: Recurrence(configure=lambda m: sgd(m, 1.0)),
        fresh(schedule),
        [data()],
        gradient_clip_val=norm / 3,
        max_steps=1,
    )
    taken = [before - after for before, after in zip(MATRIX, values(module), strict=True)]
    check_close(taken, [each / 3 for each in gradient])


class Two(Recurrence):
    """A and b each with an optimizer of its own; both see the state that entered the window."""

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int, hiddens: Any) -> Any:  # type: ignore[override]
        return super().training_step(batch, batch_idx, hiddens)


@pytest.mark.parametrize("schedule", [OVERLAPPING, Checkpointed(5, 2)], ids=repr)
def test_several_optimizers_get_the_gradient_of_their_own_parameters(backend: Backend, schedule: Any) -> None:
    def configure(module: Any) -> Any:
        return [optim.SGD([module.a], lr=0.0), optim.SGD([module.b], lr=0.0)]

    updates, _, _ = fit(lambda: Two(configure=configure), schedule, [data()])
    parts = windows(schedule)
    assert len(updates.gradients) == 2 * len(parts)
    for n, (_, gradient) in enumerate(parts):
        check_close([updates.gradients[2 * n][0], updates.gradients[2 * n + 1][0]], gradient)


def test_the_engines_own_optimizer_descends_along_overlapping_windows(backend: Backend) -> None:
    def native(module: Any) -> Any:
        if backend.name == "torch":
            return torch.optim.SGD(module.parameters(), lr=0.125, momentum=0.5)
        import keras

        return keras.optimizers.SGD(0.125, momentum=0.5)  # a rate that float32, in which Keras keeps it, has exactly

    def ours(module: Any) -> Any:
        return optim.SGD(module.parameters(), lr=0.125, momentum=0.5)

    _, expected, _ = fit(lambda: Recurrence("noted mean", configure=ours), OVERLAPPING, [data()])
    _, found, _ = fit(lambda: Recurrence("noted mean", configure=native), OVERLAPPING, [data()])
    check_close(values(found), values(expected))


@pytest.mark.parametrize("schedule", [OVERLAPPING, Checkpointed(5, 2)], ids=repr)
def test_hooks_see_the_gradient_and_may_change_it(backend: Backend, schedule: Any) -> None:
    seen: dict[str, list[Any]] = {"on_after_backward": [], "on_before_optimizer_step": []}

    class Hooked(Recurrence):
        def on_after_backward(self) -> None:
            seen["on_after_backward"].append([ops.to_numpy(g) for g in self.optimizers().gradients])

        def on_before_optimizer_step(self, optimizer: Any, optimizer_idx: int) -> None:
            seen["on_before_optimizer_step"].append([ops.to_numpy(g) for g in optimizer.gradients])
            optimizer.gradients = [2.0 * gradient for gradient in optimizer.gradients]

    _, module, _ = fit(lambda: Hooked(configure=lambda m: sgd(m, 1e-3)), fresh(schedule), [data()], max_steps=1)
    gradient = windows(schedule)[0][1]
    for found in seen.values():
        assert len(found) == 1
        check_close(found[0], gradient)
    check_close(values(module), [w - 2e-3 * g for w, g in zip(MATRIX, gradient, strict=True)])


# ------------------------------------------------------------------------------------------------ other ways of stepping


class ByHand(Recurrence):
    automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        output = super().training_step(batch, batch_idx, hiddens)
        self.manual_backward(output["loss"])
        return output


@pytest.mark.parametrize("schedule", [OVERLAPPING, Checkpointed(5), ARTBP(4, seed=0)], ids=repr)
def test_a_module_that_goes_backward_itself_is_told_it_cannot(backend: Backend, schedule: Any) -> None:
    with pytest.raises(ModuleProtocolError, match=r"runs in several pieces.*Use Fixed\(k\) or RandomLength"):
        fit(ByHand, schedule, [data()])


@pytest.mark.parametrize("schedule", [Fixed(4, 8), Checkpointed(5, 2)], ids=repr)
def test_a_line_search_computes_an_overlapping_window_afresh(schedule: Any) -> None:
    """torch's L-BFGS in a loop of its own: its closure runs the window again, from the state that was kept, with its parameters."""
    options: dict[str, Any] = {"lr": 0.3, "max_iter": 4, "history_size": 3}
    x, y = map(torch.tensor, data(steps=12))
    a, b = (torch.nn.Parameter(torch.tensor(weight)) for weight in MATRIX)
    optimizer = torch.optim.LBFGS([a, b], **options)

    def run(begin: int, stop: int, state: Any) -> list[Any]:
        states = [state]
        for t in range(begin, stop):
            states.append(states[-1] @ a.T + x[:, t, None] * b)
        return states

    kept: dict[int, Any] = {0: torch.tensor(first_state())}
    plan = [(0, 0, 4), (0, 4, 8), (4, 8, 12)] if isinstance(schedule, Fixed) else [(0, 0, 12)]
    for begin, start, stop in plan:

        def closure(begin: int = begin, start: int = start, stop: int = stop) -> Any:
            optimizer.zero_grad()
            states = run(begin, stop, kept[begin])
            loss = torch.mean((torch.stack(states[1 + start - begin :], 1) - y[:, start:stop]) ** 2)
            loss.backward()
            return loss

        with torch.no_grad():  # what is kept was made before the search
            for step, state in enumerate(run(begin, stop, kept[begin]), begin):
                if step >= start:
                    kept[step] = state
        optimizer.step(closure)

    with tbptt.use_backend("torch"):
        _, module, _ = fit(
            lambda: Recurrence("own mean", configure=lambda m: torch.optim.LBFGS(m.parameters(), **options)),
            schedule,
            [data(steps=12)],
        )
    check_close(values(module), [a.detach().numpy(), b.detach().numpy()], 1e-10)


# ------------------------------------------------------------------------------------------------ broken doubles


def no_factor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tbptt.trainer.chain.scaled", lambda cotangent, factor: cotangent)


def no_chain(patch: pytest.MonkeyPatch) -> None:
    """Pieces are detached from one another."""

    def take(self: Any, number: int, gradients: Any, entering: Any) -> None:
        self._gradients, self._cotangent = chain.added(self._gradients, gradients), None

    patch.setattr(chain.Pass, "_take", take)


def no_stored_state(patch: pytest.MonkeyPatch) -> None:
    """The overlap runs from the state that left the window before."""

    def run(self: Any, share: Any, parameters: Any, optimizer_idx: Any) -> Any:
        kind = chain.Recomputed if share.window.segment else chain.Pass
        return kind(self, share, share.hiddens, parameters, optimizer_idx, self.combination)

    patch.setattr(chain.Chain, "run", run)


def only_the_last_piece(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tbptt.trainer.chain.added", lambda first, second: first or second)


def plain_mean(patch: pytest.MonkeyPatch) -> None:
    """Losses of pieces that are means count alike, whatever they are means over."""
    patch.setattr(Combination, "cotangents", lambda self, share, counted: [1 / len(counted)] * len(counted))


def check(schedule: Any, loss: str = "sum") -> None:
    expected = windows(fresh(schedule))
    updates, _, _ = fit(lambda: Recurrence(loss), fresh(schedule), [data()])
    for found, (steps, gradient) in zip(updates.gradients, expected, strict=True):
        check_close(found, [factor(loss, steps) * each for each in gradient])


@pytest.mark.parametrize(
    ("break_it", "schedule", "loss"),
    [
        (no_factor, ARTBP(4, seed=0), "sum"),
        (no_chain, OVERLAPPING, "sum"),
        (no_chain, Checkpointed(5), "sum"),
        (no_stored_state, OVERLAPPING, "sum"),
        (only_the_last_piece, OVERLAPPING, "sum"),
        (plain_mean, Fixed(3, 7, "window"), "own mean"),
    ],
)
def test_a_chain_that_is_wrong_is_found_out(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, break_it: Any, schedule: Any, loss: str
) -> None:
    check(schedule, loss)
    with monkeypatch.context() as patch:
        break_it(patch)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            check(schedule, loss)


def test_the_whole_gradient_is_what_the_oracle_says() -> None:
    check_close(windows(Checkpointed(5))[0][1], full_gradient())
