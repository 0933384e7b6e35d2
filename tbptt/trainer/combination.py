"""How the losses of a window's pieces make the loss of the window: sums add up, means weigh as much as they are means over."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

from tbptt import ops
from tbptt.trainer.effects import Effects
from tbptt.trainer.step import Result, Step
from tbptt.types import Number, Tensor

if TYPE_CHECKING:
    from tbptt.trainer.chain import Share

Kind = Literal["mean", "sum"]


class Combination:
    """Weights losses. Those of `tbptt.nn.functional` say what they are means over; of any other loss it is found out, once, whether
    it is a sum or a mean over time: a few steps run whole and in two parts, in evaluation mode, and either the parts' sum or their
    mean is the whole.

    Args:
        step: whose losses they are.
        effects: sets aside what finding out would change.
    """

    _MOST_STEPS = 64

    def __init__(self, step: Step, effects: Effects) -> None:
        self._step, self._effects = step, effects
        self._kind: Kind | None = None

    def cotangents(self, share: Share, counted: list[Result]) -> list[Tensor | Number]:
        """The cotangent of each loss that counts."""
        per = share.window.per
        if not counted or (len(counted) == 1 and per is None):
            return [1.0] * len(counted)
        if self.kind(share, counted[0]) == "sum":
            return [1.0] * len(counted)
        weights = [result.weight for result in counted]
        whole = _total(weights) if per is None else per * share.rows
        return [_over(weight, whole) for weight in weights]

    def total(self, share: Share, counted: list[Result]) -> tuple[Tensor, Tensor | int]:
        """The loss of the window as it is shown, and how many elements it is of."""
        weight = _total([result.weight for result in counted])
        losses: list[Any] = [result.loss for result in counted]
        if len(counted) == 1:
            return losses[0], weight
        if self.kind(share, counted[0]) == "mean":
            losses = [
                ops.multiply(loss, _like(_over(result.weight, weight), loss))
                for loss, result in zip(losses, counted, strict=True)
            ]
        return ops.sum(ops.stack(losses)), weight

    def kind(self, share: Share, result: Result) -> Kind:
        """Whether losses are means or sums over time."""
        if result.is_counted:
            return "mean"
        if self._kind is None:
            with self._effects.set_aside():
                self._kind = self._found(share)
        return self._kind or "mean"

    def _found(self, share: Share) -> Kind | None:
        """None where these steps do not tell: their losses are zero, or there is only one step. Later ones may."""
        stop = share.steps  # of the batch: the window itself may be a single step
        start = max(0, min(share.window.run_from, stop - 2))
        steps = 2
        while True:
            middle, end = start + steps // 2, min(start + steps, stop)
            if middle >= end:
                return None
            whole, _ = self._loss(share, start, end)
            first, hiddens = self._loss(share, start, middle)
            second, _ = self._loss(share, middle, end, hiddens)
            share_of_first = (middle - start) / (end - start)
            if_mean = abs(whole - (first * share_of_first + second * (1 - share_of_first)))
            if_sum = abs(whole - (first + second))
            scale = max(abs(whole), abs(first), abs(second))
            if abs(if_mean - if_sum) > 1e-3 * scale:
                break
            if end == stop or steps >= self._MOST_STEPS:
                return None
            steps *= 2
        kind: Kind = "mean" if if_mean < if_sum else "sum"
        if min(if_mean, if_sum) > 1e-2 * scale:
            warnings.warn(
                f"The loss of {self._step.name} is neither a mean nor a sum over time steps: {steps} steps give {whole:.6g}, "
                f"their two parts {first:.6g} and {second:.6g}. It is taken for a {kind}, and gradients of windows that run in "
                f"pieces are not exact. Use a loss of tbptt.nn.functional, which says what it is a mean over, or return a sum.",
                stacklevel=2,
            )
        return kind

    def _loss(self, share: Share, start: int, stop: int, hiddens: Any = None) -> tuple[float, Any]:
        """The loss of some steps, and the state that leaves them."""
        numbers = (*share.origin(start), share.batch_idx)
        with self._step.backend.autodiff.no_grad():
            result = self._step.forward(share.fetch(start, stop), hiddens, numbers, 0)
        return float(ops.to_numpy(result.loss)), result.hiddens


def _total(weights: list[Any]) -> Any:
    total = weights[0]
    for weight in weights[1:]:
        total = total + weight
    return total


def _over(weight: Any, whole: Any) -> Any:
    if ops.is_tensor(weight) or ops.is_tensor(whole):
        return ops.divide(_float(weight), _float(whole))
    return weight / whole


def _float(value: Any) -> Any:
    return ops.astype(value, "float64") if ops.is_tensor(value) else float(value)


def _like(value: Any, loss: Tensor) -> Any:
    return ops.astype(value, ops.dtype(loss)) if ops.is_tensor(value) else value
