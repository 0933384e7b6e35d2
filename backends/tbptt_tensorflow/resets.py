"""Rows that begin anew inside a window: a choice before each step of the loop, and its pullback after each step back.

torch's adapter cuts rows into segments; here the mask is a tensor of the program, and one program serves every mask. `tf.where`
chooses, and a cotangent goes to the state before or to `initial`, zero to the other: what is not chosen may be NaN.

Shape legend: T steps, B rows, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

__all__ = ["Resets"]

Tensor: TypeAlias = Any
Step: TypeAlias = Callable[..., tuple[list[Tensor], list[Tensor]]]
"""``carry, emitted = step(t, *carry)``."""


class Resets(NamedTuple):
    """Where one layer's rows begin anew, and from what.

    >>> import tensorflow as tf
    >>> resets = Resets(tf.constant([[[False]], [[True]]]), [tf.constant([[5.0]])])
    >>> step = resets.forward(lambda t, h: ([h + 1], []))
    >>> [step(t, tf.constant([[1.0]]))[0][0].numpy().item() for t in (0, 1)]
    [2.0, 6.0]
    """

    mask: Tensor
    """(T, B, 1), True where a row begins anew before that step."""
    initial: Sequence[Tensor]
    """The state it begins from, one (B, H) for each part."""

    def forward(self, step: Step) -> Step:
        """The step of a loop forward, preceded by the choice."""

        def chosen(t: Tensor, *carry: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            pairs = zip(self.initial, carry, strict=True)
            return step(t, *(tf.where(self.mask[t], begun, part) for begun, part in pairs))

        return chosen

    def backward(self, step: Step) -> Step:
        """The step of a loop backward, followed by the choice's pullback; the carry has the sums for `initial` behind it."""
        parts = len(self.initial)

        def pulled(t: Tensor, *carry: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            cotangents, emitted = step(t, *carry[:parts])
            mask, zero = self.mask[t], tf.zeros((), carry[0].dtype)
            pairs = zip(carry[parts:], cotangents, strict=True)
            sums = [total + tf.where(mask, each, zero) for total, each in pairs]
            return [*(tf.where(mask, zero, each) for each in cotangents), *sums], emitted

        return pulled

    def before(self, states_TBH: Tensor, part: int) -> Tensor:  # noqa: N803  (names end in their shape)
        """Part of the state that each step started from, given what was there before the choice."""
        return tf.where(self.mask, self.initial[part], states_TBH)
