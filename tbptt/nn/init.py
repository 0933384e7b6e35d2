"""Initial weights, drawn in NumPy from `tbptt.random.generator`, so that every engine starts from the same bits.

``"torch"`` and ``"keras"`` are the two habits of the field (torch.nn's and Keras' own defaults).
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from tbptt import random
from tbptt.errors import ConfigurationError
from tbptt.types import Array

Init: TypeAlias = Literal["torch", "keras"]


def check(init: str) -> None:
    """Refuse a name that is no initialization.

    Raises:
        ConfigurationError: naming the two there are.
    """
    if init not in ("torch", "keras"):
        raise ConfigurationError(f"init must be 'torch' or 'keras', received {init!r}.")


def uniform(shape: tuple[int, ...], bound: float) -> Array:
    """U(−bound, bound)."""
    return random.generator().uniform(-bound, bound, shape)


def normal(shape: tuple[int, ...]) -> Array:
    """N(0, 1)."""
    return random.generator().standard_normal(shape)


def glorot_uniform(shape: tuple[int, int]) -> Array:
    """U(±√(6/(fan_in + fan_out))), Glorot & Bengio 2010, for a matrix (outputs, inputs)."""
    return uniform(shape, math.sqrt(6.0 / sum(shape)))


def orthogonal(shape: tuple[int, int]) -> Array:
    """Orthogonal rows or columns, whichever are fewer: Q of a normal matrix, signs fixed (Saxe et al. 2014)."""
    rows, columns = shape
    q, r = np.linalg.qr(normal((max(shape), min(shape))))
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T
