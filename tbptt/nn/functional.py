"""Losses and metrics. The class axis of logits is the last one; every mean is over the elements that count.

All of them take ``lengths=``: of inputs (B, T, ...), the steps of each row that count, (B,) integers as `tbptt.windows`
hands them out, or a mask of booleans (B, T). What lies elsewhere counts for nothing, whatever it is (NaN, numbers of no class):
the mean is over what counts (0, with the weight 0, where nothing does), the sum too, and ``"none"`` gives zeros there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from tbptt import counting, ops, precision
from tbptt.errors import ConfigurationError, ShapeError
from tbptt.nn.lengths import counted_steps
from tbptt.types import Tensor

Reduction: TypeAlias = Literal["mean", "sum", "none"]


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
    *,
    lengths: Any = None,
) -> Tensor:
    """−log softmax(logits)[target], in nats, from logits, as `torch.nn.functional.cross_entropy` with the classes last.

    Args:
        logits: (..., C).
        targets: integers (...), any integer dtype.
        weight: (C,), of each class; the mean then divides by the sum of the weights of the targets that count.
        ignore_index: targets of this value count for nothing.
        label_smoothing: ε; the target distribution is (1 − ε)·one-hot + ε/C.
        reduction: ``"mean"`` over the targets that count (NaN with a gradient of 0 if none does), ``"sum"`` or ``"none"``.
        lengths: see above.

    Raises:
        ShapeError: if `targets` is not `logits` without its last axis, or lengths do not fit.

    >>> import numpy as np, tbptt
    >>> logits = tbptt.ops.asarray(np.zeros((2, 3, 4)))
    >>> round(float(tbptt.nn.functional.cross_entropy(logits, np.zeros((2, 3), int))), 4)  # the logarithm of 4
    1.3863
    """
    logits, targets, counted = _counted_targets(logits, targets, ignore_index, lengths)
    index = ops.expand_dims(ops.where(counted, targets, 0), axis=-1)
    log_probabilities = ops.log_softmax(logits, axis=-1)
    losses = ops.negative(ops.squeeze(ops.take_along_axis(log_probabilities, index, axis=-1), axis=-1))
    element_weights = ops.astype(counted, ops.dtype(logits))
    if weight is not None:
        element_weights = ops.multiply(element_weights, ops.take(weight, ops.squeeze(index, axis=-1), axis=0))
        losses = ops.multiply(losses, ops.take(weight, ops.squeeze(index, axis=-1), axis=0))
    if label_smoothing:
        spread = log_probabilities if weight is None else ops.multiply(log_probabilities, weight)
        uniform = ops.divide(ops.negative(ops.sum(spread, axis=-1)), logits.shape[-1])
        losses = ops.add(ops.multiply(losses, 1 - label_smoothing), ops.multiply(uniform, label_smoothing))
    losses = ops.where(counted, losses, 0.0)
    if reduction != "mean":
        return _reduce(losses, reduction)
    return _mean(losses, ops.sum(element_weights), lengths)


def mse_loss(inputs: Tensor, targets: Tensor, reduction: Reduction = "mean", *, lengths: Any = None) -> Tensor:
    """(input − target)².

    >>> import numpy as np, tbptt
    >>> float(tbptt.nn.functional.mse_loss(tbptt.ops.ones((2, 3)), tbptt.ops.zeros((2, 3))))
    1.0
    >>> padded = tbptt.ops.asarray([[1.0, 3.0], [5.0, np.nan]])
    >>> float(tbptt.nn.functional.mse_loss(padded, tbptt.ops.ones((2, 2)), lengths=[2, 1]))  # (0 + 4 + 16) / 3
    6.666...
    """
    inputs, targets, counted = _counted_pair(inputs, targets, lengths)
    return _reduce(ops.square(ops.subtract(inputs, targets)), reduction, counted)


def l1_loss(inputs: Tensor, targets: Tensor, reduction: Reduction = "mean", *, lengths: Any = None) -> Tensor:
    """|input − target|."""
    inputs, targets, counted = _counted_pair(inputs, targets, lengths)
    return _reduce(ops.abs(ops.subtract(inputs, targets)), reduction, counted)


def huber_loss(
    inputs: Tensor, targets: Tensor, reduction: Reduction = "mean", delta: float = 1.0, *, lengths: Any = None
) -> Tensor:
    """½d² up to |d| = delta, delta·(|d| − ½·delta) beyond (Huber 1964)."""
    if delta <= 0:
        raise ConfigurationError(f"delta must be above 0; received {delta!r}.")
    inputs, targets, counted = _counted_pair(inputs, targets, lengths)
    size = ops.abs(ops.subtract(inputs, targets))
    inside = ops.multiply(ops.square(size), 0.5)
    outside = ops.multiply(ops.subtract(size, 0.5 * delta), delta)
    return _reduce(ops.where(ops.less_equal(size, delta), inside, outside), reduction, counted)


def binary_cross_entropy_with_logits(
    inputs: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: Reduction = "mean",
    *,
    lengths: Any = None,
) -> Tensor:
    """−t·log σ(x) − (1 − t)·log σ(−x), computed without overflow.

    Args:
        inputs: logits x, any shape.
        targets: probabilities t of the same shape.
        weight: of each element, broadcast; the mean still divides by the number of elements, as in torch.
        pos_weight: factor on the first term.
        lengths: see above.
    """
    inputs, targets, counted = _counted_pair(inputs, targets, lengths)
    # log σ(−x) = −softplus(x) and log σ(x) = −softplus(−x)
    positive = ops.multiply(ops.softplus(ops.negative(inputs)), targets)
    if pos_weight is not None:
        positive = ops.multiply(positive, pos_weight)
    losses = ops.add(positive, ops.multiply(ops.softplus(inputs), ops.subtract(1.0, targets)))
    return _reduce(losses if weight is None else ops.multiply(losses, weight), reduction, counted)


def accuracy(logits: Tensor, targets: Tensor, ignore_index: int = -100, *, lengths: Any = None) -> Tensor:
    """Share of targets that have the highest logit, over the targets that count; a scalar.

    >>> import numpy as np, tbptt
    >>> float(tbptt.nn.functional.accuracy(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([1, 0])))
    0.5
    """
    logits, targets, counted = _counted_targets(logits, targets, ignore_index, lengths)
    hits = ops.logical_and(ops.equal(ops.argmax(logits, axis=-1), ops.astype(targets, "int64")), counted)
    count = ops.sum(ops.astype(counted, ops.dtype(logits)))
    return _mean(ops.astype(hits, ops.dtype(logits)), count, lengths)


def perplexity(logits: Tensor, targets: Tensor, ignore_index: int = -100, *, lengths: Any = None) -> Tensor:
    """Exp of the mean cross entropy; a scalar.

    Of several windows, take exp of the mean of their cross entropies, not the mean of their perplexities.
    """
    loss = cross_entropy(logits, targets, ignore_index=ignore_index, lengths=lengths)
    count = counting.count_of(loss)
    value = ops.exp(loss)
    return value if count is None else counting.note(value, count)


def _counted_targets(logits: Tensor, targets: Tensor, ignore_index: int, lengths: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Logits and targets made harmless where they do not count, and where they count, shaped like the targets."""
    targets = targets if ops.is_tensor(targets) else ops.asarray(targets)
    if not _alike(targets.shape, tuple(logits.shape)[:-1]):
        raise ShapeError(
            f"Targets must be class numbers shaped like the logits without their last axis, {tuple(logits.shape)[:-1]}; "
            f"received targets {tuple(targets.shape)} for logits {tuple(logits.shape)}. The class axis is the last one."
        )
    logits = precision.raised(logits)
    counted = ops.not_equal(targets, ignore_index)
    if lengths is None:
        return logits, targets, counted
    inside = _inside(lengths, targets)
    logits = ops.where(ops.expand_dims(inside, axis=-1), logits, 0)
    return logits, ops.where(inside, targets, 0), ops.logical_and(counted, inside)


def _counted_pair(inputs: Tensor, targets: Tensor, lengths: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Both made harmless where they do not count, and where they count, broadcast to them; None: everywhere."""
    if not _alike(inputs.shape, targets.shape):
        raise ShapeError(
            f"Inputs {tuple(inputs.shape)} and targets {tuple(targets.shape)} differ in shape, and broadcasting them would "
            f"average over pairs that do not belong together. Reshape one to the other's shape."
        )
    inputs, targets = precision.raised(inputs), precision.raised(targets)
    if lengths is None:
        return inputs, targets, None
    inside = _inside(lengths, inputs)
    return ops.where(inside, inputs, 0), ops.where(inside, targets, 0), inside


def _alike(given: Sequence[int | None], expected: Sequence[int | None]) -> bool:
    """Whether two shapes are one, as far as they are known: a length is None where a program is traced for any."""
    return len(given) == len(expected) and all(
        None in pair or pair[0] == pair[1] for pair in zip(given, expected, strict=True)
    )


def _inside(lengths: Any, values: Tensor) -> Tensor:
    """Which steps count, (B, T), with further axes of length 1 up to those of the values."""
    inside = counted_steps(lengths, values)
    return ops.reshape(inside, (*ops.shape(inside), *[1] * (len(values.shape) - 2)))


def _reduce(losses: Tensor, reduction: Reduction, inside: Tensor | None = None) -> Tensor:
    losses = losses if inside is None else ops.where(inside, losses, 0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return ops.sum(losses)
    if reduction != "mean":
        raise ConfigurationError(f"reduction must be 'mean', 'sum' or 'none'; received {reduction!r}.")
    if inside is None:
        return counting.note(ops.mean(losses), math.prod(ops.shape(losses)[:2]))
    per_step = math.prod(ops.shape(losses)[2:])
    return _mean(ops.divide(losses, per_step), ops.sum(ops.astype(inside, ops.dtype(losses))), inside)


def _mean(losses: Tensor, count: Tensor, lengths: Any) -> Tensor:
    """Σ losses / count, and the count noted. Of nothing it is NaN, or 0 where rows have lengths, and its gradient 0 either way:
    a window in which every target is ignored, or every row has ended, is no reason to lose the parameters.
    """
    nothing = ops.equal(count, 0)
    mean = ops.divide(ops.sum(losses), ops.where(nothing, 1, count))
    return counting.note(mean if lengths is not None else ops.where(nothing, math.nan, mean), count)
