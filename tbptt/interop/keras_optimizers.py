"""An optimizer's state from and to a Keras 3 optimizer's variables, in the order of ``optimizer.variables``.

That order is: the count of updates, the learning rate (unless it is a schedule), then for each trained variable of the model, in
the model's order, its slots. Slots without a rate in them are ours (moments, squares, sums). Keras' momentum has the learning rate
inside: SGD's m = -lr·buf, RMSprop's m = lr·buf, with the rate of the coming update. From there on both move alike while the
rate stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tbptt.errors import ConfigurationError, WeightsError
from tbptt.interop.exchange import as_array
from tbptt.interop.layouts import keras_layouts
from tbptt.interop.optimizer_slots import Slots, Trained, TwinsError, trained_places, twins_fault
from tbptt.nn.module import Module
from tbptt.nn.weights import faults, refuse
from tbptt.optim import Optimizer
from tbptt.optim.groups import rate_at
from tbptt.types import Array

_BLOCKS = (
    ("exp_avg", "exp_avg_sq"),
    ("max_exp_avg_sq",),
    ("square_avg",),
    ("momentum_buffer",),
    ("grad_avg",),
    ("sum",),
)
"""Our slots in Keras' order: both moments of a variable side by side, everything else variable after variable."""


def load_keras_optimizer_state(
    optimizer: Optimizer, module: Module, variables: Any, order: Sequence[str] | None = None
) -> None:
    """Go on from a Keras optimizer's state: ``load_keras_optimizer_state(ours, module, theirs.variables)``.

    Momentum, moments, sums, the count of updates and the learning rate are taken (a rate that is a function here stays).
    The variables hold no other hyperparameters: make ours with Keras' (`epsilon_hat`, `epsilon_inside`, ε, betas).

    >>> import numpy as np
    >>> from tbptt import interop, nn, optim
    >>> linear = nn.Linear(2, 1, bias=False)
    >>> optimizer = optim.SGD(linear.parameters(), lr=0.1, momentum=0.9)
    >>> interop.load_keras_optimizer_state(optimizer, linear, [np.array(7), np.array(0.5), np.array([[-1.0], [0.0]])])
    >>> optimizer.step_count, optimizer.lr, optimizer.state_dict()["groups"][0]["slots"]["momentum_buffer"][0].tolist()
    (7, 0.5, [[2.0, -0.0]])

    Args:
        optimizer: one of ours, of the same kind and options.
        module: whose parameters it updates.
        variables: ``optimizer.variables``, or their values in that order, or by number (``{"0": ..., "1": ...}``, as in files).
        order: our paths in the order in which the Keras model has these layers (``lstm.0`` and ``lstm.1`` where ours has several);
            None: they are in ours.

    Raises:
        WeightsError: listing everything of another shape or number, or without an exact counterpart; nothing is loaded then.
        ConfigurationError: if the optimizer has parameters that are not in the module, or `order` is no order of its layers.
    """
    if isinstance(variables, str) or not isinstance(variables, Mapping | Sequence):
        raise WeightsError(
            f"Expected are the variables of a Keras optimizer, in their order; received a {type(variables).__name__}. Hand over "
            f"optimizer.variables, of an optimizer that has been built."
        )
    slots = Slots(optimizer)
    trained = _ordered(trained_places(slots, module, keras_layouts), order)
    named = _slot_names(optimizer)
    if isinstance(variables, Mapping):
        variables = [variables[key] for key in sorted(variables, key=int)]
    arrays = [as_array(variable) for variable in variables]
    entries = _entries(trained, named)
    expected = {_label(one, name, slot): one.place.layout.shapes[name] for one, name, slot in entries}
    scalars = 2 if len(arrays) > 1 and arrays[1].shape == () else 1  # a schedule is no variable
    received = dict(
        zip(
            [*expected, *(f"number {i}" for i in range(len(entries) + scalars, len(arrays)))],
            arrays[scalars:],
            strict=False,
        )
    )
    wrong = faults(expected, {label: array.shape for label, array in received.items()}, "the variables")
    if not arrays or arrays[0].shape != ():
        wrong.append("missing: the count of updates, the first of the variables")
    rate = _rate(optimizer, arrays, scalars)
    if "momentum_buffer" in named and not rate:
        wrong.append("learning rate: is 0, and Keras' momentum has it as a factor: there is no way back to ours")
    for one in trained if not wrong else []:
        for slot in named:
            scale = _scale(named, slot, rate)
            try:
                read = one.read({name: received[_label(one, name, slot)] / scale for name in one.reach})
            except TwinsError:
                wrong.append(twins_fault(one, slot))
                continue
            for name, value in read.items():
                slots.set(one.parameters[name], slot, value)
                slots.set(one.parameters[name], "step", int(arrays[0]))
    refuse(
        f"{len(arrays)} variables of Keras' optimizer",
        wrong,
        "Expected are a count, a learning rate and the slots of an optimizer of the same kind and options, built for a model with "
        "these layers in this order; say another order: order=['ours', ...].",
    )
    for group, ours in zip(slots.state["groups"], optimizer.param_groups, strict=True):
        if scalars == 2 and not callable(ours["lr"]):
            group["hyperparameters"]["lr"] = rate
        if not named:
            group["slots"]["step"] = [np.asarray(int(arrays[0])) for _ in ours["params"]]
    slots.state["step_count"] = int(arrays[0])
    optimizer.load_state_dict(slots.state)


def keras_optimizer_state(optimizer: Optimizer, module: Module, order: Sequence[str] | None = None) -> list[Array]:
    """Our state as values for a built Keras optimizer of the same kind:
    ``for variable, value in zip(theirs.variables, keras_optimizer_state(ours, module)): variable.assign(value)``.

    The learning rate is left out if it is a function here, as Keras has no variable for a schedule.

    >>> from tbptt import interop, nn, optim
    >>> linear = nn.Linear(2, 1)
    >>> [array.shape for array in interop.keras_optimizer_state(optim.Adam(linear.parameters()), linear)]
    [(), (), (2, 1), (2, 1), (1,), (1,)]

    Args:
        optimizer: one of ours.
        module: whose parameters it updates.
        order: as in `load_keras_optimizer_state`.

    Raises:
        WeightsError: if parameters have been updated more or less often than others, and the rule depends on it (Adam): Keras
            counts all as one.
        ConfigurationError: if learning rates or options differ between groups, the optimizer has parameters that are not in the
            module, or `order` is no order of its layers.
    """
    slots = Slots(optimizer)
    trained = _ordered(trained_places(slots, module, keras_layouts), order)
    named = _slot_names(optimizer)
    steps = {int(step) for group in slots.state["groups"] for step in group["slots"]["step"]}
    if "exp_avg" in named and steps != {optimizer.step_count}:
        raise WeightsError(
            f"Parameters have been updated {', '.join(map(str, sorted(steps)))} times in {optimizer.step_count} updates; "
            f"Keras' Adam has one count for all, so its bias correction would be another. Exchange the weights without the state."
        )
    rate = optimizer.lr
    values = []
    for one, name, slot in _entries(trained, named):
        written = one.write({ours: slots.get(one.parameters[ours], slot) for ours in one.reach[name]})
        values.append(written[name] * _scale(named, slot, rate))
    rates = [] if any(callable(group["lr"]) for group in optimizer.param_groups) else [np.array(rate)]
    return [np.array(optimizer.step_count), *rates, *values]


def _ordered(trained: list[Trained], order: Sequence[str] | None) -> list[Trained]:
    if order is None:
        return trained
    by_key = {one.place.key: one for one in trained}
    if sorted(order) != sorted(by_key):
        raise ConfigurationError(
            f"order must name each of the layers {', '.join(by_key)} once, as the Keras model has them; "
            f"received {', '.join(order)}."
        )
    return [by_key[key] for key in order]


def _slot_names(optimizer: Optimizer) -> list[str]:
    """The slots of all groups, in Keras' order."""
    kinds = {tuple(optimizer.fills(group)) for group in optimizer.param_groups}
    if len(kinds) > 1:
        raise ConfigurationError(
            f"The parameter groups keep different state, {sorted(kinds)}; a Keras optimizer has one rule for all. Exchange the "
            f"weights without the state."
        )
    (kept,) = kinds
    return [slot for block in _BLOCKS for slot in block if slot in kept]


def _entries(trained: list[Trained], named: list[str]) -> list[tuple[Trained, str, str]]:
    """Layer, array and slot of each variable after the scalars."""
    blocks = [[slot for slot in block if slot in named] for block in _BLOCKS]
    return [(one, name, slot) for block in blocks if block for one in trained for name in one.reach for slot in block]


def _label(one: Trained, name: str, slot: str) -> str:
    return ".".join(part for part in (one.place.key, name, slot) if part)


def _rate(optimizer: Optimizer, arrays: list[Array], scalars: int) -> float:
    """The rate of the coming update: Keras' variable, in the digits its dtype has; else ours."""
    if scalars == 2 and arrays[1].shape == ():
        return float(str(arrays[1]))
    return rate_at(optimizer.param_groups[0]["lr"], int(arrays[0]) if arrays and arrays[0].shape == () else 0)


def _scale(named: list[str], slot: str, rate: float) -> float:
    """What Keras' slot is to ours."""
    if slot != "momentum_buffer":
        return 1.0
    return rate if "square_avg" in named else -rate
