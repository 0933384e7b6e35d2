"""Which engine a call of `tbptt.ops` reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt.backends
from tbptt import ops
from tbptt.errors import ShapeError
from tbptt.protocols import Backend

OWN = {"torch": torch.Tensor, "tensorflow": tf.Tensor}
TENSORS = {"torch": torch.ones(2), "tensorflow": tf.ones(2)}
PARAMETERS = {"torch": torch.nn.Parameter(torch.ones(2)), "tensorflow": tf.Variable(tf.ones(2))}


@pytest.mark.parametrize("values", [TENSORS, PARAMETERS])
@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_the_first_tensor_decides_whatever_the_current_engine(backend: Backend, values: Any, engine: str) -> None:
    x = values[engine]
    answers = (
        ops.exp(x),
        ops.add(x, 1),
        ops.add(1.0, x),
        ops.add(np.ones(2), x),
        ops.concat([x, x]),
        ops.zeros_like(x),
    )
    named = (ops.sum(x=x), ops.multiply(x1=2.0, x2=x), ops.stack(arrays=[x, x]), ops.where(True, 0.0, x))
    for answer in (*answers, *named):
        assert isinstance(answer, OWN[engine])


def test_creation_and_calls_without_a_tensor_go_to_the_current_engine(backend: Backend) -> None:
    own = OWN[backend.name]
    for answer in (
        ops.zeros(2),
        ops.asarray([1.0]),
        ops.arange(3),
        ops.add(1.0, 2.0),
        ops.exp(np.ones(2)),
        ops.add(1, 2),
    ):
        assert isinstance(answer, own)
    assert ops.dtype(ops.add(1.0, 2)) == "float32"
    assert ops.dtype(ops.add(1, 2)) == "int64"


def test_a_tensor_of_the_other_engine_becomes_one_of_this(backend: Backend) -> None:
    for other in (*TENSORS.values(), *PARAMETERS.values()):
        x = ops.asarray(other)
        assert isinstance(x, OWN[backend.name])
        np.testing.assert_array_equal(ops.to_numpy(x), np.ones(2, np.float32))
    for other in TENSORS.values():
        assert isinstance(ops.from_dlpack(other), OWN[backend.name])


def test_a_parameter_is_the_engines_own(backend: Backend) -> None:
    for trainable in (True, False):
        parameter = ops.parameter(np.zeros(2), trainable=trainable)
        assert type(parameter) is type(PARAMETERS[backend.name])
        assert (parameter.requires_grad if backend.name == "torch" else parameter.trainable) is trainable


def test_impossible_shapes_are_told_with_the_shape(backend: Backend) -> None:
    x = ops.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"axis 1 of the shape \(2, 3\) is 3 long"):
        ops.squeeze(x, 1)
    with pytest.raises(ShapeError, match=r"axis 1 of the shape \(2, 3\) does not divide by 2"):
        ops.split(x, 2, axis=1)
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        ops.cumulative_sum(x)
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        ops.assign(ops.parameter(np.zeros((2, 3))), np.ones((1, 3)))


def test_the_device_of_new_tensors_can_be_named(backend: Backend) -> None:
    for x in (ops.zeros(2, device="cpu"), ops.asarray([1.0], device="cpu"), ops.arange(3, device="cpu")):
        assert backend.devices.device_of(x) == "cpu"


def test_a_device_that_is_not_there_is_an_error_and_no_silent_fallback(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TBPTT_DEVICE", "gpu:77")
    with pytest.raises(tbptt.backends.DeviceError, match="gpu:77"):
        ops.zeros(2)
