"""Integers wrap around exactly, as run, traced and under XLA: what a counter-based generator stands on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tbptt import ops
from tbptt.protocols import Backend

INT32, INT64 = np.iinfo(np.int32), np.iinfo(np.int64)


def roads(backend: Backend) -> list[Callable[..., Any]]:
    if backend.name == "torch":
        return [lambda function: function]
    return [
        lambda function: function,
        lambda function: tf.function(function, autograph=False),
        lambda function: tf.function(function, autograph=False, jit_compile=True),
    ]


def mix(x: Any) -> Any:
    """The 32-bit mixer 'lowbias32' (Ettinger's search, best constants known)."""
    x = ops.bitwise_xor(x, ops.logical_right_shift(x, 16))
    x = ops.multiply(x, 0x21F0AAAD)
    x = ops.bitwise_xor(x, ops.logical_right_shift(x, 15))
    x = ops.multiply(x, 0x735A2D97)
    return ops.bitwise_xor(x, ops.logical_right_shift(x, 15))


def mix_in_python(x: int) -> int:
    x ^= x >> 16
    x = x * 0x21F0AAAD % 2**32
    x ^= x >> 15
    x = x * 0x735A2D97 % 2**32
    return x ^ x >> 15


def wrapped(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


@pytest.mark.parametrize(("info", "dtype"), [(INT32, "int32"), (INT64, "int64")])
def test_sums_differences_and_products_wrap_around(backend: Backend, info: Any, dtype: str) -> None:
    values = [int(x) for x in (info.max, info.min, -1, 1, 123456789, info.max // 3, info.min // 7)]
    x1, x2 = np.array(values, dtype)[:, None], np.array(values, dtype)
    exact = {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
    }
    for name, rule in exact.items():
        expected = np.array([[wrapped(rule(a, b), info.bits) for b in values] for a in values], dtype)
        for road in roads(backend):
            answer = road(getattr(ops, name))(ops.asarray(x1), ops.asarray(x2))
            np.testing.assert_array_equal(ops.to_numpy(answer), expected, strict=True)


def test_a_32_bit_mixer_gives_the_bits_of_exact_arithmetic(backend: Backend) -> None:
    counters = [0, 1, 2, 255, 65536, 2**31 - 1, 2**31, 2**32 - 1, 0xDEADBEEF]
    expected = np.array([mix_in_python(x) for x in counters], np.uint32).astype(np.int32)
    x = ops.asarray(np.array(counters, np.uint32).astype(np.int32))
    for road in roads(backend):
        np.testing.assert_array_equal(ops.to_numpy(road(mix)(x)), expected, strict=True)


def test_shifts_by_a_number_and_by_a_tensor_are_the_same(backend: Backend) -> None:
    x = ops.asarray(np.array([INT32.min, -1, 0, 1, INT32.max], np.int32))
    for places in (0, 1, 15, 31):
        for shift in (ops.bitwise_left_shift, ops.bitwise_right_shift, ops.logical_right_shift):
            by_tensor = shift(x, ops.full_like(x, places))
            np.testing.assert_array_equal(ops.to_numpy(shift(x, places)), ops.to_numpy(by_tensor), strict=True)


def test_sums_of_small_integers_do_not_wrap(backend: Backend) -> None:
    x = ops.asarray(np.array([INT32.max, INT32.max], np.int32))
    assert int(ops.sum(x)) == 2 * int(INT32.max)
    assert int(ops.cumulative_sum(x)[-1]) == 2 * int(INT32.max)
