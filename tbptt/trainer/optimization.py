"""An optimizer in the trainer's hands: gradients gathered for it, clipped, and applied in the engine's compiled form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from tbptt import ops, optim
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.protocols import Backend
from tbptt.trainer.scaling import LossScale
from tbptt.types import Number, Tensor

ClipAlgorithm = Literal["norm", "value"]
Clip = tuple[float, str]
"""Bound and algorithm."""
Gradients = list[Tensor | None]


def checked_clip(value: Number | None, algorithm: str | None) -> Clip | None:
    """Bound and algorithm as they are used; None where nothing is clipped.

    Raises:
        ConfigurationError: for a bound that is not above 0, or an unknown algorithm.
    """
    if algorithm not in ("norm", "value", None):
        raise ConfigurationError(f"gradient_clip_algorithm must be 'norm' or 'value'; received {algorithm!r}.")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value > 0:
        raise ConfigurationError(f"gradient_clip_val must be above 0, or None for no clipping; received {value!r}.")
    return float(value), algorithm or "norm"


def clipped(gradients: Gradients, clip: Clip | None, donate: bool = False) -> Gradients:
    """The gradients within their bound."""
    if clip is None:
        return gradients
    bound, algorithm = clip
    if algorithm == "norm":
        return list(optim.clip_by_global_norm(gradients, bound, donate=donate)[0])
    return list(optim.clip_by_value(gradients, bound, donate=donate))


@contextmanager
def rates_times(optimizer: Any, factor: float) -> Iterator[None]:
    """Inside the block the learning rates are so many times what they are."""
    groups = optimizer.param_groups
    before = [group["lr"] for group in groups]
    for group, rate in zip(groups, optimizer.rates(), strict=True):
        group["lr"] = rate * factor
    try:
        yield
    finally:
        for group, rate in zip(groups, before, strict=True):
            group["lr"] = rate


class Programs:
    """What is done to gradients between a backward pass and the parameters, each compiled once.

    The parts are programs of their own where hooks, accumulation or the user's own loop come between them. The arithmetic is that
    of the whole step, so the numbers are the same to the bit.
    """

    def __init__(self, optimizer: Any, backend: Backend, compile: bool | str) -> None:
        self._optimizer, self._backend, self._mode = optimizer, backend, compile
        self._made: dict[Any, Any] = {}

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...], key: Any = None) -> Any:
        name = function.__name__.strip("_")
        program = self._made.get((name, key))
        if program is None:
            program = self._made[name, key] = self._backend.compilation.compile(function, self._mode, name)
        # The tape of manual optimization is open, and none of this is to be on it.
        with self._backend.autodiff.no_grad():
            return program(*arguments)

    def apply(self, gradients: Gradients, clip: Clip | None, rates: Any, donate: bool = False) -> None:
        """Clip and update: also the tail of the whole step, inside its program. `rates` may be a tensor."""
        one_a_group = [rates[index] for index in range(len(self._optimizer.param_groups))]
        self._optimizer.update(clipped(gradients, clip, donate), one_a_group)

    def update(self, gradients: Gradients, clip: Clip | None) -> None:
        """`apply` as a program, and the update counted."""

        def update(gradients: Any, rates: Any) -> None:
            self.apply(list(gradients), clip, rates)

        self._run(update, (gradients, self._tensor(self._optimizer.rates())), key=clip)
        self._optimizer.advance()

    def clip(self, gradients: Gradients, clip: Clip) -> Gradients:
        """Clipped gradients."""

        def clip_gradients(gradients: Any) -> Any:
            return clipped(list(gradients), clip)

        return list(self._run(clip_gradients, (gradients,), key=clip))

    def weighted(self, gradients: Gradients, weight: Any) -> Gradients:
        """Each times a scalar."""
        return list(self._run(_weighted, (gradients, self._tensor(weight))))

    def add(self, total: Gradients, gradients: Gradients, weight: Any = 1.0) -> Gradients:
        """The total, and the gradients times a scalar; None where both are None."""
        return list(self._run(_add, (total, gradients, self._tensor(weight))))

    def divide(self, total: Gradients, weight: Any) -> Gradients:
        """Each over a scalar."""
        return list(self._run(_divide, (total, self._tensor(weight))))

    def all_finite(self, gradients: Gradients) -> bool:
        """Whether no element of any is NaN or infinite. Waits for the device."""
        return bool(np.isfinite(float(optim.global_norm(gradients))))

    def _tensor(self, number: Any) -> Tensor:
        if ops.is_tensor(number):
            return number
        return self._backend.tensors.asarray(np.array(number, dtype="float64"))


def _weighted(gradients: Any, weight: Tensor) -> Any:
    return [None if g is None else ops.multiply(g, ops.astype(weight, ops.dtype(g))) for g in gradients]


def _add(total: Any, gradients: Any, weight: Tensor) -> Any:
    pairs = zip(total, _weighted(gradients, weight), strict=True)
    return [b if a is None else a if b is None else ops.add(a, b) for a, b in pairs]


def _divide(total: Any, weight: Tensor) -> Any:
    return [None if g is None else ops.divide(g, ops.astype(weight, ops.dtype(g))) for g in total]


class Mean:
    """The mean of several gradients, each weighing as much as the elements its loss is a mean over. One stays as it is."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.count = 0
        self._total: Gradients = []
        self._weight: Any = 0.0

    def add(self, gradients: Gradients, weight: Any) -> None:
        """Take one more."""
        if self.count == 0:
            self._total, self._weight = gradients, weight
        else:
            if self.count == 1:
                self._total = self._programs.weighted(self._total, self._weight)
            self._total = self._programs.add(self._total, gradients, weight)
            self._weight = self._weight + weight
        self.count += 1

    def value(self) -> Gradients:
        """The mean so far."""
        return self._total if self.count == 1 else self._programs.divide(self._total, self._weight)


class OptimizerHandle:
    """What hooks and manual optimization are given for an optimizer; everything the optimizer has is there too.

    Args:
        optimizer: of `tbptt.optim`, or the engine's own behind `tbptt.protocols.NativeOptimizer`.
        programs: what is done to its gradients.
        clip: bound and algorithm of the trainer.
        scale: the loss scale of 16-bit training, or None.
        stepped: called after every update.
    """

    def __init__(
        self,
        optimizer: Any,
        programs: Programs,
        clip: Clip | None,
        scale: LossScale | None,
        stepped: Callable[[], None],
    ) -> None:
        self.optimizer = optimizer
        self.has_stepped = False
        """Whether the parameters have changed since the window began."""
        self.hold: float = 1
        """How many calls of `step` make one update; infinity where the trainer says when (`flush`)."""
        self.before_update: Callable[[], Any] | None = None
        """Called before an update in manual optimization."""
        self._programs = programs
        self._trainer_clip = clip
        self._clip = clip
        self._scale = scale
        self._stepped = stepped
        self._mean = Mean(programs)
        self._gradients: Gradients | None = None
        self._weight: Any = 1.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["optimizer"], name)

    @property
    def lr(self) -> float:
        """The learning rate of the coming update. It may be set."""
        return self.optimizer.lr  # type: ignore[no-any-return]

    @lr.setter
    def lr(self, rate: float) -> None:
        self.optimizer.lr = rate

    @property
    def gradients(self) -> Gradients | None:
        """One for each of ``parameters``, None where the loss does not depend on it; None before any backward pass.

        While gradients accumulate this is their mean so far, weighted by the elements that counted. It may be set.
        """
        own = self._own()
        if (
            own is None and self._mean.count
        ):  # what is held back is the optimizer's already, and not to be given to it again
            return self._mean.value()
        return own

    @gradients.setter
    def gradients(self, gradients: Gradients | None) -> None:
        self._gradients = None if gradients is None else list(gradients)

    def _own(self) -> Gradients | None:
        """What the coming `step` takes; what the user put beside the parameters (torch's ``loss.backward()``) included."""
        if self._gradients is None and self._mean.count and self.hold == 1:
            self._gradients = self._mean.value()
        taken = self.optimizer.backend.interop.take_gradients(self.optimizer.parameters)
        if taken is not None:
            self.add(taken)
        return self._gradients

    def gather(self, gradients: Gradients, weight: Any) -> None:
        """Take the gradients of a window into the mean, with their weight."""
        self._mean.add(gradients, weight)
        self._gradients, self._clip = None, self._trainer_clip

    def add(self, gradients: Gradients, weight: Any = 1.0) -> None:
        """Add the gradients of a backward pass of the user's own, and their weight, to those there are."""
        if self._gradients is None:
            self._gradients, self._weight = gradients, weight
        else:
            self._gradients, self._weight = self._programs.add(self._gradients, gradients), self._weight + weight
        self._clip = self._trainer_clip

    def clip(self, clip: Clip | None) -> None:
        """Clip the gradients there are, instead of clipping as the trainer was told."""
        gradients = self._own()
        if clip is not None and gradients is not None:
            self._gradients = self._programs.clip(gradients, clip)
        self._clip = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; of those that `step` is holding back until the next update nothing is lost."""
        self._gradients = None
        self.optimizer.backend.interop.take_gradients(self.optimizer.parameters)
        if self.hold == 1:
            self._mean.clear()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters with the gradients, clipped as the trainer was told unless `clip` was called. The closure's loss.

        While the trainer accumulates, the gradients are held back instead, until an update is due.

        Args:
            closure: called first; it returns the loss. The closure that ``optimizer_step`` is given makes a fresh forward and
                backward pass whenever it is called again, which is what line searches do.

        Raises:
            ModuleProtocolError: if there are no gradients.
        """
        if getattr(self.optimizer, "uses_closure", False):
            return self._search(closure)
        loss = closure() if closure is not None else None
        gradients = self._present()
        if self.hold == 1:
            self._update(gradients)
        else:
            self._mean.add(gradients, self._weight)
            self._gradients = None
            if self._mean.count >= self.hold:
                self.flush()
        return loss

    def flush(self) -> None:
        """Update with what `step` has held back; nothing if that is nothing."""
        if self._mean.count:
            self._update(self._mean.value())
            self._mean.clear()
            self._gradients = None

    def _update(self, gradients: Gradients) -> None:
        if self._scale is not None:
            finite = self._programs.all_finite(gradients)
            self._scale.update(finite)
            if not finite:  # the scale was too large for this window: it is halved, and the window left out
                return
        if self.before_update is not None:
            self._gradients = gradients
            self.before_update()
            gradients = self._gradients
        self._programs.update(gradients, self._clip)
        self.has_stepped = True
        self._stepped()

    def _search(self, closure: Callable[[], Any] | None) -> Any:
        if closure is None:
            raise ModuleProtocolError(
                f"{type(self.optimizer.native).__name__} searches along a line and must be able to compute the loss again: "
                f"call optimizer.step(closure), with a closure that returns the loss."
            )

        losses = []

        def evaluate(recompute: bool) -> tuple[Any, Gradients]:
            losses.append(closure())
            gradients = self._present()
            if self.before_update is not None:
                self.before_update()
            self.clip(self._clip)
            return losses[-1], self._gradients or gradients

        self.optimizer.step_with(evaluate)
        self.optimizer.advance()
        self.has_stepped = True
        self._stepped()
        return losses[0]

    def _present(self) -> Gradients:
        gradients = self._own()
        if gradients is None:
            raise ModuleProtocolError(
                "optimizer.step() was called without gradients. Call self.manual_backward(loss) before it, and "
                "optimizer.zero_grad() before that."
            )
        return gradients

    def __repr__(self) -> str:
        return f"<handle of {self.optimizer!r}>"
