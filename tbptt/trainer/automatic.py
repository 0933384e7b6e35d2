"""A window of training where the trainer does everything: forward, backward, clipping, update, for each optimizer in its turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tbptt import autodiff, ops
from tbptt.clock import Origin
from tbptt.errors import ModuleProtocolError
from tbptt.trainer import logs
from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.optimization import Clip, OptimizerHandle, Programs
from tbptt.trainer.scaling import LossScale
from tbptt.trainer.schedulers import Schedulers
from tbptt.trainer.step import Call, Result, Step, unscaled
from tbptt.types import Tensor, Tree

BEFORE_BACKWARD = ("on_before_zero_grad", "optimizer_zero_grad", "on_before_backward", "backward")
AFTER_BACKWARD = (
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "optimizer_step",
)


class Outcome(NamedTuple):
    """Of one window."""

    hiddens: Tree
    loss: Tensor | None
    logged: logs.Values
    outputs: list[dict[str, Any]]
    """For each optimizer in turn its loss and what else the step returned."""


class Turn(NamedTuple):
    """What is the same for a window's optimizers."""

    epoch: int
    batch_idx: int
    starts: bool
    """Whether an accumulation of gradients begins."""
    ends: bool
    """Whether the parameters are due."""


class Automatic:
    """Runs windows. What no hook comes between is one program.

    Several optimizers all see the state that entered the window; the state of the last one in turn is carried on.
    """

    def __init__(
        self,
        step: Step,
        handles: list[OptimizerHandle],
        programs: list[Programs],
        clip: Clip | None,
        hooks: Hooks,
        schedulers: Schedulers,
        scale: LossScale | None,
        accumulates: bool,
        stepped: Callable[[], None],
    ) -> None:
        self._step, self._handles, self._programs, self._clip = step, handles, programs, clip
        self._hooks, self._schedulers, self._scale, self._stepped = hooks, schedulers, scale, stepped
        self._splits_before = hooks.any(*BEFORE_BACKWARD)
        self._splits = (
            self._splits_before
            or accumulates
            or scale is not None
            or hooks.any(*AFTER_BACKWARD)
            or any(getattr(handle.optimizer, "uses_closure", False) for handle in handles)
        )
        self._several = len(handles) > 1
        self._tape: autodiff.GradientTape | None = None
        self._weight: Any = 1
        self.in_turn = 0
        """Number of the optimizer at hand."""

    def __call__(self, window: Tree, hiddens: Tree, origin: Origin, turn: Turn, optimizers: list[int]) -> Outcome:
        """Run one window for the optimizers in turn."""
        call = self._step.call(window, hiddens, origin, turn.batch_idx)
        logged: logs.Values = {}
        outputs = []
        for self.in_turn in optimizers:
            handle = self._handles[self.in_turn]
            handle.has_stepped = False
            result = (self._split if self._splits else self._whole)(call, handle, turn)
            if handle.has_stepped:
                self._schedulers.ended("window", self.in_turn)
            logged |= result.logged
            extras = result.extras if isinstance(result.extras, dict) else {}
            outputs.append({**extras, "loss": result.loss})
        return Outcome(result.hiddens, result.loss, logged, outputs)

    def _whole(self, call: Call, handle: OptimizerHandle, turn: Turn) -> Result:
        index = self.in_turn if self._several else None
        programs = self._programs[self.in_turn]
        rates = self._step.input(handle.optimizer.rates(), "float64")

        def whole(window: Tree, hiddens: Tree, numbers: Any, rates: Any) -> Result:
            result, gradients = self._step.with_gradients(
                handle.optimizer.parameters, window, hiddens, numbers, index, None
            )
            programs.apply(gradients, self._clip, rates, donate=True)
            return result

        result: Result = self._step.program("whole", whole, self.in_turn)(*call, rates)
        handle.optimizer.advance()
        handle.has_stepped = True
        self._stepped()
        return result

    def _split(self, call: Call, handle: OptimizerHandle, turn: Turn) -> Result:
        hooks, index = self._hooks, self.in_turn
        if self._splits_before:
            result = self._forward_then_backward(call, handle, turn)
        else:
            if turn.starts:
                handle.zero_grad()
            result, gradients = self._gradients(call, handle)
            handle.gather(gradients, result.weight)
        if hooks.has("on_after_backward"):
            hooks("on_after_backward")
        if turn.ends:
            if hooks.has("on_before_optimizer_step"):
                hooks("on_before_optimizer_step", handle, index)
            clip = self._clip or (None, None)
            if hooks.has("configure_gradient_clipping"):
                hooks("configure_gradient_clipping", handle, index, *clip)
                handle.clip(None)
            closure = Closure(result.loss, lambda: self._again(call, handle))
            if hooks.has("optimizer_step"):
                hooks("optimizer_step", turn.epoch, turn.batch_idx, handle, index, closure)
            else:
                handle.step(closure)
        return result

    def _gradients(self, call: Call, handle: OptimizerHandle) -> tuple[Result, list[Tensor | None]]:
        index = self.in_turn if self._several else None

        def gradients(window: Tree, hiddens: Tree, numbers: Any, scale: Any) -> Any:
            return self._step.with_gradients(handle.optimizer.parameters, window, hiddens, numbers, index, scale)

        scale = None if self._scale is None else self._step.input(self._scale.value, "float64")
        return self._step.program("gradients", gradients, self.in_turn)(*call, scale)  # type: ignore[no-any-return]

    def _again(self, call: Call, handle: OptimizerHandle) -> Tensor | None:
        """A fresh pass over the window with the parameters of now; what it logs is not kept."""
        result, handle.gradients = self._gradients(call, handle)
        return result.loss

    def _forward_then_backward(self, call: Call, handle: OptimizerHandle, turn: Turn) -> Result:
        """The hooks between forward and backward, at their places."""
        hooks, step = self._hooks, self._step
        index = self.in_turn if self._several else None

        def forward(window: Tree, hiddens: Tree, numbers: Any) -> Result:
            return step.forward(window, hiddens, numbers, index)

        with autodiff.GradientTape(backend=step.backend) as tape:
            result: Result = step.program("forward", forward, self.in_turn)(*call)
        attached = result.loss
        result = result._replace(loss=autodiff.stop_gradient(attached))
        if turn.starts:
            if hooks.has("on_before_zero_grad"):
                hooks("on_before_zero_grad", handle)
            if hooks.has("optimizer_zero_grad"):
                hooks("optimizer_zero_grad", turn.epoch, turn.batch_idx, handle, self.in_turn)
            else:
                handle.zero_grad()
        if hooks.has("on_before_backward"):
            hooks("on_before_backward", attached)
        self._tape, self._weight = tape, result.weight
        if hooks.has("backward"):
            with tape:  # what the hook makes of the loss is recorded too
                hooks("backward", attached, handle, self.in_turn)
            taken = step.backend.interop.take_gradients(handle.parameters)
            if taken is not None:
                handle.gather(taken, result.weight)
        else:
            self.backward(attached)
        self._tape = None
        return result

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Gradients of the loss for the optimizer in turn: what the hook of that name does unless it is overridden.

        Raises:
            ModuleProtocolError: if no window has just gone forward.
        """
        tape, self._tape = self._tape, None
        if tape is None:
            raise ModuleProtocolError(
                "A backward pass was asked for where there is nothing to go back through. Call it once in the hook backward(), or "
                "set automatic_optimization = False and call self.manual_backward(loss) in training_step."
            )
        handle = self._handles[self.in_turn]
        scale = None if self._scale is None else self._scale.value
        if scale is not None:
            with tape:
                loss = ops.multiply(loss, scale)
        handle.gather(unscaled(tape.gradient(loss, handle.parameters), scale), self._weight)


class Closure:
    """What ``optimizer_step`` is given: the first call answers with the loss there is, every later one computes it anew."""

    def __init__(self, loss: Tensor | None, again: Callable[[], Tensor | None]) -> None:
        self._loss, self._again, self._called = loss, again, False

    def __call__(self) -> Tensor | None:
        if not self._called:
            self._called = True
            return self._loss
        return self._again()
