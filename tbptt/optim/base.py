"""What every optimizer shares: parameter groups, learning rates, counting, state. The arithmetic is the engine's.

An update is three pieces, so that the middle one can be part of a compiled step:

    rates = optimizer.rates()            # host: the learning rates of the coming update
    optimizer.update(gradients, rates)   # engine only: nothing is counted in Python, no value is read
    optimizer.advance()                  # host: the update is counted
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tbptt import tree
from tbptt.backends import owner_of
from tbptt.errors import GradientError, ShapeError, StructureError
from tbptt.optim.groups import Group, Rate, common_backend, common_rate, make_groups, rate_at
from tbptt.optim.state import export_state, read_file, read_state, write_file
from tbptt.protocols.backend import Backend
from tbptt.types import Number, Parameter, Tensor, Tree


class Optimizer:
    """Base of all optimizers. A subclass names its slots and calls a rule of the engine.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, ops, optim
    >>> class Descent(optim.Optimizer):
    ...     def __init__(self, params, lr=0.5):
    ...         super().__init__(params, {"lr": lr})
    ...     def rule(self, parameters, gradients, slots, lr, group):
    ...         self.backend.optimizers.sgd(parameters, gradients, slots, lr, 0.0, 0.0, False, 0.0)
    >>> weight = nn.Parameter(np.ones(2, dtype="float32"))
    >>> Descent([weight]).apply([ops.ones_like(weight)])
    >>> ops.to_numpy(weight)
    array([0.5, 0.5], dtype=float32)

    Args:
        params: parameters, or groups ``{"params": [...], "lr": ...}`` whose hyperparameters may differ from the
            defaults. A dict of parameters counts in the order of its sorted keys, as a tree's leaves do.
        defaults: every hyperparameter, with its value for groups that do not say; ``"lr"`` is one of them.

    Raises:
        ConfigurationError: if there is no parameter, one is there twice or is none, or two engines' are mixed; if a
            hyperparameter is unknown or out of range.
    """

    param_groups: list[Group]
    """As in torch: setting ``optimizer.param_groups[0]["lr"]`` takes effect at the next update."""
    backend: Backend
    """The engine the parameters belong to."""
    step_count: int
    """Updates done so far."""

    def __init__(self, params: Iterable[Any] | Tree, defaults: Mapping[str, Any]) -> None:
        groups = make_groups(params, defaults)
        self._parameters: list[Parameter] = [parameter for group in groups for parameter in group["params"]]
        self.backend = common_backend(self._parameters)
        for group in groups:
            self.check(group)
        self.param_groups = groups
        self.step_count = 0
        self._expected = [(parameter.shape, parameter.dtype) for parameter in self._parameters]
        self._slots = [self.backend.optimizers.create_slots(group["params"], self.fills(group)) for group in groups]

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, in the order gradients are expected in."""
        return list(self._parameters)

    def fills(self, group: Group) -> dict[str, float]:
        """The slots this rule keeps for each parameter of a group, and what they are filled with at the start."""
        return {}

    def rule(
        self,
        parameters: Sequence[Parameter],
        gradients: Sequence[Tensor | None],
        slots: Mapping[str, Any],
        lr: Number | Tensor,
        group: Group,
    ) -> None:
        """Update one group's parameters and slots in place: a call to a function of ``self.backend.optimizers``."""
        raise NotImplementedError(f"{type(self).__name__} must define rule(parameters, gradients, slots, lr, group).")

    def check(self, group: Group) -> None:
        """Raise ConfigurationError if a hyperparameter is out of range; subclasses add theirs."""
        if not callable(group["lr"]):
            rate_at(group["lr"], 0)

    def apply(self, gradients: Tree) -> None:
        """One update.

        >>> import numpy as np, tbptt
        >>> from tbptt import nn, ops, optim
        >>> weight = nn.Parameter(np.ones(2, dtype="float32"))
        >>> optimizer = optim.SGD([weight], lr=0.5)
        >>> optimizer.apply([ops.ones_like(weight)])
        >>> ops.to_numpy(weight)
        array([0.5, 0.5], dtype=float32)

        Args:
            gradients: in the order of the parameters: a list, or any tree whose leaves are in that order. A parameter
                whose gradient is None is left alone, with its moments and its count of updates.

        Raises:
            StructureError: if there are more or fewer gradients than parameters.
            ShapeError: if one has another shape than its parameter.
            GradientError: if all are None, or one is no tensor of the parameters' engine and dtype.
        """
        self.update(gradients, self.rates())
        self.advance()

    def rates(self) -> list[float]:
        """The learning rate of each group for the coming update."""
        return [rate_at(group["lr"], self.step_count) for group in self.param_groups]

    def update(self, gradients: Tree, rates: Sequence[Number | Tensor]) -> None:
        """The engine's part of an update. It reads no value, so it can be compiled; rates may be scalar tensors.

        In a compiled step the hyperparameters other than the rates are constants. Raises as `apply` does, before
        anything has changed, from what is known without values.
        """
        found = self._check_gradients(gradients)
        start = 0
        for group, slots, rate in zip(self.param_groups, self._slots, rates, strict=True):
            stop = start + len(group["params"])
            self.rule(group["params"], found[start:stop], slots, rate, group)
            start = stop

    def advance(self) -> None:
        """The host's part of an update: count it. Rates that are functions of the step see the new count."""
        self.step_count += 1

    @property
    def lr(self) -> float:
        """The learning rate of the coming update. Set it, for all groups, to a number or a function of the step.

        >>> import numpy as np, tbptt
        >>> from tbptt import nn, optim
        >>> optimizer = optim.Adam([nn.Parameter(np.ones(2))])
        >>> optimizer.lr = lambda step: 0.004 * 0.5 ** (step // 100)
        >>> optimizer.lr
        0.004

        Raises:
            ConfigurationError: on reading, if the groups' rates differ (`rates` has them all); on setting, if it is
                negative.
        """
        return common_rate(self.rates())

    @lr.setter
    def lr(self, rate: Rate) -> None:
        if not callable(rate):
            rate_at(rate, 0)
        for group in self.param_groups:
            group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on from here, as NumPy arrays and plain numbers, alike on every engine.

        A learning rate that is a function is left out: the script that made it will make it again.
        """
        arrays = [self.backend.optimizers.slots_to_numpy(slots) for slots in self._slots]
        return export_state(type(self).__name__, self.step_count, self.param_groups, arrays)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave, on this engine or another.

        Hyperparameters come from the state, except that a learning rate which is a function here stays.

        Raises:
            StructureError: if it is another optimizer's, or has other groups, hyperparameters or slots.
            ShapeError: if an array has another shape than its parameter.
            ConfigurationError: if a hyperparameter is out of range.
        """
        names = [["step", *self.fills(group)] for group in self.param_groups]
        loaded = read_state(state, type(self).__name__, self.param_groups, names)
        for group, (hyperparameters, _) in zip(self.param_groups, loaded, strict=True):
            self.check({**group, **hyperparameters})
        for group, slots, (hyperparameters, arrays) in zip(self.param_groups, self._slots, loaded, strict=True):
            self.backend.optimizers.slots_from_numpy(slots, arrays)
            group.update(hyperparameters)
        self.step_count = int(state["step_count"])

    def save_state(self, path: str | os.PathLike[str]) -> None:
        """Write `state_dict` as safetensors, beside the file of `Module.save_weights`.

        >>> import pathlib, tempfile
        >>> import numpy as np, tbptt
        >>> from tbptt import nn, ops, optim
        >>> weight = nn.Parameter(np.ones(2))
        >>> optimizer, other = (optim.Adam([weight]) for _ in range(2))
        >>> optimizer.apply([ops.ones_like(weight)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     optimizer.save_state(pathlib.Path(folder) / "adam.safetensors")
        ...     other.load_state(pathlib.Path(folder) / "adam.safetensors")
        >>> other.step_count
        1
        """
        write_file(self.state_dict(), path)

    def load_state(self, path: str | os.PathLike[str]) -> None:
        """Go on from a file that `save_state` wrote, on this engine or another; as `load_state_dict`, which says what is refused.

        Raises:
            WeightsError: if there is no such file, or it holds no optimizer's state.
        """
        self.load_state_dict(read_file(path))

    def _check_gradients(self, gradients: Tree) -> Sequence[Tensor | None]:
        """The gradients as a flat sequence. A list that fits, the usual case, costs one pass and nothing else."""
        expected = self._expected
        if type(gradients) in (list, tuple) and len(gradients) == len(expected):
            present = False
            for gradient, (shape, dtype) in zip(gradients, expected, strict=True):
                if gradient is None:
                    continue
                if getattr(gradient, "shape", None) != shape or gradient.dtype != dtype:  # _is_like, written out
                    break
                present = True
            else:
                if present:
                    return list(gradients)
        return self._explain_gradients(tree.leaves(gradients, none_is_leaf=True))

    def _explain_gradients(self, gradients: list[Any]) -> list[Tensor | None]:
        """The gradients, where they fit after all (a tree, or shapes known in part); else the error."""
        name = type(self).__name__
        if len(gradients) != len(self._parameters):
            raise StructureError(
                f"{name} has {len(self._parameters)} parameters and received {len(gradients)} gradients. "
                f"Give one for each, in the order of the parameters, None where there is none."
            )
        for i, (gradient, parameter) in enumerate(zip(gradients, self._parameters, strict=True)):
            if gradient is None or _is_like(gradient, parameter):
                continue
            owner = owner_of(gradient)
            if owner is None or owner.name != self.backend.name:
                raise GradientError(
                    f"The gradient of parameter {i} is a {type(gradient).__module__}.{type(gradient).__qualname__}; "
                    f"expected a tensor of {self.backend.name}, whose parameters {name} has."
                )
            if not _shapes_agree(gradient.shape, parameter.shape):
                raise ShapeError(
                    f"The gradient of parameter {i} has the shape {tuple(gradient.shape)}, the parameter has "
                    f"{tuple(parameter.shape)}. Are the gradients in the order of the optimizer's parameters?"
                )
            if gradient.dtype != parameter.dtype:
                raise GradientError(
                    f"The gradient of parameter {i} is {gradient.dtype}, the parameter {parameter.dtype}. "
                    f"Convert it with tbptt.ops.astype before the update."
                )
        if all(gradient is None for gradient in gradients):
            raise GradientError(
                f"All {len(gradients)} gradients are None: the loss depends on none of the parameters {name} has. "
                f"Was it given the parameters of this module?"
            )
        return gradients

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(group["params"])) for group in self.param_groups)
        return f"<{type(self).__name__} on {self.backend.name}: {sizes} parameters, {self.step_count} updates done>"


def _is_like(gradient: Any, parameter: Any) -> bool:
    return getattr(gradient, "shape", None) == parameter.shape and bool(gradient.dtype == parameter.dtype)


def _shapes_agree(received: Any, expected: Any) -> bool:
    """Whether the shapes are one, where both are known: a graph may not know every axis beforehand."""
    if getattr(received, "rank", 0) is None:
        return True
    pairs = zip(tuple(received), tuple(expected), strict=False)
    return len(received) == len(expected) and all(a == b or a is None for a, b in pairs)
