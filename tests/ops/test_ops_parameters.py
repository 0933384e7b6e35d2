"""Parameters are the engine's own, hold a copy, and are written in place."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import torch

from tbptt import ops
from tbptt.errors import ShapeError
from tbptt.protocols import Backend

KIND = {"torch": torch.nn.Parameter, "tensorflow": tf.Variable}


def test_a_parameter_is_the_engines_own_and_holds_a_copy(backend: Backend) -> None:
    value = np.arange(6.0).reshape(2, 3)
    parameter = ops.parameter(value, name="weight")
    value[:] = -1
    assert isinstance(parameter, KIND[backend.name])
    assert ops.is_parameter(parameter)
    assert ops.is_tensor(parameter)
    assert ops.dtype(parameter) == "float64"
    np.testing.assert_array_equal(ops.to_numpy(parameter), np.arange(6.0).reshape(2, 3))


def test_a_parameter_made_of_a_tensor_is_independent_of_it(backend: Backend) -> None:
    source = ops.parameter(np.zeros(2))
    copy = ops.parameter(source)
    ops.assign(source, np.ones(2))
    np.testing.assert_array_equal(ops.to_numpy(copy), np.zeros(2))


def test_trainable_is_passed_on(backend: Backend) -> None:
    for trainable in (True, False):
        parameter = ops.parameter(np.zeros(2), trainable=trainable)
        assert (parameter.requires_grad if backend.name == "torch" else parameter.trainable) is trainable


def test_assign_writes_in_place_and_converts(backend: Backend) -> None:
    parameter = ops.parameter(np.zeros((2, 3), np.float32))
    for value in (np.full((2, 3), 1.5), ops.full((2, 3), 2.5, dtype="float64"), np.full((2, 3), 3)):
        ops.assign(parameter, value)
        assert ops.dtype(parameter) == "float32"
        np.testing.assert_array_equal(ops.to_numpy(parameter), ops.to_numpy(ops.asarray(value)).astype(np.float32))


@pytest.mark.parametrize("shape", [(3,), (), (1, 3), (3, 2)])
def test_assign_refuses_another_shape_and_changes_nothing(backend: Backend, shape: tuple[int, ...]) -> None:
    parameter = ops.parameter(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        ops.assign(parameter, np.ones(shape))
    np.testing.assert_array_equal(ops.to_numpy(parameter), np.zeros((2, 3)))


def test_a_parameter_serves_wherever_a_tensor_does(backend: Backend) -> None:
    parameter = ops.parameter(np.array([[1.0, 2.0], [3.0, 4.0]]))
    tensor = ops.asarray(np.array([[1.0, 2.0], [3.0, 4.0]]))
    for function in (
        ops.exp,
        ops.sum,
        ops.matrix_transpose,
        ops.softmax,
        lambda x: ops.matmul(x, x),
        lambda x: ops.add(1, x),
    ):
        np.testing.assert_array_equal(ops.to_numpy(function(parameter)), ops.to_numpy(function(tensor)))
    assert ops.shape(parameter) == (2, 2)
    assert not ops.is_parameter(ops.exp(parameter))
