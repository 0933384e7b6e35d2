"""An optimizer's state from and to a `torch.optim` state dict: SGD, Adam, AdamW, RMSprop, Adagrad, whose slots have our names.

Of torch's two biases that are one here both have the same gradients, so the same momentum and moments: coming in, the first's
are taken (and have to be the second's, if that is trained); going out, both get ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tbptt.errors import WeightsError
from tbptt.interop.exchange import as_array, places
from tbptt.interop.layouts import torch_layouts
from tbptt.interop.optimizer_slots import Slots, Trained, TwinsError, trained_places, twins_fault
from tbptt.interop.torch_weights import torch_names
from tbptt.nn.module import Module
from tbptt.nn.weights import faults, refuse
from tbptt.optim import AdamW, Optimizer
from tbptt.types import Array, Parameter

_OURS_ALONE = ("epsilon_hat", "epsilon_inside")
_OF_ONE_KIND = ("momentum", "betas", "alpha", "lr_decay")
_ORDER = (
    "parameter_names=[name for name, parameter in theirs.named_parameters() if parameter.requires_grad], or all of them if it was "
    "given all"
)


def load_torch_optimizer_state(
    optimizer: Optimizer,
    module: Module,
    state_dict: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    parameter_names: Sequence[str] | None = None,
    step_count: int | None = None,
) -> None:
    """Go on from a torch optimizer's state: ``load_torch_optimizer_state(ours, module, theirs.state_dict())``.

    Momentum, moments, sums and counts of updates are taken, hyperparameters as well (a learning rate that is a function here
    stays). After it the next update is torch's, to rounding, except where torch trains two biases in the place of our one:
    its sum of them moves twice as far.

    >>> import numpy as np
    >>> from tbptt import interop, nn, optim
    >>> linear = nn.Linear(2, 1, bias=False)
    >>> optimizer = optim.SGD(linear.parameters(), lr=0.1, momentum=0.9)
    >>> group = {"params": [0], "lr": 0.5, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    >>> state = {"state": {0: {"momentum_buffer": np.ones((1, 2))}}, "param_groups": [group]}
    >>> interop.load_torch_optimizer_state(optimizer, linear, state)
    >>> optimizer.lr
    0.5

    Args:
        optimizer: one of ours, of the same kind and options.
        module: whose parameters it updates.
        state_dict: of the torch optimizer.
        names: where a module is called something else in torch, as in `load_torch_state_dict`.
        parameter_names: of torch's parameters in the order its optimizer got them, since it keeps numbers only; frozen ones may be
            among them. None: the names the state has (of an optimizer made with ``named_parameters()``), else ours
            in definition order.
        step_count: updates done so far. None: the state's largest count; torch's SGD keeps none, ours then stays.

    Raises:
        WeightsError: listing everything missing, unexpected, of another shape or without an exact counterpart; nothing is loaded.
        ConfigurationError: if the optimizer has parameters that are not in the module.
    """
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= state_dict.keys():
        received = (
            f"a mapping of {list(state_dict)}" if isinstance(state_dict, Mapping) else f"a {type(state_dict).__name__}"
        )
        raise WeightsError(
            f"Expected is what theirs.state_dict() of a torch optimizer gives, a mapping with 'state' and 'param_groups'; received "
            f"{received}. Hand over optimizer.state_dict(), or that part of what torch.load(path, weights_only=True) gives."
        )
    slots = Slots(optimizer)
    trained = trained_places(slots, module, torch_layouts)
    full = [torch_names(module, one.place, names) for one in trained]
    groups = state_dict["param_groups"]
    numbers = [number for group in groups for number in group["params"]]
    given = parameter_names or [name for group in groups for name in group.get("param_names", ())]
    order = list(given or [theirs[name] for one, theirs in zip(trained, full, strict=True) for name in one.reach])
    what = f"{len(numbers)} parameters' state of torch's optimizer"
    if len(order) != len(numbers):
        refuse(what, [f"count: there are {len(order)} names: {', '.join(order)}"], f"Say which they are: {_ORDER}.")
    of = dict(zip(order, numbers, strict=True))
    states = {name: _present(state_dict["state"].get(number)) for name, number in of.items()}
    ours = {theirs[name] for one, theirs in zip(trained, full, strict=True) for name in one.reach}
    frozen = _all_names(module, names) - ours
    wrong = _count_faults([name for name in of if states[name] or name not in frozen], trained, full)
    for one, theirs in zip(trained, full, strict=True):
        wrong += _load_layer(slots, one, {name: states.get(theirs[name]) for name in one.reach}, theirs)
        for name in one.reach:
            if theirs[name] in of:
                parameter = one.parameters[one.reach[name][0]]
                there = next(group for group in groups if of[theirs[name]] in group["params"])
                wrong += _load_hyperparameters(slots, parameter, there)
    refuse(
        what, list(dict.fromkeys(wrong)), f"Make both optimizers alike, and say which parameters torch's has: {_ORDER}."
    )
    counted = [int(step) for group in slots.state["groups"] for step in group["slots"]["step"]]
    kept = any("step" in state for state in states.values() if state)
    slots.state["step_count"] = step_count if step_count is not None else max(counted) if kept else optimizer.step_count
    optimizer.load_state_dict(slots.state)


def torch_optimizer_state(
    optimizer: Optimizer,
    module: Module,
    names: Mapping[str, str] | None = None,
    parameter_names: Sequence[str] | None = None,
    convert: Callable[[Any], Any] | None = None,
) -> dict[str, Any]:
    """Our state as torch's optimizer of the same kind takes it.

    ``theirs.load_state_dict(torch_optimizer_state(ours, module, convert=torch.from_numpy))``

    >>> import numpy as np
    >>> from tbptt import interop, nn, ops, optim
    >>> linear = nn.Linear(2, 1, bias=False)
    >>> optimizer = optim.Adam(linear.parameters())
    >>> optimizer.apply([ops.ones_like(linear.weight)])
    >>> interop.torch_optimizer_state(optimizer, linear)["state"][0]["exp_avg"].shape
    (1, 2)

    Args:
        optimizer: one of ours.
        module: whose parameters it updates.
        names: as in `load_torch_optimizer_state`.
        parameter_names: of torch's parameters in the order its optimizer got them; None: ours in definition order, second biases
            included.
        convert: made of each array; ``convert=torch.from_numpy`` gives what torch's ``load_state_dict`` takes.

    Raises:
        WeightsError: if torch has no such optimizer (`epsilon_hat`, `epsilon_inside`), or other parameters.
        ConfigurationError: if the optimizer has parameters that are not in the module.
    """
    slots = Slots(optimizer)
    trained = trained_places(slots, module, torch_layouts)
    full = [torch_names(module, one.place, names) for one in trained]
    foreign = {theirs[name]: (one, name) for one, theirs in zip(trained, full, strict=True) for name in one.reach}
    order = list(foreign) if parameter_names is None else list(parameter_names)
    # of several groups nobody knows which one a frozen parameter is in
    kept = _all_names(module, names) if len(optimizer.param_groups) == 1 else set[str]()
    wrong = _count_faults([name for name in order if name in foreign or name not in kept], trained, full)
    wrong += [
        f"{name}: torch has no such option" for name in _OURS_ALONE if any(g.get(name) for g in optimizer.param_groups)
    ]
    if wrong:
        raise WeightsError(
            "This optimizer's state cannot be torch's:\n  " + "\n  ".join(wrong) + f"\nAs for names: {_ORDER}."
        )
    members: list[list[str]] = [[] for _ in optimizer.param_groups]
    for name in order:
        if name not in foreign:
            members[0].append(name)
            continue
        one, short = foreign[name]
        members[slots.group(one.parameters[one.reach[short][0]])].append(name)
    numbers = {name: i for i, name in enumerate(name for group in members for name in group)}
    state: dict[int, dict[str, Any]] = {}
    for name, number in numbers.items():
        entries = _written(slots, *foreign[name]) if name in foreign else {}
        if entries:
            state[number] = {slot: convert(array) if convert else array for slot, array in entries.items()}
    groups = [
        {"params": [numbers[name] for name in group], **_hyperparameters(optimizer, g)}
        for g, group in enumerate(members)
    ]
    return {"state": state, "param_groups": groups}


def _present(state: Mapping[str, Any] | None) -> dict[str, Array] | None:
    """A parameter's state as arrays; None before its first update, where torch keeps none."""
    arrays = {name: as_array(value) for name, value in (state or {}).items() if value is not None}
    return arrays or None


def _all_names(module: Module, names: Mapping[str, str] | None) -> set[str]:
    """Those of what is not trained too, which torch's optimizer may have been given, without ever keeping a state for it."""
    return {name for place in places(module, torch_layouts) for name in torch_names(module, place, names).values()}


def _count_faults(order: Sequence[str], trained: list[Trained], full: list[dict[str, str]]) -> list[str]:
    """Our arrays that torch's optimizer lacks, and the other way round; a second bias may not be trained there."""
    ours = {
        theirs[name]: name in one.place.layout.optional
        for one, theirs in zip(trained, full, strict=True)
        for name in one.reach
    }
    return [f"missing: {name}" for name, optional in ours.items() if name not in order and not optional] + [
        f"unexpected: {name}" for name in order if name not in ours
    ]


def _load_layer(
    slots: Slots, one: Trained, states: Mapping[str, dict[str, Array] | None], theirs: Mapping[str, str]
) -> list[str]:
    """The state of one layer's arrays into `slots`; or what is wrong with it."""
    first = next(iter(one.reach.values()))[0]
    named = slots.names(one.parameters[first])
    shapes = one.place.layout.shapes
    expected = {f"{theirs[n]}.{slot}": shapes[n] for n, state in states.items() if state for slot in named}
    received = {
        f"{theirs[n]}.{slot}": array.shape
        for n, state in states.items()
        if state
        for slot, array in state.items()
        if slot != "step"
    }
    wrong = faults(expected, received, "the state")
    if wrong:
        return wrong
    fresh = [name for name, state in states.items() if state is None and name not in one.place.layout.optional]
    for slot in named:
        arrays = {name: state[slot] for name, state in states.items() if state}
        arrays |= {name: np.full(shapes[name], slots.fill(one.parameters[first], slot)) for name in fresh}
        try:
            for name, value in one.read(arrays).items():
                slots.set(one.parameters[name], slot, value)
        except TwinsError:
            wrong.append(twins_fault(one, slot))
    for theirs_name, state in states.items():
        if theirs_name in one.place.layout.optional:
            continue
        for name in one.reach[theirs_name]:
            # torch's SGD does not count: an update has been done or not, which is all its dampening asks
            slots.set(one.parameters[name], "step", int(state.get("step", 1)) if state else 0)
    return wrong


def _load_hyperparameters(slots: Slots, parameter: Parameter, theirs: Mapping[str, Any]) -> list[str]:
    """A torch group's hyperparameters into the group the parameter is in; or what is wrong with them."""
    g = slots.group(parameter)
    optimizer, group = slots.optimizer, slots.optimizer.param_groups[g]
    wrong = ["maximize: torch's optimizer climbs, ours descend"] if theirs.get("maximize") else []
    strange = [name for name in _OF_ONE_KIND if (name in group) != (name in theirs)]
    if strange:
        wrong.append(f"kind: {', '.join(strange)} is an option of one only: torch's is no {type(optimizer).__name__}")
    decoupled = bool(theirs.get("decoupled_weight_decay", isinstance(optimizer, AdamW)))
    if theirs.get("weight_decay") and decoupled != isinstance(optimizer, AdamW):
        wrong.append(
            f"weight_decay: is {'' if decoupled else 'not '}decoupled in torch, and {type(optimizer).__name__}'s is the other"
        )
    taken = {name: _plain(theirs[name]) for name in group if name != "params" and name in theirs}
    taken |= {name: False for name in _OURS_ALONE if name in group}
    if optimizer.fills({**group, **taken}).keys() != optimizer.fills(group).keys():
        wrong.append(
            f"options: ours keeps {sorted(optimizer.fills(group))}, torch's {sorted(optimizer.fills({**group, **taken}))}"
        )
    slots.state["groups"][g]["hyperparameters"].update({n: v for n, v in taken.items() if not callable(group[n])})
    return wrong


def _hyperparameters(optimizer: Optimizer, g: int) -> dict[str, Any]:
    """A group's hyperparameters under torch's names, with torch's defaults for what is about speed alone."""
    group = optimizer.param_groups[g]
    own = {name: value for name, value in group.items() if name not in ("params", *_OURS_ALONE)}
    decoupled = {"decoupled_weight_decay": isinstance(optimizer, AdamW)} if "betas" in own else {}
    speed = {"maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": None}
    return {**own, **decoupled, **speed, "lr": optimizer.rates()[g]}


def _written(slots: Slots, one: Trained, theirs: str) -> dict[str, Array]:
    """The state of one foreign array; nothing before its first update, where torch keeps none but Adagrad's."""
    ours = one.reach[theirs]
    parameter = one.parameters[ours[0]]
    step = int(slots.get(parameter, "step"))
    named = slots.names(parameter)
    if step == 0 and "sum" not in named:
        return {}
    entries = {
        slot: one.write({name: slots.get(one.parameters[name], slot) for name in ours})[theirs] for slot in named
    }
    if named and named != ["momentum_buffer"]:  # torch's SGD does not count
        entries = {"step": np.array(step, np.float32), **entries}
    return entries


def _plain(value: Any) -> Any:
    """A hyperparameter as a number, where torch keeps it in a tensor."""
    if isinstance(value, tuple | list):
        return tuple(_plain(item) for item in value)
    return value if isinstance(value, bool | int | float) or value is None else float(as_array(value))
