"""States of every structure pass through every kind of window: gradients are those of a loop by hand, leaves keep their kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tbptt
from tbptt import autodiff, nn, ops, optim, tree
from tbptt.initial_states import Given
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Checkpointed, Fixed, as_schedule
from tbptt.schedules.base import preview
from trainer.carrying import gradients, quiet

ROWS, STEPS, UNITS = 2, 9, 3


@dataclasses.dataclass
class Memory:
    h: Any
    seen: Any
    label: str


class Form(NamedTuple):
    """A structure: the state at the beginning, and one step, (model, x (B, 1), state) to (output (B, units), state)."""

    begin: Callable[[], Any]
    step: Callable[[Any, Any, Any], tuple[Any, Any]]
    kinds: Callable[[Any], bool] = lambda state: True
    """Whether leaves of a state that enters a step are what they should be."""


def zeros(*shape: int, dtype: str = "float64") -> Any:
    return ops.zeros(shape, dtype=dtype)


def is_float(leaf: Any, *shape: int) -> bool:
    return ops.is_tensor(leaf) and ops.dtype(leaf) == "float64" and tuple(leaf.shape) == shape


def on_axis_0(model: Any, x: Any, h: Any) -> Any:
    h = model.next(h, x)
    return h, h


def on_axis_1(model: Any, x: Any, state: Any) -> Any:
    below = model.next(state[0], x)
    above = model.next(state[1], x) + below * 0.5
    return above, ops.stack([below, above])


def h_and_c(model: Any, x: Any, state: Any) -> Any:
    h, c = state
    c = c * 0.7 + model.next(h, x)
    h = ops.tanh(c)
    return h, (h, c)


def stack_of_widths(model: Any, x: Any, state: Any) -> Any:
    (h, c), (narrow,) = state
    output, (h, c) = h_and_c(model, x, (h, c))
    narrow = ops.tanh(narrow * 0.6 + h[:, :2])
    return output + ops.concat([narrow, narrow[:, :1]], axis=1), [(h, c), (narrow,)]


def integers(model: Any, x: Any, state: Any) -> Any:
    seen = ops.logical_or(state["seen"], x[:, 0] > 0)
    count = state["count"] + ops.astype(seen, "int32")
    h = ops.where(ops.expand_dims(seen, axis=1), model.next(state["h"], x), state["h"] * model.decay)
    output = h * ops.expand_dims(ops.astype(count, "float64"), axis=1) + state["steps"]
    return output, {"h": h, "seen": seen, "count": count, "steps": state["steps"] + 1, "name": "x"}


def integers_kept(state: Any) -> bool:
    count, seen = state["count"], state["seen"]
    tensors = ops.is_tensor(count) and ops.is_tensor(seen) and is_float(state["h"], ROWS, UNITS)
    dtypes = (ops.dtype(count), ops.dtype(seen)) == ("int32", "bool")
    return tensors and dtypes and type(state["steps"]) is int and state["name"] == "x"


def memory(model: Any, x: Any, state: Any) -> Any:
    h = model.next(state.h, x)
    return h, Memory(h, ops.logical_or(state.seen, x > 0), state.label)


def memory_kept(state: Any) -> bool:
    return (
        type(state) is Memory
        and is_float(state.h, ROWS, UNITS)
        and ops.dtype(state.seen) == "bool"
        and state.label == "m"
    )


def with_none(model: Any, x: Any, state: Any) -> Any:
    """Every other step remembers."""
    nothing, h, before = state
    h = model.next(h, x) if before is None else model.next(h, x) + before * model.decay
    return h, (nothing, h, h if before is None else None)


def growing(model: Any, x: Any, state: Any) -> Any:
    """A memory of past states that forgets all but one when it holds five."""
    h = model.next(state[-1], x) + ops.sum(ops.stack(state), axis=0) * model.decay
    return h, [*state, h] if len(state) < 5 else [h]


def cache(model: Any, x: Any, state: Any) -> Any:
    """What steps before were, the one two steps ago is read; and a running sum, which an update twice over would spoil. Written in
    place where the model does.
    """
    store, total, position = state
    h = model.next(ops.asarray(store[:, position], copy=True), x) + ops.tanh(
        ops.asarray(total, copy=True) * model.decay
    )
    h = h + ops.asarray(store[:, max(position - 2, 0)], copy=True) * model.decay
    if model.writes:
        store[:, position + 1] = h
        total += h
    else:
        here = ops.reshape(ops.arange(STEPS + 1) == position + 1, (1, STEPS + 1, 1))
        store, total = ops.where(here, ops.expand_dims(h, axis=1), store), total + h
    return h, (store, total, position + 1)


def highest(model: Any, x: Any, state: Any) -> Any:
    """log Σ exp of all states so far; −1e30 before any."""
    total, h = state
    h = model.next(h, x)
    most = ops.maximum(total, h)
    total = most + ops.log(ops.exp(total - most) + ops.exp(h - most))
    return total, (total, h)


FORMS: dict[str, Form] = {
    "rows on axis 0": Form(lambda: zeros(ROWS, UNITS), on_axis_0, lambda h: is_float(h, ROWS, UNITS)),
    "rows on axis 1": Form(lambda: zeros(2, ROWS, UNITS), on_axis_1, lambda h: is_float(h, 2, ROWS, UNITS)),
    "h and c": Form(
        lambda: (zeros(ROWS, UNITS),) * 2, h_and_c, lambda s: type(s) is tuple and is_float(s[1], ROWS, UNITS)
    ),
    "stack of widths": Form(
        lambda: [(zeros(ROWS, UNITS),) * 2, (zeros(ROWS, 2),)], stack_of_widths, lambda s: is_float(s[1][0], ROWS, 2)
    ),
    "integers and booleans": Form(
        lambda: {
            "h": zeros(ROWS, UNITS),
            "seen": zeros(ROWS, dtype="bool"),
            "count": zeros(ROWS, dtype="int32"),
            "steps": 0,
            "name": "x",
        },
        integers,
        integers_kept,
    ),
    "dataclass": Form(lambda: Memory(zeros(ROWS, UNITS), zeros(ROWS, 1, dtype="bool"), "m"), memory, memory_kept),
    "None here and there": Form(lambda: (None, zeros(ROWS, UNITS), None), with_none, lambda s: s[0] is None),
    "list that grows and shrinks": Form(lambda: [zeros(ROWS, UNITS)], growing, lambda s: type(s) is list),
    "cache": Form(lambda: (zeros(ROWS, STEPS + 1, UNITS), zeros(ROWS, UNITS), 0), cache, lambda s: type(s[2]) is int),
    "begins at -1e30": Form(lambda: (ops.full((ROWS, UNITS), -1e30, dtype="float64"), zeros(ROWS, UNITS)), highest),
}

SCHEDULES: dict[str, Callable[[], Any]] = {
    "3": lambda: Fixed(3),
    "overlap": lambda: Fixed(2, 5),
    "burn-in": lambda: Fixed(3, 5, burn_in=2),
    "checkpointed": lambda: Checkpointed(3),
    "two slots": lambda: Checkpointed(1, slots=2),
    "artbp": lambda: ARTBP(2, seed=3),
}


class Structured(tbptt.Module):
    """A model whose state is of a form; the loss is a sum over steps."""

    def __init__(self, form: Form, writes: bool = False) -> None:
        super().__init__()
        generator = np.random.default_rng(0)
        self.w, self.v = (
            nn.Parameter(generator.normal(size=(UNITS, UNITS)) * 0.5),
            nn.Parameter(generator.normal(size=UNITS)),
        )
        self.decay = nn.Parameter(np.array(0.4))
        self.form, self.writes = form, writes

    def initial_state(self, batch_size: int) -> Any:
        return self.form.begin()

    def next(self, h: Any, x: Any) -> Any:
        return ops.tanh(ops.matmul(h, self.w) + x * self.v)

    def one(self, x: Any, state: Any) -> Any:
        assert self.form.kinds(state)
        output, state = self.form.step(self, x, state)
        return ops.sum(ops.square(output - x)), state

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        total = zeros()
        for t in range(batch["x"].shape[1]):
            loss, hiddens = self.one(batch["x"][:, t : t + 1], hiddens)
            total = total + loss
        return total, hiddens

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=0.0)


def stopped(state: Any) -> Any:
    return tree.map(lambda leaf: autodiff.stop_gradient(leaf) if ops.is_tensor(leaf) else leaf, state)


def weighed(state: Any, factor: float) -> Any:
    """The same state, whose gradient on the way back is multiplied."""

    def weigh(leaf: Any) -> Any:
        if not ops.is_tensor(leaf) or ops.dtype(leaf) != "float64":
            return leaf
        constant = autodiff.stop_gradient(leaf)
        return constant + (leaf - constant) * factor

    return tree.map(weigh, state)


def by_hand(model: Structured, x: np.ndarray, schedule: Any) -> list[list[np.ndarray]]:
    """Step by step: what the record of each window says is done to the state and the loss. Nothing is written in place."""
    model.writes = False
    steps = ops.asarray(x)
    states, found = {0: model.form.begin()}, []
    for window in preview(as_schedule(schedule), STEPS):
        factors = dict(window.factors)
        with tbptt.GradientTape() as tape:
            state, total = states[window.run_from], zeros()
            for t in range(window.run_from, window.stop):
                state = stopped(state) if t <= window.reach else weighed(state, factors.get(t, 1.0))
                loss, state = model.one(steps[:, t : t + 1], state)
                total = total + loss if t >= window.losses else total
                states.setdefault(t + 1, stopped(state))
        taken = zip(tape.gradient(total, model.parameters()), model.parameters(), strict=True)
        found.append([np.zeros(tuple(p.shape)) if g is None else np.array(ops.to_numpy(g)) for g, p in taken])
    return found


def made(name: str, writes: bool = False) -> Structured:
    with tbptt.dtypes.dtype_scope("float64"):
        return Structured(FORMS[name], writes)


def compare(found: list[list[np.ndarray]], expected: list[list[np.ndarray]]) -> None:
    assert len(found) == len(expected)
    for update, same in zip(found, expected, strict=True):
        for gradient, other in zip(update, same, strict=True):
            np.testing.assert_allclose(gradient, other, rtol=1e-11, atol=1e-11)


X = np.random.default_rng(1).normal(size=(ROWS, STEPS))


@pytest.mark.parametrize("name", FORMS)
def test_gradients_equal_those_of_a_loop_by_hand(backend: Backend, name: str) -> None:
    whole = by_hand(made(name), X, STEPS)
    for make in SCHEDULES.values():
        found = gradients(lambda: made(name), [{"x": X}], make())
        compare(found, whole if isinstance(make(), Checkpointed) else by_hand(made(name), X, make()))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_cache_may_be_written_to_in_place(schedule: str) -> None:
    """torch only: TensorFlow's tensors cannot be written to. States that are needed again are copies."""
    with tbptt.use_backend("torch"):
        found = gradients(lambda: made("cache", writes=True), [{"x": X}], SCHEDULES[schedule]())
        compare(found, by_hand(made("cache"), X, SCHEDULES[schedule]()))


class Twice(Structured):
    """Two optimizers: each runs the window from the state that entered it."""

    def training_step(self, batch: Any, batch_idx: int, optimizer_idx: int, hiddens: Any) -> Any:  # type: ignore[override]
        return super().training_step(batch, batch_idx, hiddens)

    def configure_optimizers(self) -> Any:
        return [optim.SGD(self.parameters(), lr=0.0), optim.SGD(self.parameters(), lr=0.0)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_cache_written_in_place_is_as_it_came_for_the_second_optimizer(schedule: str) -> None:
    with tbptt.use_backend("torch"):
        found = gradients(lambda: Twice(FORMS["cache"], writes=True), [{"x": X}], SCHEDULES[schedule]())
        expected = by_hand(made("cache"), X, SCHEDULES[schedule]())
    compare(found, [update for each in expected for update in (each, each)])


def counting(model: Any, x: Any, state: Any) -> Any:
    output, after = integers(model, x, {**state, "steps": ops.astype(state["steps"], "float64")})
    return output, {**after, "steps": state["steps"] + 1}


COUNTING = Form(lambda: {**FORMS["integers and booleans"].begin(), "steps": ops.asarray(0)}, counting)
"""Its number of steps is a tensor: a number that changes would make a program of its own each time."""


@pytest.mark.parametrize("name", ["integers and booleans", "rows on axis 1"])
@pytest.mark.parametrize("schedule", ["3", "checkpointed"])
def test_compiled_they_are_the_same(name: str, schedule: str) -> None:
    tbptt.backends.load("tensorflow")
    with tbptt.use_backend("tensorflow"):
        form = COUNTING if name == "integers and booleans" else FORMS[name]
        with tbptt.dtypes.dtype_scope("float64"):
            module = Structured(form)
        found = gradients(lambda: module, [{"x": X}], SCHEDULES[schedule](), compile=True)
        compare(found, by_hand(made(name), X, STEPS if schedule == "checkpointed" else 3))


def test_initial_values_that_are_not_zero_come_back_at_resets(backend: Backend) -> None:
    """Rows one after the other are as good as each by itself."""
    mask = np.zeros((ROWS, STEPS), bool)
    mask[0, 4] = mask[1, 6] = mask[1, 7] = True

    class Resetting(Structured):
        def __init__(self) -> None:
            super().__init__(FORMS["begins at -1e30"])
            self.initial_state = Given((np.full((1, UNITS), -1e30), np.zeros((1, UNITS))))

    def total(batches: Any, schedule: Any) -> list[Any]:
        found = gradients(Resetting, batches, schedule)
        return [sum(update[index] for update in found) for index in range(3)]

    parts = [(0, 0, 4), (0, 4, 9), (1, 0, 6), (1, 6, 7), (1, 7, 9)]
    expected = total([{"x": X[row : row + 1, start:stop]} for row, start, stop in parts], None)
    for schedule in (Checkpointed(3), Checkpointed(2, slots=1), None):
        for gradient, other in zip(total([{"x": X, "resets": mask}], schedule), expected, strict=True):
            np.testing.assert_allclose(gradient, other, rtol=1e-11, atol=1e-11)


class Opaque:
    """A state no tree knows: a leaf."""

    def __init__(self, h: Any) -> None:
        self.h = h


def opaque(model: Any, x: Any, state: Any) -> Any:
    h = model.next(state.h, x)
    return h, Opaque(h)


def test_a_detach_fn_takes_the_place_of_the_librarys(backend: Backend) -> None:
    calls = []

    def cut(state: Opaque) -> Opaque:
        calls.append(state)
        return Opaque(tbptt.detach(state.h))

    def make() -> Structured:
        return Structured(Form(lambda: Opaque(zeros(ROWS, UNITS)), opaque, lambda state: type(state) is Opaque))

    found = gradients(make, [{"x": X}], 3, detach_fn=cut)
    compare(found, by_hand(made("rows on axis 0"), X, 3))
    assert len(calls) == 3

    class Validated(Structured):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            return self.training_step(batch, batch_idx, hiddens)

    with tbptt.dtypes.dtype_scope("float64"):
        module = Validated(make().form)
    quiet(3, detach_fn=cut).validate(module, [{"x": X}])
    assert len(calls) == 6
