"""A window of training where the trainer does everything: forward, backward, clipping, update, for each optimizer in its turn."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NamedTuple

from tbptt import autodiff, ops, state
from tbptt.clock import Origin
from tbptt.errors import ModuleProtocolError
from tbptt.trainer import logs
from tbptt.trainer.chain import Chain, Pass, Share
from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.optimization import Clip, OptimizerHandle, Programs
from tbptt.trainer.profiler import Profiler
from tbptt.trainer.scaling import LossScale
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
    weight: Tensor | int
    """How many elements the loss is a mean over."""
    outputs: list[dict[str, Any]]
    """For each optimizer in turn its loss and what else the step returned."""
    stepped: list[int]
    """Numbers of the optimizers in turn whose parameters have changed: their schedulers are due."""


class Turn(NamedTuple):
    """What is the same for a window's optimizers."""

    epoch: int
    batch_idx: int
    starts: bool
    """Whether an accumulation of gradients begins."""
    ends: bool
    """Whether the parameters are due."""
    ends_epoch: bool
    ends_sequence: bool = False
    """Whether no state leaves the window."""


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
        scale: LossScale | None,
        accumulates: bool,
        stepped: Callable[[], None],
        profiler: Profiler | None,
        chain: Chain,
    ) -> None:
        self.chain = chain
        self._step, self._handles, self._programs, self._clip = step, handles, programs, clip
        self._hooks, self._scale, self._stepped = hooks, scale, stepped
        self._ask: Callable[..., Any] = hooks
        # what is one program has no parts whose time could be told apart
        self._profiler = None if step.is_compiled else profiler
        self._splits_before = hooks.any(*BEFORE_BACKWARD) or self._profiler is not None
        uses_closure = any(getattr(handle.optimizer, "uses_closure", False) for handle in handles)
        self._splits = (
            self._splits_before or accumulates or scale is not None or hooks.any(*AFTER_BACKWARD) or uses_closure
        )
        self._several = len(handles) > 1
        self._runs_again = self._several or uses_closure or hooks.has("optimizer_step")
        """Whether the state that enters a window is needed again, so that a model which writes into its state gets a copy."""
        self._unapplied: dict[int, tuple[Tensor | None, Call | Share]] = {}
        """Of optimizers whose gradients are gathered: the last loss and its window."""
        self._tape: autodiff.GradientTape | None = None
        self._chained: tuple[Pass, Tree] | None = None
        """A pass in pieces that has gone forward, and the cotangent of the state that left it."""
        self._recorded = ExitStack()
        self._weight: Any = 1
        self.in_turn = 0
        """Number of the optimizer at hand."""

    def __call__(self, window: Tree, hiddens: Tree, origin: Origin, turn: Turn, optimizers: list[int]) -> Outcome:
        """Run one window for the optimizers in turn."""
        return self._run(self._step.call(window, hiddens, origin, turn.batch_idx), turn, optimizers)

    @property
    def step(self) -> Step:
        """What it runs."""
        return self._step

    def begin(self) -> None:
        """A batch begins: states that windows of the one before began from are not needed any more."""
        self.chain.begin()

    def in_pieces(self, share: Share, turn: Turn, optimizers: list[int]) -> Outcome:
        """Run one window that is more than one plain run."""
        return self._run(share, turn, optimizers)

    def _run(self, work: Call | Share, turn: Turn, optimizers: list[int]) -> Outcome:
        logged: logs.Values = {}
        outputs = []
        stepped = []
        result: Result | None = None
        for self.in_turn in optimizers:
            handle = self._handles[self.in_turn]
            handle.has_stepped = False
            result = self._result(work, handle, turn)
            if handle.has_stepped:
                stepped.append(self.in_turn)
            logged |= result.logged
            extras = result.extras if isinstance(result.extras, dict) else {}
            outputs.append({**extras, "loss": result.loss})
        assert result is not None  # somebody is always in turn
        return Outcome(result.hiddens, result.loss, logged, result.weight, outputs, stepped)

    def _result(self, work: Call | Share, handle: OptimizerHandle, turn: Turn) -> Result:
        if self._splits or isinstance(work, Share):
            return self._split(work, handle, turn)
        return self._whole(work, handle, turn)

    def _whole(self, call: Call, handle: OptimizerHandle, turn: Turn) -> Result:
        index = self.in_turn if self._several else None
        call, programs = self._to_write_on(call), self._programs[self.in_turn]
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

    def _split(self, work: Call | Share, handle: OptimizerHandle, turn: Turn) -> Result:
        if self.in_turn not in self._unapplied:  # the first windows of an accumulation may have had nothing to train
            turn = turn._replace(starts=True)
        result = self._pass(work, handle, turn)
        if isinstance(work, Call) or work.window.trains:
            self._unapplied[self.in_turn] = (result.loss, work)
        if turn.ends and self.in_turn in self._unapplied:
            self._update(handle, turn)
        return result

    def _pass(self, work: Call | Share, handle: OptimizerHandle, turn: Turn) -> Result:
        """Forward and backward."""
        if isinstance(work, Share):
            result = self._piece_by_piece(work, handle, turn)
            if not work.window.trains:
                return result
        elif self._splits_before:
            result = self._forward_then_backward(self._to_write_on(work), handle, turn)
        else:
            if turn.starts:
                handle.zero_grad()
            result, gradients = self._gradients(self._to_write_on(work), handle)
            handle.gather(gradients, result.weight)
        if self._hooks.has("on_after_backward"):
            self._ask("on_after_backward")
        return result

    def _to_write_on(self, call: Call) -> Call:
        return call._replace(hiddens=state.detach(call.hiddens, copy=True)) if self._runs_again else call

    def finish(self, epoch: int, batch_idx: int) -> list[int]:
        """Update with what is still gathered, where an epoch ended early; the numbers of optimizers that did."""
        stepped = []
        for index in sorted(self._unapplied):
            self.in_turn, handle = index, self._handles[index]
            handle.has_stepped = False
            self._update(handle, Turn(epoch, batch_idx, starts=True, ends=True, ends_epoch=True))
            if handle.has_stepped:
                stepped.append(index)
        return stepped

    def _update(self, handle: OptimizerHandle, turn: Turn) -> None:
        hooks, index = self._hooks, self.in_turn
        loss, work = self._unapplied.pop(index)
        self._finish_gradients(handle)
        closure = Closure(loss, lambda: self._again(work, handle, turn._replace(starts=True)))
        if hooks.has("optimizer_step"):
            hooks("optimizer_step", turn.epoch, turn.batch_idx, handle, index, closure)
        else:
            with self._profiled("update"):
                handle.step(closure)

    def _finish_gradients(self, handle: OptimizerHandle) -> None:
        """The last hooks that may change them before the update."""
        hooks, index = self._hooks, self.in_turn
        if hooks.has("on_before_optimizer_step"):
            self._ask("on_before_optimizer_step", handle, index)
        if hooks.has("configure_gradient_clipping"):
            self._ask("configure_gradient_clipping", handle, index, *(self._clip or (None, None)))
            handle.clip(None)

    def _gradients(self, call: Call, handle: OptimizerHandle) -> tuple[Result, list[Tensor | None]]:
        index = self.in_turn if self._several else None

        def gradients(window: Tree, hiddens: Tree, numbers: Any, scale: Any) -> Any:
            return self._step.with_gradients(handle.optimizer.parameters, window, hiddens, numbers, index, scale)

        scale = None if self._scale is None else self._step.input(self._scale.value, "float64")
        return self._step.program("gradients", gradients, self.in_turn)(*call, scale)  # type: ignore[no-any-return]

    def _again(self, work: Call | Share, handle: OptimizerHandle, turn: Turn) -> Tensor | None:
        """A fresh pass over the window with the parameters of now.

        The module's own hooks take part, since they may change the gradient; callbacks, which watch, do not, and what is logged is
        not kept.
        """
        self._ask = self._of_module
        try:
            with logs.collecting({}, 1):
                result = self._pass(work, handle, turn)
                self._finish_gradients(handle)
        finally:
            self._ask = self._hooks
        return result.loss

    def _of_module(self, moment: str, *arguments: Any) -> Any:
        function = self._hooks.of_module(moment)
        return function(*arguments) if function else None

    def _forward_then_backward(self, call: Call, handle: OptimizerHandle, turn: Turn) -> Result:
        """The hooks between forward and backward, at their places."""
        hooks, step = self._hooks, self._step
        index = self.in_turn if self._several else None

        def forward(window: Tree, hiddens: Tree, numbers: Any) -> Result:
            return step.forward(window, hiddens, numbers, index)

        with autodiff.GradientTape(backend=step.backend) as tape, self._profiled("forward"):
            result: Result = step.program("forward", forward, self.in_turn)(*call)
        attached = result.loss
        result = result._replace(loss=autodiff.stop_gradient(attached))
        self._before_backward(attached, handle, turn)
        self._tape, self._weight = tape, result.weight
        with ExitStack() as self._recorded:
            self._recorded.enter_context(tape)  # what the hook makes of the loss is recorded too
            if hooks.has("backward"):
                self._ask("backward", attached, handle, self.in_turn)
            else:
                self.backward(attached)
        self._tape = None
        if hooks.has("backward"):
            # `loss.backward()` leaves gradients with the parameters of every optimizer, and only this one's are wanted.
            taken = [step.backend.interop.take_gradients(each.parameters) for each in self._handles][self.in_turn]
            if taken is not None:
                handle.gather(taken, result.weight)
        return result

    def _before_backward(self, loss: Tensor, handle: OptimizerHandle, turn: Turn) -> None:
        hooks = self._hooks
        if turn.starts:
            if hooks.has("on_before_zero_grad"):
                self._ask("on_before_zero_grad", handle)
            if hooks.has("optimizer_zero_grad"):
                self._ask("optimizer_zero_grad", turn.epoch, turn.batch_idx, handle, self.in_turn)
            else:
                handle.zero_grad()
        if hooks.has("on_before_backward"):
            self._ask("on_before_backward", loss)

    def _piece_by_piece(self, share: Share, handle: OptimizerHandle, turn: Turn) -> Result:
        """A window that runs in pieces, with the same hooks at the same places."""
        hooks, index = self._hooks, self.in_turn if self._several else None
        with self._profiled("forward"):
            forward = self.chain.run(share, handle.optimizer.parameters, index)
        result, boundary = forward.result, None
        if hooks.has("on_window_boundary"):
            boundary = self._ask("on_window_boundary", forward.hiddens, turn.ends_sequence)
        if not forward.trains:
            return result
        self._before_backward(result.loss, handle, turn)
        self._chained = (forward, boundary)
        if hooks.has("backward"):
            self._ask("backward", result.loss, handle, self.in_turn)
        else:
            self.backward(result.loss)
        self._chained = None
        return result

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Gradients of the loss for the optimizer in turn: what the hook of that name does unless it is overridden.

        Raises:
            ModuleProtocolError: if no window has just gone forward.
        """
        if self._chained is not None:
            self._backward_through_pieces(loss)
            return
        tape, self._tape = self._tape, None
        if tape is None:
            raise ModuleProtocolError(
                "A backward pass was asked for where there is nothing to go back through. Call it once in the hook backward(), or "
                "set automatic_optimization = False and call self.manual_backward(loss) in training_step."
            )
        handle = self._handles[self.in_turn]
        scale = None if self._scale is None else self._scale.value
        if scale is not None:
            loss = ops.multiply(loss, scale)
        self._recorded.close()
        with self._profiled("backward"):
            handle.gather(unscaled(tape.gradient(loss, handle.parameters), scale), self._weight)

    def _backward_through_pieces(self, loss: Tensor) -> None:
        assert self._chained is not None
        (forward, boundary), self._chained = self._chained, None
        if loss is not forward.result.loss:
            raise ModuleProtocolError(
                "The hook backward() asked for gradients of another loss than the one it was given. A window that runs in pieces "
                "goes back through each of them, and only from the loss the step returned. Change the loss in training_step."
            )
        handle = self._handles[self.in_turn]
        scale = None if self._scale is None else self._scale.value
        with self._profiled("backward"):
            handle.gather(unscaled(forward.backward(boundary, scale), scale), forward.weight)

    def _profiled(self, action: str) -> AbstractContextManager[Any]:
        return self._profiler.profile(action) if self._profiler else nullcontext()


class Closure:
    """What ``optimizer_step`` is given: the first call answers with the loss there is, every later one computes it anew."""

    def __init__(self, loss: Tensor | None, again: Callable[[], Tensor | None]) -> None:
        self._loss, self._again, self._called = loss, again, False

    def __call__(self) -> Tensor | None:
        if not self._called:
            self._called = True
            return self._loss
        return self._again()
