"""Randomness that is the same on every engine: weights from NumPy, masks from a hash of where they fall.

A mask is a function of (seed, layer, epoch, row, time, unit) and of nothing else: no generator moves when it is drawn.
The hash is lowbias32 (Wellons; constants of the improved version), over a counter whose words are absorbed one after the
other. The key is mixed in, not added: added keys would give shifted copies of one mask.
"""

from __future__ import annotations

import math
import random as python_random

import numpy as np

from tbptt import backends, clock, ops
from tbptt.protocols import Backend
from tbptt.types import Tensor

DEFAULT_SEED = 0

_WORD = 0xFFFFFFFF
_FIRST, _SECOND = 0x21F0AAAD, 0x735A2D97

_seed = DEFAULT_SEED
_generator: np.random.Generator | None = None  # made when something is drawn: importing NumPy's generators takes time
_layers = 0


def seed_everything(seed: int) -> int:
    """Start every source of randomness from `seed`: weights, dropout, Python's and NumPy's generators, the engine's own.

    A script that never calls it runs as with ``seed_everything(0)``, so that two engines agree without being told.

    >>> import tbptt
    >>> tbptt.seed_everything(7)
    7
    """
    global _seed, _generator, _layers
    _seed, _generator, _layers = int(seed), np.random.default_rng(seed), 0
    python_random.seed(seed)
    np.random.seed(seed % 2**32)
    clock.restart()
    backends.current_backend().interop.seed(seed)
    return seed


def generator() -> np.random.Generator:
    """The generator weights are drawn from."""
    global _generator
    if _generator is None:
        _generator = np.random.default_rng(_seed)
    return _generator


def generator_of(purpose: str, seed: int | None = None) -> np.random.Generator:
    """A generator of its own for one purpose: what it draws depends on the seed alone, not on what else was drawn before.

    >>> from tbptt import random
    >>> random.generator_of("lengths", 3).integers(10) == random.generator_of("lengths", 3).integers(10)
    np.True_
    """
    return np.random.default_rng([_seed if seed is None else seed, *purpose.encode()])


def layer_key() -> int:
    """A key for the next layer that drops units: a function of the seed and of how many such layers came before."""
    global _layers
    _layers += 1
    return mix(mix(mix(_seed & _WORD) ^ (_seed >> 32 & _WORD)) ^ _layers)


def mix(word: int) -> int:
    """lowbias32 of a Python integer."""
    word &= _WORD
    word = (word ^ word >> 16) * _FIRST & _WORD
    word = (word ^ word >> 15) * _SECOND & _WORD
    return word ^ word >> 15


def mix_tensor(x: Tensor) -> Tensor:
    """lowbias32 of every element of an int32 tensor; the products wrap around."""
    x = ops.bitwise_xor(x, ops.logical_right_shift(x, 16))
    x = ops.multiply(x, _FIRST)
    x = ops.bitwise_xor(x, ops.logical_right_shift(x, 15))
    x = ops.multiply(x, _SECOND)
    return ops.bitwise_xor(x, ops.logical_right_shift(x, 15))


def keep_mask(
    key: int,
    origin: clock.Origin,
    rows: int,
    steps: int,
    units: int,
    rate: float,
    time_major: bool = False,
    backend: Backend | None = None,
) -> Tensor:
    """Which units are kept: a bool tensor (rows, steps, units), each False with probability `rate`.

    Args:
        key: of the layer (`layer_key`).
        origin: of the window, absolute.
        time_major: the answer is (steps, rows, units) instead; the same units.
        backend: the engine; the current one by default.
    """
    bits = _bits(key, origin, rows, steps, units, time_major, backend)
    # The bits are uniform over the whole of int32, so the share below this threshold is the rate.
    return ops.greater_equal(bits, min(round(rate * 2**32), 2**32 - 1) - 2**31)


def normal(
    key: int, origin: clock.Origin, rows: int | Tensor, units: int | Tensor, backend: Backend | None = None
) -> Tensor:
    """Standard normal noise, one number for each row and unit at the first step of a window: a float64 tensor (rows, units).

    By Box and Muller (1958), from two words of bits for each number; none lies beyond 6.8.

    >>> from tbptt import clock, ops, random
    >>> noise = ops.to_numpy(random.normal(1234, clock.Origin(epoch=0, row=0, time=0), rows=100, units=100))
    >>> noise.shape, abs(float(noise.mean())) < 0.05, abs(float(noise.std()) - 1) < 0.05
    ((100, 100), True, True)

    Args:
        key: of the layer (`layer_key`).
        origin: of the window, absolute.
        rows: how many.
        units: how many a row has.
        backend: the engine; the current one by default.
    """
    first, second = (
        ops.divide(ops.add(ops.astype(bits[:, 0], "float64"), 2**31 + 0.5), 2**32)  # inside (0, 1), never an end
        for bits in (_bits(mix(mix(key) ^ word), origin, rows, 1, units, False, backend) for word in (1, 2))
    )
    return ops.multiply(ops.sqrt(ops.multiply(ops.log(first), -2)), ops.cos(ops.multiply(second, 2 * math.pi)))


def _bits(
    key: int,
    origin: clock.Origin,
    rows: int | Tensor,
    steps: int | Tensor,
    units: int | Tensor,
    time_major: bool,
    backend: Backend | None,
) -> Tensor:
    """32 bits for each place, int32 (rows, steps, units) or (steps, rows, units): the hash that all here is made of."""
    arange = (backend or backends.current_backend()).tensors.arange
    epoch_key = _absorb(key, origin.epoch)
    row_words = _absorb_words(epoch_key, ops.add(arange(rows, dtype="int64"), origin.row))
    step_words = _absorb_words(_absorb(epoch_key, 1), ops.add(arange(steps, dtype="int64"), origin.time))
    unit_words = _absorb_words(_absorb(epoch_key, 2), arange(units, dtype="int64"))
    if time_major:
        places = mix_tensor(ops.bitwise_xor(step_words[:, None], row_words[None, :]))
    else:
        places = mix_tensor(ops.bitwise_xor(row_words[:, None], step_words[None, :]))
    return mix_tensor(ops.bitwise_xor(places[:, :, None], unit_words))


def _absorb_words(key: int | Tensor, counts: Tensor) -> Tensor:
    """Hash 64-bit counts, high word first, under a key."""
    high = ops.astype(ops.logical_right_shift(counts, 32), "int32")
    low = ops.astype(counts, "int32")
    return mix_tensor(ops.bitwise_xor(mix_tensor(ops.bitwise_xor(high, _signed(key))), low))


def _absorb(key: int | Tensor, word: int | Tensor) -> int | Tensor:
    """A key and one more word. Stays in Python while both are Python's."""
    if isinstance(key, int) and isinstance(word, int):
        return mix(mix(key) ^ word)
    word = _signed(word & _WORD) if isinstance(word, int) else ops.astype(word, "int32")
    key = _signed(mix(key)) if isinstance(key, int) else mix_tensor(key)
    return mix_tensor(ops.bitwise_xor(key, word))


def _signed(word: int | Tensor) -> int | Tensor:
    """The int32 with the bits of this 32-bit word."""
    return word - 2**32 if isinstance(word, int) and word >= 2**31 else word
