"""Parameters hold a copy, serve wherever a tensor does, and are written in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbptt.errors import ShapeError
from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_checks import array, function, tensor

MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])


class TensorParametersConformance(Conformance):
    """`parameter`, `is_parameter`, `assign` and `convert_parameter`."""

    def test_a_parameter_is_a_tensor_and_holds_a_copy_of_an_array(self) -> None:
        """In the array's dtype."""
        value = np.arange(6.0).reshape(2, 3)
        parameter = self.engine.tensors.parameter(value, name="weight")
        value[:] = -1
        assert self.engine.tensors.is_parameter(parameter), "is_parameter must hold for what parameter() makes"
        assert self.engine.tensors.is_tensor(parameter), "is_tensor must hold for a parameter"
        assert self.engine.tensors.dtype(parameter) == "float64"
        np.testing.assert_array_equal(array(self.engine, parameter), np.arange(6.0).reshape(2, 3))

    def test_a_parameter_is_independent_of_the_tensor_it_was_made_of(self) -> None:
        """Writing into one leaves the other."""
        source = self.engine.tensors.parameter(np.zeros(2))
        copy = self.engine.tensors.parameter(source)
        self.engine.tensors.assign(source, np.ones(2))
        np.testing.assert_array_equal(array(self.engine, copy), np.zeros(2))

    @pytest.mark.parametrize("trainable", [True, False])
    def test_a_parameter_that_is_not_trainable_is_recorded_by_no_tape(self, trainable: bool) -> None:
        """Its gradient is None."""
        parameter = self.engine.tensors.parameter(np.ones(2), trainable=trainable)
        other = self.engine.tensors.parameter(np.full(2, 3.0))
        with self.engine.autodiff.tape() as tape:
            target = self.engine.tensors.sum(self.engine.tensors.multiply(parameter, other))
        gradients: Any = tape.gradient([target], [parameter, other], [None])
        np.testing.assert_array_equal(array(self.engine, gradients[1]), [1.0, 1.0])
        if trainable:
            np.testing.assert_array_equal(array(self.engine, gradients[0]), [3.0, 3.0])
        else:
            assert gradients[0] is None, f"expected None for what is not trainable, received {gradients[0]}"

    def test_a_parameter_serves_wherever_a_tensor_does(self) -> None:
        """And what is computed from one is no parameter."""
        parameter, x = self.engine.tensors.parameter(MATRIX), tensor(self.engine, MATRIX)
        for name, others in (("exp", 0), ("sum", 0), ("matrix_transpose", 0), ("softmax", 0), ("matmul", 1)):
            call = function(self.engine, name)
            answer, expected = call(parameter, *[parameter] * others), call(x, *[x] * others)
            np.testing.assert_array_equal(array(self.engine, answer), array(self.engine, expected), err_msg=name)
            assert not self.engine.tensors.is_parameter(answer), f"{name} of a parameter must be no parameter"
        reflected = self.engine.tensors.add(1, parameter)
        np.testing.assert_array_equal(array(self.engine, reflected), 1 + MATRIX)
        assert tuple(self.engine.tensors.shape(parameter)) == (2, 2)

    def test_assign_writes_in_place_and_converts(self) -> None:
        """Arrays and tensors of any dtype, into the parameter's."""
        parameter = self.engine.tensors.parameter(np.zeros((2, 3)))
        full = self.engine.tensors.full((2, 3), 2.5, dtype="float64")
        for value, expected in ((np.full((2, 3), 1.5), 1.5), (full, 2.5), (np.full((2, 3), 3), 3.0)):
            self.engine.tensors.assign(parameter, value)
            assert self.engine.tensors.dtype(parameter) == "float64"
            np.testing.assert_array_equal(array(self.engine, parameter), np.full((2, 3), expected))

    def test_assign_converts_to_single_precision(self) -> None:
        """A float64 value into a float32 parameter."""
        parameter = self.engine.tensors.parameter(np.zeros(2, "float32"))
        self.engine.tensors.assign(parameter, np.array([1.5, 0.1]))
        expected = np.array([1.5, 0.1], "float32")
        np.testing.assert_array_equal(array(self.engine, parameter), expected, strict=True)

    @pytest.mark.parametrize("shape", [(3,), (), (1, 3), (3, 2)], ids=["row", "scalar", "one_row", "transposed"])
    def test_assign_refuses_another_shape_and_changes_nothing(self, shape: tuple[int, ...]) -> None:
        """Nothing broadcasts into a parameter."""
        parameter = self.engine.tensors.parameter(np.zeros((2, 3)))
        with pytest.raises(ShapeError):
            self.engine.tensors.assign(parameter, np.ones(shape))
        np.testing.assert_array_equal(array(self.engine, parameter), np.zeros((2, 3)))

    def test_convert_parameter_changes_nothing_where_nothing_is_to_change(self) -> None:
        """It answers with the same object."""
        parameter = self.engine.tensors.parameter(np.zeros(2))
        convert = self.engine.tensors.convert_parameter
        assert convert(parameter) is parameter
        assert convert(parameter, "float64", self.engine.devices.device_of(parameter)) is parameter

    @pytest.mark.parametrize("trainable", [True, False])
    def test_convert_parameter_to_single_precision(self, trainable: bool) -> None:
        """A parameter it stays, as trainable as before."""
        before = self.engine.tensors.parameter(np.array([0.5, 1.25]), trainable=trainable)
        after = self.engine.tensors.convert_parameter(before, "float32")
        assert self.engine.tensors.is_parameter(after)
        assert self.engine.interop.is_trainable(after) is trainable
        np.testing.assert_array_equal(array(self.engine, after), np.array([0.5, 1.25], "float32"), strict=True)
