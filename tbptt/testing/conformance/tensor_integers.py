"""Integers wrap around exactly: what a counter-based random generator stands on."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tbptt.protocols import Tensors
from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_checks import array, function, tensor

INT32, INT64 = np.iinfo(np.int32), np.iinfo(np.int64)
EXACT: dict[str, Callable[[int, int], int]] = {"add": operator.add, "subtract": operator.sub, "multiply": operator.mul}
COUNTERS = (0, 1, 2, 255, 65536, 2**31 - 1, 2**31, 2**32 - 1, 0xDEADBEEF)


def mix(tensors: Tensors, x: Any) -> Any:
    """The 32-bit mixer 'lowbias32' (Ettinger's search, best constants known)."""
    x = tensors.bitwise_xor(x, tensors.logical_right_shift(x, 16))
    x = tensors.multiply(x, 0x21F0AAAD)
    x = tensors.bitwise_xor(x, tensors.logical_right_shift(x, 15))
    x = tensors.multiply(x, 0x735A2D97)
    return tensors.bitwise_xor(x, tensors.logical_right_shift(x, 15))


def mix_in_python(x: int) -> int:
    """The same with Python's integers."""
    x ^= x >> 16
    x = x * 0x21F0AAAD % 2**32
    x ^= x >> 15
    x = x * 0x735A2D97 % 2**32
    return x ^ (x >> 15)


def wrapped(value: int, bits: int) -> int:
    """An exact integer as so many bits hold it."""
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def extremes(dtype: str) -> tuple[list[int], dict[str, np.ndarray]]:
    """Integers whose sums and products leave the dtype, and what each pair of them gives, by function."""
    info = np.iinfo(dtype)
    values = [int(x) for x in (info.max, info.min, -1, 1, 123456789, info.max // 3, info.min // 7)]
    return values, {
        name: np.array([[wrapped(rule(a, b), info.bits) for b in values] for a in values], dtype)
        for name, rule in EXACT.items()
    }


class TensorIntegersConformance(Conformance):
    """Integer arithmetic at its limits."""

    @pytest.mark.parametrize("dtype", ["int32", "int64"])
    @pytest.mark.parametrize("name", sorted(EXACT))
    def test_integers_wrap_around(self, name: str, dtype: str) -> None:
        """Sums, differences and products are those of exact integers modulo 2^bits."""
        values, expected = extremes(dtype)
        x1, x2 = tensor(self.engine, np.array(values, dtype)[:, None], dtype), tensor(self.engine, values, dtype)
        np.testing.assert_array_equal(
            array(self.engine, function(self.engine, name)(x1, x2)), expected[name], strict=True
        )

    def test_a_32_bit_mixer_gives_the_bits_of_exact_arithmetic(self) -> None:
        """Products that wrap, and shifts that bring zeros in."""
        expected = np.array([mix_in_python(x) for x in COUNTERS], np.uint32).astype(np.int32)
        x = self.engine.tensors.asarray(np.array(COUNTERS, np.uint32).astype(np.int32))
        np.testing.assert_array_equal(array(self.engine, mix(self.engine.tensors, x)), expected, strict=True)

    @pytest.mark.parametrize("name", ["bitwise_left_shift", "bitwise_right_shift", "logical_right_shift"])
    def test_shifts_by_a_number_and_by_a_tensor_are_the_same(self, name: str) -> None:
        """A Python number takes the tensor's dtype."""
        x = tensor(self.engine, [INT32.min, -1, 0, 1, INT32.max], "int32")
        shift = function(self.engine, name)
        for places in (0, 1, 15, 31):
            by_tensor = shift(x, self.engine.tensors.full_like(x, places))
            np.testing.assert_array_equal(
                array(self.engine, shift(x, places)), array(self.engine, by_tensor), strict=True
            )

    @pytest.mark.parametrize("name", ["sum", "cumulative_sum"])
    def test_sums_of_small_integers_do_not_wrap(self, name: str) -> None:
        """They are taken in int64."""
        x = tensor(self.engine, [INT32.max, INT32.max], "int32")
        answer = array(self.engine, function(self.engine, name)(x)).reshape(-1)[-1]
        assert answer == 2 * int(INT32.max), f"expected {2 * int(INT32.max)}, received {answer}"
