"""`torch.optim` optimizers with the face of `tbptt.optim.Optimizer`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from tbptt.backends import backend_of
from tbptt.errors import ConfigurationError, GradientError, StructureError
from tbptt.optim.groups import common_rate, rate_at
from tbptt.optim.state import export_state
from tbptt.protocols import Backend, Evaluate
from tbptt.types import Number
from tbptt_torch.tensors import to_numpy

Function = TypeVar("Function", bound=Callable[..., Any])


def _as_it_is(function: Function) -> Function:
    """Not for `torch.compile`: optimizers patch and time themselves."""
    disabled: Any = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
    return disabled  # type: ignore[no-any-return]


class NativeOptimizer:
    """Gradients go through ``.grad``, which torch's optimizers read, and are gone from there after the update."""

    def __init__(self, native: torch.optim.Optimizer) -> None:
        self._native = native
        self._name = type(native).__name__
        self.step_count = 0
        closure = inspect.signature(type(native).step).parameters.get("closure")
        self.uses_closure = closure is not None and closure.default is inspect.Parameter.empty

    @property
    def native(self) -> torch.optim.Optimizer:
        """The optimizer itself: `torch.optim.lr_scheduler` takes this."""
        return self._native

    @property
    def backend(self) -> Backend:
        """The engine the parameters belong to."""
        return backend_of(self.parameters)

    @property
    def parameters(self) -> list[Any]:
        """All parameters, in the order of torch's groups."""
        return [parameter for group in self._native.param_groups for parameter in group["params"]]

    @property
    def param_groups(self) -> list[Any]:
        """Torch's own list, which its schedulers write into."""
        return self._native.param_groups

    @property
    def lr(self) -> float:
        """The learning rate of the coming update, where the groups have one."""
        return common_rate(self.rates())

    @lr.setter
    def lr(self, rate: Number) -> None:
        if callable(rate):
            raise ConfigurationError(
                f"The learning rate of torch's {self._name} is a number, received a function. Use "
                f"torch.optim.lr_scheduler.LambdaLR, or an optimizer of tbptt.optim, which takes functions."
            )
        self._write_rates([rate_at(rate, 0)] * len(self._native.param_groups))

    def rates(self) -> list[float]:
        """The learning rate of each group for the coming update."""
        return [float(group["lr"]) for group in self._native.param_groups]

    @_as_it_is
    def update(self, gradients: Sequence[Any], rates: Sequence[Any]) -> None:
        """One step of torch's optimizer. A parameter whose gradient is None is left alone."""
        # In a compiled step a rate is a tensor made from what `rates` read here, and the groups still hold that.
        if not any(isinstance(rate, torch.Tensor) for rate in rates):
            self._write_rates(rates)
        self._put(gradients)
        try:
            self._native.step()
        finally:
            self._clear()

    @_as_it_is
    def step_with(self, evaluate: Evaluate) -> None:
        """One step of torch's optimizer, which evaluates as often as it wants."""
        evaluations = 0

        def closure() -> Any:
            nonlocal evaluations
            loss, gradients = evaluate(evaluations > 0)
            evaluations += 1
            self._put(gradients)
            return loss

        try:
            self._native.step(closure)
        finally:
            self._clear()

    def advance(self) -> None:
        """Count the update."""
        self.step_count += 1

    def state_dict(self) -> dict[str, Any]:
        """Torch's state with arrays for tensors: each slot has one entry per parameter, None where torch has none yet."""
        states = self._native.state
        slots = []
        for group in self._native.param_groups:
            held = [states.get(parameter, {}) for parameter in group["params"]]
            names = dict.fromkeys(name for state in held for name in state)
            slots.append({name: [_to_numpy(state.get(name)) for state in held] for name in names})
        groups = [{**group, "lr": float(group["lr"])} for group in self._native.param_groups]
        return export_state(self._name, self.step_count, groups, slots)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        layout = self._native.state_dict()
        sizes = [len(group["params"]) for group in layout["param_groups"]]
        self._check_state(state, sizes)
        states: dict[int, dict[str, Any]] = {}
        groups = []
        for saved, group in zip(state["groups"], layout["param_groups"], strict=True):
            numbers = {name: tuple(x) if isinstance(x, list) else x for name, x in saved["hyperparameters"].items()}
            groups.append({**numbers, "params": group["params"]})
            for name, values in saved["slots"].items():
                for index, value in zip(group["params"], values, strict=True):
                    if value is not None:
                        states.setdefault(index, {})[name] = _from_numpy(value)
        self._native.load_state_dict({"state": states, "param_groups": groups})
        self.step_count = int(state["step_count"])

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(group["params"])) for group in self.param_groups)
        return f"<{self._name} of torch: {sizes} parameters, {self.step_count} updates done>"

    def _write_rates(self, rates: Sequence[Number]) -> None:
        for group, rate in zip(self._native.param_groups, rates, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(float(rate))  # a captured graph reads this very tensor
            else:
                group["lr"] = rate

    def _put(self, gradients: Sequence[Any]) -> None:
        if all(gradient is None for gradient in gradients):
            raise GradientError(
                f"All {len(gradients)} gradients are None: the loss depends on none of the parameters {self._name} has. "
                f"Was it given the parameters of this module?"
            )
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

    def _clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def _check_state(self, state: Mapping[str, Any], sizes: list[int]) -> None:
        if state.get("optimizer") != self._name:
            raise StructureError(
                f"This is the state of {state.get('optimizer', 'something else')}; expected the state of {self._name}, "
                f"into which it was loaded. Load what state_dict() of this very kind returned."
            )
        counts = [{len(values) for values in group["slots"].values()} for group in state["groups"]]
        if len(counts) != len(sizes) or any(count - {size} for count, size in zip(counts, sizes, strict=True)):
            raise StructureError(
                f"The state does not fit this {self._name}: expected groups of {sizes} parameters, received "
                f"{[sorted(count) for count in counts]}. Make the optimizer with the groups of the one that was saved."
            )


def _to_numpy(value: Any) -> Any:
    """Arrays for tensors, at any depth: L-BFGS keeps lists of them. Copies, as the optimizer goes on in its own memory."""
    if isinstance(value, torch.Tensor):
        return to_numpy(value).copy()
    return [_to_numpy(item) for item in value] if isinstance(value, list) else value


def _from_numpy(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    return [_from_numpy(item) for item in value] if isinstance(value, list) else value
