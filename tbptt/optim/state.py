"""An optimizer's state as NumPy arrays and plain numbers: how it is laid out, and whether one fits.

``{"optimizer": "Adam", "step_count": 200, "groups": [{"hyperparameters": {"lr": 0.001, "betas": [0.9, 0.999], ...},
"slots": {"step": [array, ...], "exp_avg": [array, ...], ...}}]}`` with one array per parameter in a slot. In a file the arrays
are named ``group.slot.parameter``, as in ``0.exp_avg.3``, and the rest is JSON beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tbptt.errors import ShapeError, StructureError, WeightsError
from tbptt.nn import weights
from tbptt.optim.groups import Group
from tbptt.types import Array

_KEY = "tbptt_optimizer"


def export_state(
    optimizer: str, step_count: int, groups: Sequence[Group], slots: Sequence[Mapping[str, list[Array]]]
) -> dict[str, Any]:
    """The state in the layout above. Functions are left out and tuples become lists, so JSON can hold the numbers."""
    hyperparameters = [
        {name: _plain(value) for name, value in group.items() if name != "params" and not callable(value)}
        for group in groups
    ]
    return {
        "optimizer": optimizer,
        "step_count": step_count,
        "groups": [
            {"hyperparameters": numbers, "slots": dict(arrays)}
            for numbers, arrays in zip(hyperparameters, slots, strict=True)
        ],
    }


def read_state(
    state: Any, optimizer: str, groups: Sequence[Group], slots: Sequence[Sequence[str]]
) -> list[tuple[dict[str, Any], dict[str, list[Array]]]]:
    """Hyperparameters and slots for each group, after everything about them has been checked.

    Args:
        state: what `export_state` gave, perhaps written and read in between.
        optimizer: the name it should have.
        groups: the groups it should fit.
        slots: the slot names each of them has.

    Raises:
        StructureError: if it is another optimizer's, or has other groups, hyperparameters, slots or numbers of arrays.
        ShapeError: if an array has another shape than its parameter.
    """
    if not isinstance(state, Mapping) or not {"optimizer", "step_count", "groups"} <= set(state):
        keys = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise StructureError(
            f"An optimizer's state has the keys optimizer, step_count and groups; received {keys}. "
            f"Load what state_dict() of an optimizer of this library returned."
        )
    if state["optimizer"] != optimizer:
        raise StructureError(
            f"This is the state of {state['optimizer']}; expected the state of {optimizer}, into which it was loaded."
        )
    _compare("parameter groups", len(groups), len(state["groups"]))
    found = []
    for i, (saved, group, names) in enumerate(zip(state["groups"], groups, slots, strict=True)):
        where = f"of group {i}"
        _compare(f"slots {where}", sorted(names), sorted(saved["slots"]))
        arrays = {name: [np.asarray(value) for value in saved["slots"][name]] for name in names}
        for name in names:
            _compare(f"arrays in slot {name!r} {where}", len(group["params"]), len(arrays[name]))
            for j, (array, parameter) in enumerate(zip(arrays[name], group["params"], strict=True)):
                expected = () if name == "step" else tuple(parameter.shape)
                if array.shape != expected:
                    raise ShapeError(
                        f"Slot {name!r} of parameter {j} {where} has the shape {array.shape} in the state; "
                        f"expected {expected}. The state belongs to a model of another size."
                    )
        known = {name for name in group if name != "params"}
        _compare(f"hyperparameters {where}", sorted(known), sorted({"lr", *saved["hyperparameters"]}))
        numbers = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in saved["hyperparameters"].items()
            if not callable(group[name])  # a rate that is a function here goes on from step_count
        }
        found.append((numbers, arrays))
    return found


def arrays_in(state: Mapping[str, Any]) -> Iterator[tuple[int, str, int, list[Array]]]:
    """Of every array in a state the group, the slot and the place it is at, and the list it is in, to be read and changed there."""
    for number, group in enumerate(state["groups"]):
        for slot, arrays in group["slots"].items():
            for place in range(len(arrays)):
                yield number, slot, place, arrays


def write_file(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """A state as safetensors; the file appears whole or not at all."""
    arrays = {f"{group}.{slot}.{place}": values[place] for group, slot, place, values in arrays_in(state)}
    numbers = {
        **state,
        "groups": [
            {
                "hyperparameters": group["hyperparameters"],
                "slots": {slot: len(values) for slot, values in group["slots"].items()},
            }
            for group in state["groups"]
        ],
    }
    weights.save_arrays(arrays, path, {_KEY: json.dumps(numbers)})


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state in a file that `write_file` wrote.

    Raises:
        WeightsError: if there is no such file, or it holds no optimizer's state.
    """
    text = weights.metadata(path).get(_KEY)
    if text is None:
        raise WeightsError(
            f"{os.fspath(path)!r} holds no optimizer's state. Expected a file written by optimizer.save_state(path); a module's "
            f"weights are read by module.load_weights(path)."
        )
    state: dict[str, Any] = json.loads(text)
    arrays = weights.load_arrays(path)
    for g, group in enumerate(state["groups"]):
        for slot, count in group["slots"].items():
            group["slots"][slot] = [arrays[f"{g}.{slot}.{i}"] for i in range(count)]
    return state


def _compare(what: str, expected: object, received: object) -> None:
    if expected != received:
        raise StructureError(
            f"The state does not fit this optimizer: {what}: expected {expected}, received {received}. "
            f"Make the optimizer with the same groups and options as the one that was saved."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool) else float(value) if isinstance(value, float) else value
