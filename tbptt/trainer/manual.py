"""Training where the module does everything: ``automatic_optimization = False``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tbptt import autodiff, counting, ops
from tbptt.clock import Origin
from tbptt.errors import GradientError, ModuleProtocolError
from tbptt.protocols import Backend, Tape
from tbptt.trainer.automatic import Outcome, Turn
from tbptt.trainer.chain import Share
from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.optimization import OptimizerHandle
from tbptt.trainer.scaling import LossScale
from tbptt.trainer.step import Step, unscaled
from tbptt.types import Tensor, Tree


class Manual:
    """Runs ``training_step`` as it is, with a tape open around it.

    Tapes are renewed at every backward pass, so that a loop over many windows inside one ``training_step`` holds the record of the
    window at hand and of the one before, on every engine. Schedulers are the module's to step, too.
    """

    def __init__(self, step: Step, handles: list[OptimizerHandle], hooks: Hooks, scale: LossScale | None) -> None:
        self._step, self._handles, self._hooks, self._scale = step, handles, hooks, scale
        self._tapes: _Tapes | None = None
        self._in_hook = self._retains = False
        self._elements: Any = 1
        self.in_turn = 0
        for index, handle in enumerate(handles):
            handle.before_update = self._before_update(handle, index)

    def __call__(self, window: Tree, hiddens: Tree, origin: Origin, turn: Turn, optimizers: list[int]) -> Outcome:
        """Run one window: the whole batch, unless the step takes ``hiddens``."""
        for handle in self._handles:
            handle.has_stepped = False
        numbers = (*origin, turn.batch_idx)
        self._elements = self._step.elements(window)
        with _Tapes(self._step.backend) as self._tapes:
            result = self._step.forward(window, hiddens, numbers, None, loss_needed=False, collect=False)
        self._tapes = None
        for handle in self._handles:
            if turn.ends_epoch or (turn.ends and handle.hold == math.inf):
                handle.flush()
        loss = None if result.loss is None else autodiff.stop_gradient(result.loss)
        extras = result.extras if isinstance(result.extras, dict) else {}
        return Outcome(result.hiddens, loss, result.logged, result.weight, [{**extras, "loss": loss}], [])

    @property
    def step(self) -> Step:
        """What it runs."""
        return self._step

    def begin(self) -> None:
        """A batch begins."""

    def in_pieces(self, share: Share, turn: Turn, optimizers: list[int]) -> Outcome:
        """Refuse: a module that goes backward itself sees one window at a time.

        Raises:
            ModuleProtocolError: always.
        """
        raise ModuleProtocolError(
            f"With automatic_optimization = False the module goes backward itself, through one run from its state to its loss. The "
            f"window {share.window} runs in several pieces (a gradient that reaches into earlier windows, or is weighted, or "
            f"computed again; a row that begins anew inside; on_window_boundary), which the trainer can only do by itself. Use "
            f"Fixed(k) or RandomLength, or automatic optimization."
        )

    def finish(self, epoch: int, batch_idx: int) -> list[int]:
        """Update with what is held back, where an epoch ended early."""
        for handle in self._handles:
            handle.flush()
        return []

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
                self._in_hook, self._retains = True, retain_graph
                try:
                    hooks("backward", loss, None, None)
                finally:
                    self._in_hook = False
            else:
                self._gather(loss, retain_graph)
            if hooks.has("on_after_backward"):
                hooks("on_after_backward")
        else:
            self._gather(loss, retain_graph or self._retains)

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
        counted = counting.count_of(loss)
        by_parameter = dict(zip(map(id, parameters), unscaled(found, scale), strict=True))
        for handle in self._handles:
            gradients = [by_parameter[id(parameter)] for parameter in handle.parameters]
            if any(gradient is not None for gradient in gradients):
                handle.add(gradients, self._elements if counted is None else counted)

    def _before_update(self, handle: OptimizerHandle, index: int) -> Callable[[], None] | None:
        if not self._hooks.has("on_before_optimizer_step"):
            return None
        return lambda: self._hooks("on_before_optimizer_step", handle, index)


class _Tapes:
    """Two tapes that overlap: one was begun at the last backward pass, the other at the one before it.

    The older one is asked, so that several losses of one forward pass can go backward one after the other (a generator's loss after
    the discriminator's); what lies before it is let go.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._tapes: list[Tape] = [backend.autodiff.tape(persistent=True)]

    def __enter__(self) -> _Tapes:
        for tape in self._tapes:
            tape.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        for tape in reversed(self._tapes):
            tape.__exit__(*exception)

    def gradient(self, loss: Tensor, parameters: list[Any], keep: bool) -> list[Tensor | None] | None:
        self.__exit__(None, None, None)  # the backward pass itself is not recorded
        try:
            return self._tapes[0].gradient([loss], parameters, [None], keep)
        finally:
            if not keep:
                self._tapes = [self._tapes[-1], self._backend.autodiff.tape(persistent=True)]
                counting.let_go()
            self.__enter__()
