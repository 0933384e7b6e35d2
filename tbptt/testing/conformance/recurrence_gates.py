"""In which order a backend has the gates: found by asking it for one step."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np

from tbptt.protocols import Backend
from tbptt.testing.conformance.recurrence_problems import Problem, call, on, problem
from tbptt.testing.oracles import recurrence as oracle

GATES = {"lstm": "ifgo", "gru": "rzn", "tanh": "h", "relu": "h"}
"""The promised order of the blocks of weights, a letter a gate."""


def order_of_gates(engine: Backend, kind: str) -> str | None:
    """The order in which its blocks of weights make one step what the formula says; None if no order does."""
    given = problem(kind, steps=1)
    outputs, end = call(engine.recurrence, kind, *on(engine, given).arguments())
    found = [engine.tensors.to_numpy(each) for each in (outputs, *end)]
    for order in permutations(range(len(GATES[kind]))):  # the promised one comes first
        wanted, state, _ = oracle.forward(kind, given.inputs, given.state, _reordered(given, order))
        if all(_is_close(*pair) for pair in zip(found, (wanted, *state), strict=True)):
            letters = dict(zip(order, GATES[kind], strict=True))
            return "".join(letters[block] for block in sorted(letters))
    return None


def _reordered(given: Problem, order: tuple[int, ...]) -> list[dict[str, Any]]:
    """The weights as a kernel reads them to whom the first gate is block ``order[0]``, and so on."""

    def blocks(array: Any) -> Any:
        parts = np.split(array, len(order))
        return np.concatenate([parts[block] for block in order])

    return [
        {key: blocks(each[key]) if key in ("input", "recurrent", "bias") else each[key] for key in each}
        for each in given.weights
    ]


def _is_close(found: Any, wanted: Any) -> bool:
    return bool(np.shape(found) == np.shape(wanted) and np.allclose(found, wanted, rtol=0, atol=1e-9))
