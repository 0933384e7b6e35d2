"""Integers wrap around exactly when they are traced, too, and under XLA. As run: `tbptt.testing.conformance`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tbptt
from tbptt import ops
from tbptt.testing.conformance.tensor_integers import COUNTERS, EXACT, extremes, mix, mix_in_python

ROADS = [{"jit_compile": False}, {"jit_compile": True}]


@pytest.mark.parametrize("road", ROADS, ids=["traced", "xla"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_sums_differences_and_products_wrap_around(dtype: str, road: dict[str, bool]) -> None:
    values, expected = extremes(dtype)
    x1, x2 = tf.constant(np.array(values, dtype)[:, None]), tf.constant(np.array(values, dtype))
    for name in EXACT:
        answer = tf.function(getattr(ops, name), autograph=False, **road)(x1, x2)
        np.testing.assert_array_equal(answer.numpy(), expected[name], strict=True)


@pytest.mark.parametrize("road", ROADS, ids=["traced", "xla"])
def test_a_32_bit_mixer_gives_the_bits_of_exact_arithmetic(road: dict[str, bool]) -> None:
    expected = np.array([mix_in_python(x) for x in COUNTERS], np.uint32).astype(np.int32)

    def body(x: Any) -> Any:
        return mix(ops, x)

    with tbptt.use_backend("tensorflow"):
        x = ops.asarray(np.array(COUNTERS, np.uint32).astype(np.int32))
        answer = tf.function(body, autograph=False, **road)(x)
    np.testing.assert_array_equal(answer.numpy(), expected, strict=True)
