"""The promises of `tbptt.protocols.Tensors`: what every function answers, which dtype it answers in, what it refuses.

A function may be excused by its name, ``lacks = {"test_numbers[erf]": "the engine has no error function"}``, and a dtype that
the engine does not have by a whole test, ``lacks = {"test_single_precision": "the engine has float64 only"}``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from tbptt.dtypes import dtype_scope
from tbptt.errors import ShapeError
from tbptt.testing.conformance.tensor_checks import NAMES, array, function, is_default, is_single, run, tensor
from tbptt.testing.conformance.tensor_dtypes import TensorDtypesConformance
from tbptt.testing.conformance.tensor_integers import TensorIntegersConformance
from tbptt.testing.conformance.tensor_parameters import TensorParametersConformance
from tbptt.testing.conformance.tensor_table import TABLE

with np.errstate(all="ignore"):  # at special values
    CALLS = {name: list(TABLE[name]()) for name in NAMES}
GENERAL = {name: [call for call in calls if not is_single(call)] for name, calls in CALLS.items()}
SINGLE = {name: [call for call in calls if is_single(call) or is_default(call)] for name, calls in CALLS.items()}


class TensorsConformance(TensorDtypesConformance, TensorIntegersConformance, TensorParametersConformance):
    """Functions of tensors, against NumPy."""

    @pytest.mark.parametrize("name", [name for name in NAMES if GENERAL[name]])
    def test_numbers(self, name: str) -> None:
        """The function answers as NumPy for float64, integers and bools, in the promised dtype and shape."""
        with dtype_scope("float64"):
            for call in GENERAL[name]:
                run(self.engine, name, call)

    @pytest.mark.parametrize("name", [name for name in NAMES if SINGLE[name]])
    def test_single_precision(self, name: str) -> None:
        """The same for float32, and where float32 is the default float dtype."""
        with dtype_scope("float32"):
            for call in SINGLE[name]:
                run(self.engine, name, call)

    def test_a_copy_of_an_array_is_independent_of_it(self) -> None:
        """``asarray(array, copy=True)`` shares no memory."""
        values = np.zeros(3)
        x = self.engine.tensors.asarray(values, copy=True)
        values[:] = 1
        np.testing.assert_array_equal(array(self.engine, x), np.zeros(3))

    @pytest.mark.parametrize("layout", ["reversed", "transposed", "broadcast"])
    def test_arrays_of_any_layout_are_read(self, layout: str) -> None:
        """Strides of any kind."""
        values = np.arange(6.0)
        layouts = {
            "reversed": values[::-1],
            "transposed": values.reshape(2, 3).T,
            "broadcast": np.broadcast_to(1.0, (2, 3)),
        }
        np.testing.assert_array_equal(array(self.engine, self.engine.tensors.asarray(layouts[layout])), layouts[layout])

    def test_a_read_only_array_is_taken_without_a_warning(self) -> None:
        """As arrays of memory-mapped files are."""
        values = np.arange(6.0)
        values.flags.writeable = False
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(array(self.engine, self.engine.tensors.asarray(values)), values)

    def test_lists_with_tensors_in_them_become_one_tensor(self) -> None:
        """`asarray` takes nestings of lists, numbers and tensors."""
        with dtype_scope("float64"):
            x = self.engine.tensors.asarray(2.0)
            y = self.engine.tensors.asarray([[x, 1.0], [0, x]])
        np.testing.assert_array_equal(array(self.engine, y), [[2.0, 1.0], [0.0, 2.0]], strict=True)

    def test_impossible_shapes_are_shape_errors(self) -> None:
        """`squeeze` of an axis that is not 1 long, `split` into pieces that would not be equal."""
        x = tensor(self.engine, np.zeros((2, 3)))
        for name, arguments, options in (("squeeze", (1,), {}), ("split", (2,), {"axis": 1})):
            with pytest.raises(ShapeError):
                function(self.engine, name)(x, *arguments, **options)

    @pytest.mark.parametrize("tokens", [[1, 5], [-1, 0]], ids=["too_large", "negative"])
    @pytest.mark.parametrize(("shape", "axis"), [((5, 3), 0), ((5,), 0), ((2, 5, 3), 1), ((5, 2, 2), 0)])
    def test_take_refuses_an_index_out_of_range(self, tokens: list[int], shape: tuple[int, ...], axis: int) -> None:
        """On the CPU, where it can be told."""
        x = self.engine.tensors.zeros(shape, dtype="float64", device="cpu")
        with pytest.raises(IndexError):
            self.engine.tensors.take(x, self.engine.tensors.asarray(tokens, device="cpu"), axis=axis)

    def test_take_along_axis_refuses_an_index_out_of_range(self) -> None:
        """On the CPU, where it can be told."""
        x = self.engine.tensors.zeros((2, 3), dtype="float64", device="cpu")
        places: Any = self.engine.tensors.asarray([[0, 3], [1, 1]], device="cpu")
        with pytest.raises(IndexError):
            self.engine.tensors.take_along_axis(x, places, axis=1)
