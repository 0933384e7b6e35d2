"""What the tests of schedules share: arbitrary schedules, lists of windows as schedules, and weights taken step by step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as draw

from tbptt.schedules import ARTBP, Adaptive, Checkpointed, Fixed, RandomLength, Window
from tbptt.schedules.scheme import Scheme


class Listed:
    """A third party's schedule: no base class. Its plans are those given, one after the other, over and over."""

    def __init__(self, *plans: Iterable[Window]) -> None:
        self.plans = [list(plan) for plan in plans]
        self.next = 0

    def plan(self, length: int) -> Iterator[Window]:
        self.next += 1
        return iter(self.plans[(self.next - 1) % len(self.plans)])

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.next = state["next"]


def step_by_step(windows: Iterable[Window], length: int) -> np.ndarray:
    """(length, length): at t, i the weight with which the loss at t has its gradient taken through step i, one step at a time."""
    weights = np.zeros((length, length))
    for window in windows:
        for t in range(window.losses, window.stop):
            weight = 1.0
            for i in range(t, window.reach - 1, -1):
                weights[t, i] += weight
                weight *= dict(window.factors).get(i, 1.0)
    return weights


def resumed(state: dict[str, Any], like: Scheme) -> Scheme:
    """Another schedule of the kind, of other numbers, with a state that has been through a JSON file."""
    others: list[Scheme] = [Fixed(99), RandomLength(99), ARTBP(99), Checkpointed(99), Adaptive(0.1)]
    other = next(other for other in others if type(other) is type(like))
    other.load_state_dict(json.loads(json.dumps(state)))
    return other


@draw.composite
def schedules(drawn: draw.DrawFn) -> Scheme:
    """Any schedule of the package, with any options."""

    def options(period: int, run: int) -> dict[str, Any]:
        return {
            "burn_in": drawn(draw.integers(0, run - 1)) if drawn(draw.booleans()) else 0,
            "offset": drawn(draw.one_of(draw.just("random"), draw.just("staggered"), draw.integers(0, period))),
            "drop_last": drawn(draw.booleans()),
            "seed": drawn(draw.one_of(draw.none(), draw.integers(0, 2**32))),
        }

    kind = drawn(draw.sampled_from(["fixed", "random", "artbp", "constant", "checkpointed", "adaptive"]))
    if kind == "fixed":
        k1, k2 = drawn(draw.integers(1, 30)), drawn(draw.integers(1, 60))
        return Fixed(k1, k2, drawn(draw.sampled_from(["new", "window", "last"])), **options(k1, max(k1, k2)))
    if kind == "random":
        mean, least = drawn(draw.integers(1, 30)), drawn(draw.integers(1, 10))
        most = drawn(draw.one_of(draw.none(), draw.integers(least, 40)))
        p, std = drawn(draw.floats(0, 1)), drawn(draw.floats(0, 10))
        return RandomLength(mean, p, std, least, most, drawn(draw.booleans()), **options(mean, mean))
    if kind == "checkpointed":
        window, slots = drawn(draw.integers(1, 30)), drawn(draw.one_of(draw.none(), draw.integers(1, 6)))
        return Checkpointed(window, slots, **options(window, 20))
    if kind == "adaptive":
        most = drawn(draw.integers(2, 30))
        return Adaptive(drawn(draw.floats(0.01, 2)), max=most, **options(most, most))
    block = drawn(draw.integers(1, 5))
    if kind == "constant":
        c = drawn(draw.floats(0.02, 0.98))
        return ARTBP(c=c, block=block, **options(block, round(block / c)))
    mean_length = drawn(draw.floats(1.01, 30))
    alpha = drawn(draw.one_of(draw.none(), draw.floats(2.01, 10)))
    return ARTBP(mean_length, alpha, block, **options(block, round(mean_length * block)))
