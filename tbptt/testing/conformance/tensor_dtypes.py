"""Which dtype two operands give: one table for every engine, whatever the ranks and the order.

float64, integers and bools are tested apart from float32, and both apart from the half precisions, so that an engine without
one of these is excused from one group of tests as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbptt.dtypes import dtype_scope
from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_checks import array, tensor

TENSORS = [
    ("float64", "float64", "float64"),
    ("int32", "int64", "int64"),
    ("int8", "int32", "int32"),
    ("uint8", "int8", "int16"),
    ("uint8", "int32", "int32"),
    ("int64", "float64", "float64"),
    ("int32", "float64", "float64"),
    ("bool", "int32", "int32"),
    ("bool", "float64", "float64"),
    ("int64", "int64", "int64"),
]
TENSORS_SINGLE = [("float32", "float64", "float64"), ("int64", "float32", "float32"), ("bool", "float32", "float32")]
TENSORS_HALF = [
    ("float16", "float32", "float32"),
    ("float16", "bfloat16", "float32"),
    ("bfloat16", "float32", "float32"),
    ("bfloat16", "float64", "float64"),
    ("int32", "float16", "float16"),
    ("int64", "bfloat16", "bfloat16"),
]
Beside = tuple[str, Any, str]
NUMBERS: list[Beside] = [
    ("float64", 2.5, "float64"),
    ("float64", 2, "float64"),
    ("float64", True, "float64"),
    ("int32", 2, "int32"),
    ("int32", 2.5, "float64"),
    ("int64", 2.5, "float64"),
    ("bool", 2, "int64"),
    ("bool", 2.5, "float64"),
    ("int32", True, "int32"),
    ("int32", np.int64(2), "int32"),
    ("float64", np.float32(2.5), "float64"),
]
NUMBERS_SINGLE: list[Beside] = [
    ("float32", 2.5, "float32"),
    ("float32", True, "float32"),
    ("int32", 2.5, "float32"),
    ("int64", 2.5, "float32"),
    ("bool", 2.5, "float32"),
    ("float32", np.float64(2.5), "float32"),
    ("float32", np.float32(2.5), "float32"),
]
NUMBERS_HALF: list[Beside] = [("float16", 2.5, "float16"), ("bfloat16", 2, "bfloat16")]


def names(cases: list[Any]) -> list[str]:
    """Test ids: the two dtypes, or the dtype and the type of the number."""
    return [f"{first}-{second if isinstance(second, str) else type(second).__name__}" for first, second, _ in cases]


class TensorDtypesConformance(Conformance):
    """Promotion of dtypes, and the default float dtype."""

    @pytest.mark.parametrize(("first", "second", "result"), TENSORS, ids=names(TENSORS))
    def test_two_tensors_promote(self, first: str, second: str, result: str) -> None:
        """`tbptt.dtypes.promote` says how."""
        self._check_two_tensors(first, second, result)

    @pytest.mark.parametrize(("first", "second", "result"), TENSORS_SINGLE, ids=names(TENSORS_SINGLE))
    def test_two_tensors_promote_single_precision(self, first: str, second: str, result: str) -> None:
        """With float32 among them."""
        self._check_two_tensors(first, second, result)

    @pytest.mark.parametrize(("first", "second", "result"), TENSORS_HALF, ids=names(TENSORS_HALF))
    def test_two_tensors_promote_half_precision(self, first: str, second: str, result: str) -> None:
        """With float16 or bfloat16 among them."""
        self._check_two_tensors(first, second, result)

    @pytest.mark.parametrize(("dtype", "number", "result"), NUMBERS, ids=names(NUMBERS))
    def test_a_number_beside_a_tensor(self, dtype: str, number: Any, result: str) -> None:
        """It takes the tensor's dtype unless its kind is higher."""
        with dtype_scope("float64"):
            self._check_number(dtype, number, result)

    @pytest.mark.parametrize(("dtype", "number", "result"), NUMBERS_SINGLE, ids=names(NUMBERS_SINGLE))
    def test_a_number_beside_a_tensor_single_precision(self, dtype: str, number: Any, result: str) -> None:
        """And where float32 is the default float dtype."""
        with dtype_scope("float32"):
            self._check_number(dtype, number, result)

    @pytest.mark.parametrize(("dtype", "number", "result"), NUMBERS_HALF, ids=names(NUMBERS_HALF))
    def test_a_number_beside_a_tensor_half_precision(self, dtype: str, number: Any, result: str) -> None:
        """float16 and bfloat16 stay what they are."""
        self._check_number(dtype, number, result)

    def test_an_array_beside_a_tensor_counts_as_a_tensor(self) -> None:
        """Of the array's dtype."""
        self._check_arrays("float64", "int64", "float64")

    def test_an_array_beside_a_tensor_counts_as_a_tensor_single_precision(self) -> None:
        """float64 is not demoted to a tensor's float32."""
        self._check_arrays("float32", "float32", "float32")
        self._check_arrays("float64", "float32", "float64")

    def test_many_tensors_promote_the_same_in_any_order_half_precision(self) -> None:
        """An integer, float16 and bfloat16 make float32."""
        tensors = self.engine.tensors
        x, y, z = (tensors.ones((1,), dtype=name) for name in ("int64", "float16", "bfloat16"))
        for arrays in ([x, y, z], [y, x, z], [z, y, x]):
            assert tensors.dtype(tensors.concat(arrays)) == "float32"

    def test_functions_of_real_numbers_answer_integers_in_the_default_float(self) -> None:
        """Where that is float64."""
        self._check_default("float64")

    def test_functions_of_real_numbers_answer_integers_in_the_default_float_single_precision(self) -> None:
        """Where that is float32."""
        self._check_default("float32")

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    def test_half_precision_passes_through(self, dtype: str) -> None:
        """Functions of such a tensor answer in its dtype; bfloat16 comes to NumPy as float32."""
        t = self.engine.tensors
        x = t.asarray([0.5, 2.0], dtype=dtype)
        for answer in (t.exp(x), t.sum(x), t.matmul(x, x), t.softmax(x), t.multiply(x, 3.0), t.max(x)):
            assert t.dtype(answer) == dtype, f"expected {dtype}, received {t.dtype(answer)}"
        values = array(self.engine, x)
        assert values.dtype.name == {"float16": "float16", "bfloat16": "float32"}[dtype]
        np.testing.assert_array_equal(values.astype("float32"), np.array([0.5, 2.0], "float32"))
        assert t.isdtype(dtype, dtype) and t.isdtype(dtype, "real floating")

    def test_no_integer_holds_unsigned_and_signed_of_64_bits(self) -> None:
        """`tbptt.dtypes.promote` refuses, with ValueError."""
        t = self.engine.tensors
        with pytest.raises(ValueError, match=r"uint64 and int64|int64 and uint64"):
            t.add(t.ones(2, dtype="uint64"), t.ones(2, dtype="int64"))

    def test_every_spelling_of_a_dtype_is_read(self) -> None:
        """A name, NumPy's, the engine's own."""
        own = self.engine.tensors.zeros(1, dtype="float64").dtype
        for spelling in ("float64", np.float64, np.dtype("float64"), own):
            assert self.engine.tensors.dtype(self.engine.tensors.zeros(1, dtype=spelling)) == "float64"

    def _check_two_tensors(self, first: str, second: str, result: str) -> None:
        t = self.engine.tensors
        for shape1, shape2 in (((2,), (2,)), ((), (2,)), ((2,), ()), ((), ())):
            x1, x2 = t.ones(shape1, dtype=first), t.ones(shape2, dtype=second)
            for a, b in ((x1, x2), (x2, x1)):
                answers = {
                    "multiply": t.multiply(a, b),
                    "maximum": t.maximum(a, b),
                    "where": t.where(t.asarray(True), a, b),
                }
                if shape1 == shape2 == (2,):
                    answers.update(concat=t.concat([a, b]), stack=t.stack([a, b]))
                received = {name: t.dtype(answer) for name, answer in answers.items()}
                received["result_type"] = t.result_type(a, b)
                wrong = {name: dtype for name, dtype in received.items() if dtype != result}
                assert not wrong, (
                    f"{first} and {second} promote to {result}; received {wrong} for {shape1} and {shape2}"
                )
                assert t.dtype(t.equal(a, b)) == "bool", "comparisons answer in bool"

    def _check_number(self, dtype: str, number: Any, result: str) -> None:
        t = self.engine.tensors
        for x in (t.ones((2,), dtype=dtype), t.ones((), dtype=dtype)):
            received = [t.dtype(answer) for answer in (t.add(x, number), t.add(number, x), t.maximum(number, x))]
            received.append(t.result_type(x, number))
            assert received == [result] * 4, f"{dtype} beside {number!r} is {result}; received {received}"
            difference = array(self.engine, t.subtract(number, x)).astype(float)
            np.testing.assert_array_equal(difference, np.full(t.shape(x), float(np.asarray(number)) - 1))

    def _check_arrays(self, of_array: str, of_tensor: str, result: str) -> None:
        t = self.engine.tensors
        x, y = tensor(self.engine, np.ones(2), of_tensor), np.ones(2, of_array)
        answers = (
            t.add(x, y),
            t.add(y, x),
            t.matmul(np.ones((3, 2), of_array), x),
            t.where(np.array([True, False]), x, y),
        )
        received = [t.dtype(answer) for answer in answers]
        expected = [result] * 4
        assert received == expected, f"a {of_array} array beside a {of_tensor} tensor is {result}; received {received}"

    def _check_default(self, default: str) -> None:
        t = self.engine.tensors
        x = t.asarray([1, 2, 3])
        with dtype_scope(default):
            answers = {
                "exp": t.exp(x),
                "mean": t.mean(x),
                "divide": t.divide(x, x),
                "softmax": t.softmax(x),
                "divide by a number": t.divide(x, 2),
                "add a float": t.add(x, 0.5),
                "zeros": t.zeros(2),
                "asarray of a float": t.asarray(1.5),
                "asarray of a list": t.asarray([1.5]),
                "one_hot": t.one_hot(x, 4),
                "full": t.full((2,), 1.5),
            }
        wrong = {name: t.dtype(answer) for name, answer in answers.items() if t.dtype(answer) != default}
        assert not wrong, f"the default float dtype is {default}; received {wrong}"
