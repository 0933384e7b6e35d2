"""Training where the module does everything: ``automatic_optimization = False``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tbptt import autodiff, ops
from tbptt.clock import Origin
from tbptt.errors import GradientError, ModuleProtocolError
from tbptt.protocols import Backend, Tape
from tbptt.trainer.automatic import Outcome, Turn
from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.optimization import OptimizerHandle
from tbptt.trainer.scaling import LossScale
from tbptt.trainer.schedulers import Schedulers
from tbptt.trainer.step import Step, unscaled
from tbptt.types import Tensor, Tree


class Manual:
    """Runs ``training_step`` as it is, with a tape open around it.

    The tape is a new one after every backward pass, so that a loop over many windows inside one ``training_step`` holds the record
    of the window at hand and of the one before, on every engine.
    """

    def __init__(
        self, step: Step, handles: list[OptimizerHandle], hooks: Hooks, schedulers: Schedulers, scale: LossScale | None
    ) -> None:
        self._step, self._handles, self._hooks, self._schedulers, self._scale = step, handles, hooks, schedulers, scale
        self._tapes: _Tapes | None = None
        self._in_hook = False
        self.in_turn = 0
        for index, handle in enumerate(handles):
            handle.before_update = self._before_update(handle, index)

    def __call__(self, window: Tree, hiddens: Tree, origin: Origin, turn: Turn, optimizers: list[int]) -> Outcome:
        """Run one window: the whole batch, unless the step takes ``hiddens``."""
        for handle in self._handles:
            handle.has_stepped = False
        numbers = (*origin, turn.batch_idx)
        with _Tapes(self._step.backend) as self._tapes:
            result = self._step.forward(window, hiddens, numbers, None, loss_needed=False, collect=False)
        self._tapes = None
        if turn.ends:
            for handle in self._handles:
                handle.flush()
        loss = None if result.loss is None else autodiff.stop_gradient(result.loss)
        extras = result.extras if isinstance(result.extras, dict) else {}
        return Outcome(result.hiddens, loss, result.logged, [{**extras, "loss": loss}])

    def backward(self, loss: Tensor, retain_graph: bool = False) -> None:
        """Add the loss' gradients to those every optimizer holds.

        Raises:
            ModuleProtocolError: outside ``training_step``, or for what is no scalar tensor.
            GradientError: if the loss depends on no parameter.
        """
        if self._tapes is None:
            raise ModuleProtocolError("self.manual_backward(loss) was called outside training_step. Call it inside.")
        if not ops.is_tensor(loss) or any(size != 1 for size in tuple(loss.shape)):
            received = f"a tensor of shape {tuple(loss.shape)}" if ops.is_tensor(loss) else type(loss).__name__
            raise ModuleProtocolError(
                f"self.manual_backward expected a loss, a scalar tensor computed from the parameters; received {received}. "
                f"Take its mean or its sum."
            )
        hooks = self._hooks
        if not self._in_hook:
            if hooks.has("on_before_backward"):
                hooks("on_before_backward", loss)
            if hooks.has("backward"):
                self._in_hook = True
                try:
                    hooks("backward", loss, None, None)
                finally:
                    self._in_hook = False
            else:
                self._gather(loss, retain_graph)
            if hooks.has("on_after_backward"):
                hooks("on_after_backward")
        else:
            self._gather(loss, retain_graph)

    def _gather(self, loss: Tensor, retain_graph: bool) -> None:
        assert self._tapes is not None
        scale = None if self._scale is None else self._scale.value
        scaled = loss if scale is None else ops.multiply(loss, scale)
        parameters = list({id(p): p for handle in self._handles for p in handle.parameters}.values())
        found = self._tapes.gradient(scaled, parameters, retain_graph)
        if found is None or all(gradient is None for gradient in found):
            raise GradientError(
                "The loss given to self.manual_backward depends on no parameter of any optimizer, as far as the record since the "
                "backward pass before the last one reaches. Compute it inside training_step, after that; or keep the record with "
                "self.manual_backward(..., retain_graph=True)."
            )
        by_parameter = dict(zip(map(id, parameters), unscaled(found, scale), strict=True))
        for handle in self._handles:
            gradients = [by_parameter[id(parameter)] for parameter in handle.parameters]
            if any(gradient is not None for gradient in gradients):
                handle.add(gradients)

    def _before_update(self, handle: OptimizerHandle, index: int) -> Callable[[], None] | None:
        if not self._hooks.has("on_before_optimizer_step"):
            return None
        return lambda: self._hooks("on_before_optimizer_step", handle, index)


class _Tapes:
    """The tape at hand and the one before, so that two losses of one forward pass can go backward one after the other."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._before: Tape | None = None
        self._tape = backend.autodiff.tape(persistent=True)

    def __enter__(self) -> _Tapes:
        self._tape.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._tape.__exit__(*exception)

    def gradient(self, loss: Tensor, parameters: list[Any], keep: bool) -> list[Tensor | None] | None:
        self._tape.__exit__(None, None, None)  # the backward pass itself is not recorded
        try:
            for tape in (self._tape, self._before):
                found = tape.gradient([loss], parameters, [None], keep) if tape is not None else None
                if found is not None:
                    break
            if not keep:
                self._before, self._tape = self._tape, self._backend.autodiff.tape(persistent=True)
        finally:
            self._tape.__enter__()
        return found
