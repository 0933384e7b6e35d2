"""Clipping of trees, what may be asked for, and norms that are not finite; the suite has what engines promise about it."""

from __future__ import annotations

import numpy as np
import pytest
from optimizer_table import numpy, tensors

import tbptt.backends
from tbptt import optim
from tbptt.errors import ConfigurationError, NonFiniteError


def three_four(backend, dtype="float64"):
    """Gradients 3 and 4 in different shapes: their norm is 5."""
    return tensors(backend, [np.array([3.0], dtype), None, np.array([[0.0, 4.0]], dtype)])


def test_the_norm_is_that_of_all_elements_together(backend):
    assert float(optim.global_norm(three_four(backend))) == 5.0
    assert float(optim.global_norm({"a": three_four(backend), "b": None})) == 5.0
    assert float(optim.global_norm([])) == 0.0
    assert float(optim.global_norm([None, None])) == 0.0


def test_clipping_scales_by_the_ratio_of_the_norms(backend):
    gradients = three_four(backend)
    clipped, norm = optim.clip_by_global_norm(gradients, 1.0)
    assert float(norm) == 5.0
    assert clipped[1] is None
    assert np.allclose(numpy(backend, [clipped[0]])[0], [0.6], rtol=1e-15)
    assert np.allclose(numpy(backend, [clipped[2]])[0], [[0.0, 0.8]], rtol=1e-15)
    assert np.array_equal(numpy(backend, [gradients[0]])[0], [3.0])  # the given ones are left alone


def test_the_structure_given_is_the_structure_returned(backend):
    a, b = tensors(backend, [np.array([3.0]), np.array([4.0])])
    for given in ([a, b], (a, b), {"x": a, "y": [b, None]}, a):
        for clipped in (optim.clip_by_global_norm(given, 1.0)[0], optim.clip_by_value(given, 1.0)):
            assert type(clipped) is type(given)
    assert optim.clip_by_global_norm({"x": a, "y": [b, None]}, 1.0)[0]["y"][1] is None
    assert optim.clip_by_global_norm([None], 1.0)[0] == [None]


def test_values_are_cut_and_what_is_donated_gives_the_same(backend):
    for options in ({}, {"donate": True}):
        first, second, third = optim.clip_by_value(three_four(backend), 3.5, **options)
        assert second is None
        assert np.array_equal(numpy(backend, [first])[0], [3.0])
        assert np.array_equal(numpy(backend, [third])[0], [[0.0, 3.5]])
        clipped, norm = optim.clip_by_global_norm(three_four(backend), 2.5, **options)
        assert float(norm) == 5.0
        assert np.array_equal(numpy(backend, [clipped[2]])[0], [[0.0, 2.0]])


def test_a_norm_that_is_not_finite_goes_by_the_formula_or_raises(backend):
    nan = tensors(backend, [np.array([1.0, np.nan]), np.array([2.0])])
    clipped, norm = optim.clip_by_global_norm(nan, 1.0)
    assert np.isnan(float(norm))
    assert all(np.isnan(array).all() for array in numpy(backend, clipped))
    infinite = tensors(backend, [np.array([1.0, np.inf]), np.array([2.0])])
    clipped, norm = optim.clip_by_global_norm(infinite, 1.0)
    assert np.isinf(float(norm))
    first, second = numpy(backend, clipped)
    assert first[0] == 0.0 and np.isnan(first[1]) and second[0] == 0.0
    for gradients in (nan, infinite):
        with pytest.raises(NonFiniteError, match="global norm"):
            optim.clip_by_global_norm(gradients, 1.0, error_if_nonfinite=True)
    optim.clip_by_global_norm(three_four(backend), 1.0, error_if_nonfinite=True)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_a_limit_that_is_not_positive_is_refused(backend, limit):
    gradients = three_four(backend)
    with pytest.raises(ConfigurationError, match="max_norm"):
        optim.clip_by_global_norm(gradients, limit)
    with pytest.raises(ConfigurationError, match="limit"):
        optim.clip_by_value(gradients, limit)


def test_clipping_compiles_with_xla_and_cannot_raise_there():
    import tensorflow as tf

    backend = tbptt.backends.load("tensorflow")

    @tf.function(jit_compile=True, autograph=False)
    def clip(gradients):
        return optim.clip_by_global_norm(gradients, 1.0)

    @tf.function(autograph=False)
    def checked(gradients):
        return optim.clip_by_global_norm(gradients, 1.0, error_if_nonfinite=True)

    gradients = [x for x in three_four(backend) if x is not None]
    clipped, norm = clip(gradients)
    assert abs(float(norm) - 5.0) < 1e-12
    assert np.allclose(clipped[0].numpy(), [0.6], rtol=1e-14)
    with pytest.raises(ConfigurationError, match="being compiled"):
        checked(gradients)
