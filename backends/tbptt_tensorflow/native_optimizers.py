"""`keras.optimizers` with the face of `tbptt.optim.Optimizer`."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tbptt.backends import backend_of
from tbptt.errors import ConfigurationError, GradientError, StructureError
from tbptt.optim.groups import rate_at
from tbptt.optim.state import export_state
from tbptt.protocols import Backend, Evaluate
from tbptt.types import Number

# By the id of the tf.Variable inside, which a shell keeps alive: the entry goes when the shell goes.
_shells: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def native_variable(shell: Any) -> Any:
    """The `tf.Variable` inside a `keras.Variable`.

    The shell is remembered, since Keras' optimizers want it back: constraints (``kernel_constraint=``) belong to it.
    """
    variable = shell.value
    _shells[id(variable)] = shell
    return variable


class NativeOptimizer:
    """Everything the optimizer keeps is made here, beforehand: a compiled step may not create variables."""

    uses_closure = False

    def __init__(self, native: Any, parameters: Sequence[Any]) -> None:
        self._native = native
        self._name = type(native).__name__
        if float(native.scale_loss(1.0)) != 1.0:
            raise ConfigurationError(
                f"{self._name} divides gradients by a loss scale, and the loss of this training loop is not scaled, so "
                f"it would hardly move. Return the optimizer without LossScaleOptimizer or loss_scale_factor."
            )
        if native.built:  # for the variables somebody chose
            parameters = native._trainable_variables
        shells = [_shells.get(id(parameter), parameter) for parameter in parameters]
        if not native.built:
            native.build(shells)
        self._shells = shells
        self._parameters = [native_variable(x) if not isinstance(x, tf.Variable) else x for x in shells]
        self._plain_rate = isinstance(native.learning_rate, sys.modules["keras"].Variable)
        self._group = _Group(self)
        self.step_count = int(native.iterations)

    @property
    def native(self) -> Any:
        """The optimizer itself."""
        return self._native

    @property
    def backend(self) -> Backend:
        """The engine the parameters belong to."""
        return backend_of(self._parameters)

    @property
    def parameters(self) -> list[Any]:
        """All parameters, in the order the optimizer was built with."""
        return list(self._parameters)

    @property
    def param_groups(self) -> list[Any]:
        """One group, since Keras has no more; its ``"lr"`` is the optimizer's ``learning_rate``."""
        return [self._group]

    @property
    def lr(self) -> float:
        """The learning rate of the coming update."""
        return self.rates()[0]

    @lr.setter
    def lr(self, rate: Number) -> None:
        if not self._plain_rate or callable(rate):
            raise ConfigurationError(
                f"The learning rate of {self._name} is Keras' own schedule, or was to become a function; expected a "
                f"number for a rate that is a number. Change the schedule, or give the optimizer a plain rate."
            )
        self._native.learning_rate = rate_at(rate, 0)

    def rates(self) -> list[float]:
        """The learning rate of the coming update, in the one group. Keras keeps it in its own precision, float32."""
        return [float(self._native.learning_rate)]

    def update(self, gradients: Sequence[Any], rates: Sequence[Any]) -> None:
        """One `apply` of Keras' optimizer. A parameter whose gradient is None is left alone."""
        if self._plain_rate:  # a schedule reads the optimizer's own count
            self._native.learning_rate = rates[0]
        self._apply(gradients)

    def step_with(self, evaluate: Evaluate) -> None:
        """One `apply` of Keras' optimizer, for which one evaluation is enough."""
        self._apply(evaluate(False)[1])

    def advance(self) -> None:
        """Count the update; Keras has its own count for itself."""
        self.step_count += 1

    def state_dict(self) -> dict[str, Any]:
        """One slot ``"variables"``: Keras' optimizers have a list of variables, their count and rate among them."""
        values = [np.array(variable.numpy()) for variable in self._native.variables]
        group = {"lr": self.lr} if self._plain_rate else {}
        return export_state(self._name, self.step_count, [group], [{"variables": values}])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave."""
        if state.get("optimizer") != self._name:
            raise StructureError(
                f"This is the state of {state.get('optimizer', 'something else')}; expected the state of {self._name}, "
                f"into which it was loaded. Load what state_dict() of this very kind returned."
            )
        values = [np.asarray(value) for group in state["groups"] for value in group["slots"]["variables"]]
        variables = self._native.variables
        expected, received = [tuple(x.shape) for x in variables], [x.shape for x in values]
        if expected != received:
            raise StructureError(
                f"The state does not fit this {self._name}: expected variables of the shapes {expected}, received "
                f"{received}. Make the optimizer with the options of the one that was saved."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.step_count = int(state["step_count"])

    def __repr__(self) -> str:
        sizes = " + ".join(str(len(group["params"])) for group in self.param_groups)
        return f"<{self._name} of tensorflow: {sizes} parameters, {self.step_count} updates done>"

    def _apply(self, gradients: Sequence[Any]) -> None:
        pairs = [pair for pair in zip(gradients, self._shells, strict=True) if pair[0] is not None]
        if not pairs:
            raise GradientError(
                f"All {len(gradients)} gradients are None: the loss depends on none of the parameters {self._name} has. "
                f"Was it given the parameters of this module?"
            )
        # Keras would leave the others alone, too, and warn each time.
        self._native.apply(*map(list, zip(*pairs, strict=True)))


class _Group(MutableMapping[str, Any]):
    """A parameter group whose ``"lr"`` is kept by the optimizer."""

    def __init__(self, optimizer: NativeOptimizer) -> None:
        self._optimizer = optimizer
        self._others: dict[str, Any] = {"params": optimizer.parameters}

    def __getitem__(self, name: str) -> Any:
        return self._optimizer.lr if name == "lr" else self._others[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "lr":
            self._optimizer.lr = value
        else:
            self._others[name] = value

    def __delitem__(self, name: str) -> None:
        del self._others[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("lr", *self._others))

    def __len__(self) -> int:
        return 1 + len(self._others)
