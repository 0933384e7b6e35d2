"""Detaching: every tensor of any tree is cut from its past, everything else passes as it is."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import ops, tree
from tbptt.protocols import Backend

LSTMState = collections.namedtuple("LSTMState", ["h", "c"])


@dataclasses.dataclass
class Cache:
    slots: Any
    filled: Any
    name: str


def structures(x: Any) -> dict[str, Any]:
    """Every kind of state there is, around a tensor x of shape (2, 3)."""
    return {
        "none": None,
        "tensor": x,
        "pair": (x, 2.0 * x),
        "namedtuple": LSTMState(x, x + 1.0),
        "stack with different widths": [(x, x), (x[:, :1], x[:, :1])],
        "dict with integers and booleans": {
            "h": x,
            "steps": ops.asarray(np.array([4, 5])),
            "seen": ops.asarray(np.array([True, False])),
            "count": 7,
            "name": "layer",
        },
        "dataclass": Cache(x, ops.asarray(np.array([1, 0], "int32")), "cache"),
        "numpy and none": {"table": np.arange(3), "nothing": None, "h": x},
        "growing list": [x, x, x],
        "empty list": [],
    }


NAMES = (
    "none",
    "tensor",
    "pair",
    "namedtuple",
    "stack with different widths",
    "dict with integers and booleans",
    "dataclass",
    "numpy and none",
    "growing list",
    "empty list",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("copy", [False, True], ids=["shared", "copied"])
def test_every_tensor_is_cut_and_kept_in_kind_dtype_and_value(backend: Backend, name: str, copy: bool) -> None:
    weight = ops.parameter(np.arange(6.0).reshape(2, 3))
    with tbptt.GradientTape(persistent=True) as tape:
        state = structures(weight * 3.0)[name]
        cut = tbptt.detach(state, copy=copy)
        floats = [
            leaf for leaf in tree.leaves(cut) if ops.is_tensor(leaf) and ops.isdtype(ops.dtype(leaf), "real floating")
        ]
        through = sum((ops.sum(leaf * leaf) for leaf in floats), ops.sum(weight * weight))
    # only weight² is left: its gradient is 2·weight, with nothing added from the state
    np.testing.assert_array_equal(ops.to_numpy(tape.gradient(through, weight)), 2 * np.arange(6.0).reshape(2, 3))
    assert tree.structure(cut) == tree.structure(state)
    for before, after in zip(tree.leaves(state), tree.leaves(cut), strict=True):
        if ops.is_tensor(before):
            assert ops.is_tensor(after)
            assert ops.dtype(before) == ops.dtype(after)
            np.testing.assert_array_equal(ops.to_numpy(before), ops.to_numpy(after))
        else:
            assert type(before) is type(after)
            np.testing.assert_array_equal(before, after)


def test_what_is_no_tensor_passes_as_the_same_object(backend: Backend) -> None:
    state = {"table": np.arange(3), "name": "x", "number": 3.5, "function": len}
    cut = tbptt.detach(state)
    assert all(cut[key] is state[key] for key in state)


def test_a_copy_has_memory_of_its_own(backend: Backend) -> None:
    state = {"cache": np.zeros(3), "h": ops.ones((2,))}
    kept = tbptt.detach(state, copy=True)
    state["cache"][0] = 1.0
    assert kept["cache"][0] == 0.0
    if hasattr(state["h"], "mul_"):  # where tensors can be written into
        state["h"].mul_(5.0)
    np.testing.assert_array_equal(ops.to_numpy(kept["h"]), [1.0, 1.0])


def test_a_parameter_used_as_initial_state_is_cut_too(backend: Backend) -> None:
    start = ops.parameter(np.ones(3))
    with tbptt.GradientTape() as tape:
        loss = ops.sum(start * 2.0) + ops.sum(tbptt.detach(start) * 100.0)
    np.testing.assert_array_equal(ops.to_numpy(tape.gradient(loss, start)), [2.0, 2.0, 2.0])


def test_a_state_that_is_not_cut_makes_the_next_gradient_different() -> None:
    """The check above can fail: without detach the state's share is there."""
    with tbptt.use_backend("torch"):
        weight = ops.parameter(np.ones(2))
        with tbptt.GradientTape() as tape:
            state = weight * 3.0
            loss = ops.sum(weight * weight) + ops.sum(state * state)
        np.testing.assert_array_equal(ops.to_numpy(tape.gradient(loss, weight)), [20.0, 20.0])
