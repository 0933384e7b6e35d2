"""The window step: one pure function from window and state to state and logged values, which the engine may compile.

A training step is forward, gradient, clipping and update in one program; a validation step is forward alone. Both are called
with one window and answer with the state to carry, cut from its past, the loss, and what was logged.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from tbptt import autodiff, clock, counting, ops, optim, state, tree
from tbptt.clock import Origin
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.protocols import Backend
from tbptt.trainer import logs
from tbptt.types import Tensor, Tree

ClipAlgorithm = Literal["norm", "value"]


class Result(NamedTuple):
    """What a window step answers with."""

    hiddens: Tree
    """The state to carry to the next window, cut from its past."""
    loss: Tensor | None
    """None in a validation step that returns none."""
    logged: logs.Values


class WindowStep:
    """A module's step, ready to be called window by window.

    Args:
        function: ``module.training_step`` or ``module.validation_step``.
        backend: the engine it runs on.
        compile: ``"auto"``, True or False (`tbptt.protocols.Compilation`).
        options: where the options of logged names are remembered.
        carries: whether there are several windows a batch or a state between batches, so that `hiddens` must be returned.
        update: what follows the forward pass; None in validation.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        backend: Backend,
        compile: bool | str,
        options: dict[str, logs.Options],
        carries: bool,
        update: Update | None = None,
    ) -> None:
        self._name = function.__name__
        self._function = function
        self._arguments = _arguments(function)
        self._backend = backend
        self._options = options
        self._carries = carries
        self._update = update
        if carries and update is not None and "hiddens" not in self._arguments:
            raise ModuleProtocolError(
                f"{self._name} must take hiddens where state is carried between windows: expected "
                f"def {self._name}(self, batch, batch_idx, hiddens), received ({', '.join(('batch', *self._arguments))})."
            )
        self.compiled = backend.compilation.compile(self._step, compile, self._name)

    def __call__(self, window: Tree, hiddens: Tree, origin: Origin, batch_idx: int) -> Result:
        """Run one window."""
        numbers: Any = (*origin, batch_idx)
        rates: Any = self._update.optimizer.rates() if self._update else []
        if self.compiled.bakes_numbers:
            numbers = self._backend.tensors.asarray(np.array(numbers, dtype="int64"))
            rates = self._backend.tensors.asarray(np.array(rates, dtype="float64"))
        result: Result = self.compiled(window, hiddens, numbers, rates)
        if self._update:
            self._update.optimizer.advance()
        return result

    def _step(self, window: Tree, hiddens: Tree, numbers: Any, rates: Any) -> Result:
        origin = Origin(numbers[0], numbers[1], numbers[2])
        known = {"batch_idx": numbers[3], "hiddens": hiddens}
        arguments = [known[name] for name in self._arguments]
        elements = _elements(window)
        with clock.at(origin), counting.recording(), logs.collecting(self._options, elements) as values:
            if self._update is None:
                with self._backend.autodiff.no_grad():
                    output = self._function(window, *arguments)
                loss, hiddens = self._parse(output, loss_needed=False)
            else:
                with autodiff.GradientTape(backend=self._backend) as tape:
                    output = self._function(window, *arguments)
                loss, hiddens = self._parse(output, loss_needed=True)
                self._update(tape, loss, rates)
        return Result(state.detach(hiddens), None if loss is None else autodiff.stop_gradient(loss), values)

    def _parse(self, output: Any, loss_needed: bool) -> tuple[Any, Tree]:
        """Loss and state out of what the step returned: a loss, ``(loss, hiddens)``, or a dict of them."""
        loss, hiddens, returned = output, None, False
        if isinstance(output, dict):
            loss, hiddens, returned = output.get("loss"), output.get("hiddens"), "hiddens" in output
        elif isinstance(output, tuple | list):
            if len(output) != 2:
                raise ModuleProtocolError(
                    f"{self._name} returned {len(output)} values; expected the loss, (loss, hiddens), or a dict with "
                    f"'loss' and 'hiddens'."
                )
            (loss, hiddens), returned = output, True
        if loss_needed:
            self._check_loss(loss)
        if self._carries and "hiddens" in self._arguments and not returned:
            raise ModuleProtocolError(
                f"{self._name} takes hiddens but did not return them, so the next window would start from nothing. Return "
                f"{{'loss': loss, 'hiddens': hiddens}} or (loss, hiddens)."
            )
        return (loss if ops.is_tensor(loss) else None), hiddens

    def _check_loss(self, loss: Any) -> None:
        if not ops.is_tensor(loss):
            raise ModuleProtocolError(
                f"{self._name} must return a loss, a scalar tensor computed from the parameters; received "
                f"{type(loss).__name__}. Return the loss, (loss, hiddens), or {{'loss': loss, 'hiddens': hiddens}}."
            )
        if math.prod(tuple(loss.shape)) != 1:
            raise ModuleProtocolError(
                f"{self._name} returned a loss of shape {tuple(loss.shape)}; expected a scalar. Take its mean or its sum."
            )


class Update:
    """Gradient, clipping and optimizer: what a training step does with its loss."""

    def __init__(self, optimizer: optim.Optimizer, clip: float | None, algorithm: ClipAlgorithm = "norm") -> None:
        if clip is not None and not clip > 0:
            raise ConfigurationError(f"gradient_clip_val must be above 0, or None for no clipping; received {clip!r}.")
        if algorithm not in ("norm", "value"):
            raise ConfigurationError(f"gradient_clip_algorithm must be 'norm' or 'value'; received {algorithm!r}.")
        self.optimizer = optimizer
        self._clip = clip
        self._algorithm = algorithm

    def __call__(self, tape: autodiff.GradientTape, loss: Tensor, rates: Any) -> None:
        """Change the parameters, in place."""
        gradients = tape.gradient(loss, self.optimizer.parameters)
        if self._clip is not None:
            if self._algorithm == "norm":
                gradients, _ = optim.clip_by_global_norm(gradients, self._clip, donate=True)
            else:
                gradients = optim.clip_by_value(gradients, self._clip, donate=True)
        # rates may be one tensor, an input of the compiled step; optimizers take one rate a group
        self.optimizer.update(gradients, [rates[index] for index in range(len(self.optimizer.param_groups))])


def _arguments(function: Callable[..., Any]) -> list[str]:
    """What the step wants after the batch: ``batch_idx`` and ``hiddens`` by name, anything else by place."""
    names = list(inspect.signature(function).parameters)[1:]
    known = ("batch_idx", "hiddens")
    return names if all(name in known for name in names) else list(known[: len(names)])


def _elements(window: Tree) -> int:
    """Rows times steps of the first leaf that has both."""
    for leaf in tree.leaves(window):
        shape = tuple(getattr(leaf, "shape", ()))
        if len(shape) > 1:
            return int(shape[0]) * int(shape[1])
    return 1
