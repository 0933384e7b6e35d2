"""Gradients: a tape that keeps operations in their order, and walks back over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tbptt.types import Array
from tbptt_numpy.primitives import Step, open_tapes
from tbptt_numpy.tensor import Parameter, Tensor, value_of

_looks_for_nan = False


class _Tape:
    """What was computed from trainable parameters and watched tensors while the tape was open.

    Tensors are known by their `id`; the steps hold them, so an id is not given to another as long as there is a record.
    """

    def __init__(self, persistent: bool) -> None:
        self._persistent = persistent
        self._watched: list[Tensor] = []
        self._reached: set[int] = set()
        self._steps: list[Step] = []

    def __enter__(self) -> _Tape:
        open_tapes.append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        open_tapes.remove(self)

    def watch(self, tensors: list[Tensor]) -> None:
        self._watched += tensors
        self._reached.update(id(tensor) for tensor in tensors if tensor.dtype.kind == "f")

    def record(self, step: Step) -> None:
        """Keep the operation, with those of its operands that are known."""
        routes = [(operand, route) for operand, route in step.routes if self._knows(operand)]
        if routes and step.answer.dtype.kind == "f":
            self._steps.append(step._replace(routes=routes))
            self._reached.add(id(step.answer))

    def gradient(
        self,
        targets: list[Tensor],
        sources: list[Tensor],
        output_gradients: list[Tensor | None],
        retain: bool | None = None,
    ) -> list[Tensor | None] | None:
        found: dict[int, Array] = {}
        for target, given in zip(targets, output_gradients, strict=True):
            if self._knows(target):
                _add(found, target, np.ones_like(target.value) if given is None else value_of(given))
        if not found:
            return None
        for step in reversed(self._steps):
            if id(step.answer) in found:
                for operand, route in step.routes:
                    with np.errstate(all="ignore"):
                        _add(found, operand, route(found[id(step.answer)]), step.name)
        if not (self._persistent if retain is None else retain):
            self._steps.clear()
            self._reached.clear()  # with nothing to hold them, tensors die, and others get their ids
        return [Tensor(found[id(source)]) if id(source) in found else None for source in sources]

    def _knows(self, x: Any) -> bool:
        return id(x) in self._reached or (isinstance(x, Parameter) and x.trainable)


def _add(found: dict[int, Array], tensor: Tensor, gradient: Array, name: str = "output_gradients") -> None:
    if _looks_for_nan and np.isnan(gradient).any():
        raise FloatingPointError(f"There is a NaN in the gradient that went back through {name}.")
    key = id(tensor)
    found[key] = found[key] + gradient if key in found else gradient


def tape(persistent: bool = False) -> _Tape:
    """A fresh tape. A persistent one answers `gradient` more than once."""
    return _Tape(persistent)


def stop_gradient(x: Any) -> Any:
    """The same values with no past: another tensor around the same array, which no tape knows."""
    return Tensor(value_of(x))


@contextmanager
def no_grad() -> Iterator[None]:
    """A scope in which no tape records that was open before it."""
    silent = open_tapes[:]
    open_tapes.clear()
    try:
        yield
    finally:
        open_tapes[:0] = silent


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """A NaN in a backward pass raises FloatingPointError, with the name of the function it went back through."""
    global _looks_for_nan
    before, _looks_for_nan = _looks_for_nan, True
    try:
        yield
    finally:
        _looks_for_nan = before
