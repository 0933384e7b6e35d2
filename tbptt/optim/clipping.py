"""Clipping of gradients, in the structure that was given. The given tensors are left alone, unless they are donated.

What to do about a norm that is not finite is the caller's policy. The formula alone gives: a NaN anywhere makes every
gradient NaN; an infinite element makes the factor 0, so finite elements become 0 and the infinite ones NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tbptt import tree
from tbptt.backends import backend_of
from tbptt.errors import ConfigurationError, NonFiniteError
from tbptt.protocols.backend import Backend
from tbptt.types import Number, Tensor, Tree


def global_norm(gradients: Tree) -> Tensor:
    """√Σ‖g‖² over every element of every gradient, a scalar tensor; 0 if there is none.

    >>> import numpy as np, tbptt
    >>> from tbptt import ops, optim
    >>> float(optim.global_norm([ops.asarray([3.0]), None, ops.asarray([[4.0]])]))
    5.0

    Args:
        gradients: any tree of tensors and None.
    """
    flat, backend, _ = _flatten(gradients)
    return backend.optimizers.global_norm(flat)


def clip_by_global_norm(
    gradients: Tree, max_norm: Number, error_if_nonfinite: bool = False, donate: bool = False
) -> tuple[Tree, Tensor]:
    """Every gradient times min(1, max_norm/norm) of the global norm; and that norm, before clipping.

    Without the 1e-6 torch adds to the norm: a norm of exactly `max_norm` changes nothing. (`clipnorm` of Keras is
    another thing, each variable by a norm of its own.)

    >>> import numpy as np, tbptt
    >>> from tbptt import ops, optim
    >>> clipped, norm = optim.clip_by_global_norm([ops.asarray([3.0]), ops.asarray([4.0])], 1.0)
    >>> round(float(norm), 6), round(float(clipped[0][0]), 6)
    (5.0, 0.6)

    Args:
        gradients: any tree of tensors and None.
        max_norm: the largest norm let through, more than 0.
        error_if_nonfinite: read the norm and raise if it is NaN or infinite. Not in a compiled step, where there is
            no value to read; without it, see the top of this module for what becomes of such gradients.
        donate: the given tensors are not needed any more and their memory may be written, which saves allocating as
            much again.

    Raises:
        ConfigurationError: if `max_norm` is not more than 0, or values are to be read in a compiled step.
        NonFiniteError: if asked for, and the norm is NaN or infinite.
    """
    limit = _positive("max_norm", max_norm)
    flat, backend, restore = _flatten(gradients)
    if error_if_nonfinite and backend.compilation.is_tracing():
        raise ConfigurationError(
            "error_if_nonfinite=True has to read the norm, which has no value while a step is being compiled. "
            "Return the norm from the step and check it outside."
        )
    clipped, norm = backend.optimizers.clip_by_global_norm(flat, limit, donate)
    if error_if_nonfinite and not math.isfinite(float(norm)):
        raise NonFiniteError(
            f"The global norm of the gradients is {float(norm)}. Expected a finite number; look for a learning rate "
            f"that is too large, or a logarithm or root of 0, in the steps before."
        )
    return restore(clipped), norm


def clip_by_value(gradients: Tree, limit: Number, donate: bool = False) -> Tree:
    """Every element cut to [−limit, limit]; NaN stays NaN.

    >>> import numpy as np, tbptt
    >>> from tbptt import ops, optim
    >>> float(optim.clip_by_value([ops.asarray([3.0])], 0.5)[0][0])
    0.5

    Args:
        gradients: any tree of tensors and None.
        limit: the largest absolute value let through, more than 0.
        donate: as in `clip_by_global_norm`.

    Raises:
        ConfigurationError: if `limit` is not more than 0.
    """
    flat, backend, restore = _flatten(gradients)
    return restore(backend.optimizers.clip(flat, _positive("limit", limit), donate))


def _flatten(gradients: Tree) -> tuple[list[Any], Backend, Callable[[list[Any]], Tree]]:
    """The gradients as a list, their engine, and the way back."""
    flat, structure = tree.flatten(gradients, none_is_leaf=True)
    return flat, backend_of(flat), lambda leaves: tree.unflatten(structure, leaves)


def _positive(name: str, value: Number) -> float:
    number = float(value)
    if not number > 0:
        raise ConfigurationError(f"{name} is {value!r}; expected a number more than 0.")
    return number
