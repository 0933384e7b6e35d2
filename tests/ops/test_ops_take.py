"""`take` as an embedding under the engines' own gradients and compilers, and what it says of a wrong index."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

from tbptt import ops
from tbptt.protocols import Backend

WEIGHT = np.random.default_rng(1).normal(size=(5, 3))
TOKENS = np.array([[1, 4, 1], [1, 0, 4]])
SEED = np.random.default_rng(2).normal(size=(2, 3, 3))
SUMMED = np.zeros((5, 3))
np.add.at(SUMMED, TOKENS, SEED)  # NumPy's own sum over repeated indices


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_rows_taken_twice_get_the_sum_on_torch(kind: str) -> None:
    weight = torch.nn.Parameter(torch.tensor(WEIGHT))
    loss = (ops.take(weight, torch.tensor(TOKENS.astype(kind)), axis=0) * torch.tensor(SEED)).sum()
    (gradient,) = torch.autograd.grad(loss, [weight])
    assert not gradient.is_sparse
    np.testing.assert_allclose(gradient.numpy(), SUMMED, rtol=1e-14)


@pytest.mark.parametrize("kind", ["int32", "int64"])
@pytest.mark.parametrize("how", [None, {"jit_compile": False}, {"jit_compile": True}, {"autograph": True}])
def test_rows_taken_twice_get_the_sum_on_tensorflow(kind: str, how: dict[str, bool] | None) -> None:
    weight = tf.Variable(WEIGHT)

    def step(tokens: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(ops.take(weight, tokens, axis=0) * tf.constant(SEED))
        gradient = tape.gradient(loss, weight)
        assert isinstance(gradient, tf.Tensor)  # dense: neither IndexedSlices nor None
        return gradient

    run = step if how is None else tf.function(step, **{"autograph": False, **how})
    np.testing.assert_allclose(run(tf.constant(TOKENS.astype(kind))).numpy(), SUMMED, rtol=1e-14)


def test_second_derivatives_pass_through_take_on_tensorflow() -> None:
    weight = tf.constant(WEIGHT)
    with tf.GradientTape() as outer:
        outer.watch(weight)
        with tf.GradientTape() as inner:
            inner.watch(weight)
            loss = tf.reduce_sum(ops.take(weight, tf.constant(TOKENS), axis=0) ** 3)
        first = inner.gradient(loss, weight)
    counts = np.bincount(TOKENS.reshape(-1), minlength=5)[:, None]
    np.testing.assert_allclose(outer.gradient(first, weight).numpy(), 6 * counts * WEIGHT, rtol=1e-12)


@pytest.mark.parametrize("tokens", [[1, 5], [-1, 0]])
@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 0), ((5,), 0), ((2, 5, 3), 1), ((5, 2, 2), 0)])
def test_an_index_out_of_range_is_an_index_error_that_says_the_range(
    backend: Backend, tokens: list[int], shape: tuple[int, ...], axis: int
) -> None:
    with pytest.raises(IndexError, match=r"take: an index is out of range.* from 0 to 4, and these go from"):
        ops.take(ops.zeros(shape), ops.asarray(tokens), axis=axis)


def test_take_along_axis_tells_a_wrong_index_too(backend: Backend) -> None:
    with pytest.raises(IndexError, match="from 0 to 2, and these go from 0 to 3"):
        ops.take_along_axis(ops.zeros((2, 3)), ops.asarray([[0, 3], [1, 1]]), axis=1)


def test_take_without_an_axis_needs_a_vector(backend: Backend) -> None:
    with pytest.raises(ValueError, match=r"take needs an axis.*\(2, 3\)"):
        ops.take(ops.zeros((2, 3)), ops.asarray([0]))
