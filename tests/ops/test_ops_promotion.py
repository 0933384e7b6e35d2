"""Which dtype two operands give: one table, the same on both engines, whatever the ranks and the order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt.dtypes
from tbptt import ops
from tbptt.dtypes import default_dtype, dtype_scope, name_of, set_default_dtype
from tbptt.protocols import Backend

TENSORS = [
    ("float32", "float64", "float64"),
    ("float16", "float32", "float32"),
    ("float16", "bfloat16", "float32"),
    ("bfloat16", "float32", "float32"),
    ("bfloat16", "float64", "float64"),
    ("int32", "int64", "int64"),
    ("int8", "int32", "int32"),
    ("uint8", "int8", "int16"),
    ("uint8", "int32", "int32"),
    ("int64", "float32", "float32"),
    ("int32", "float16", "float16"),
    ("int64", "bfloat16", "bfloat16"),
    ("bool", "int32", "int32"),
    ("bool", "float64", "float64"),
    ("int64", "int64", "int64"),
]
NUMBERS: list[tuple[str, Any, str]] = [
    ("float32", 2.5, "float32"),
    ("float64", 2.5, "float64"),
    ("float16", 2.5, "float16"),
    ("bfloat16", 2, "bfloat16"),
    ("float64", 2, "float64"),
    ("float32", True, "float32"),
    ("int32", 2, "int32"),
    ("int32", 2.5, "float32"),
    ("int64", 2.5, "float32"),
    ("bool", 2, "int64"),
    ("bool", 2.5, "float32"),
    ("int32", True, "int32"),
    ("float32", np.float64(2.5), "float32"),
    ("float32", np.float32(2.5), "float32"),
    ("int32", np.int64(2), "int32"),
]


@pytest.mark.parametrize(("first", "second", "result"), TENSORS)
def test_two_tensors_promote(backend: Backend, first: str, second: str, result: str) -> None:
    for shape1, shape2 in (((2,), (2,)), ((), (2,)), ((2,), ()), ((), ())):
        x1, x2 = ops.ones(shape1, dtype=first), ops.ones(shape2, dtype=second)
        for a, b in ((x1, x2), (x2, x1)):
            assert ops.dtype(ops.multiply(a, b)) == result
            assert ops.dtype(ops.maximum(a, b)) == result
            assert ops.dtype(ops.where(ops.asarray(True), a, b)) == result
            assert ops.dtype(ops.equal(a, b)) == "bool"
            assert ops.result_type(a, b) == result
            if shape1 == shape2 == (2,):
                assert ops.dtype(ops.concat([a, b])) == ops.dtype(ops.stack([a, b])) == result


@pytest.mark.parametrize(("dtype", "number", "result"), NUMBERS)
def test_a_number_takes_the_tensors_dtype_unless_its_kind_is_higher(
    backend: Backend, dtype: str, number: Any, result: str
) -> None:
    for x in (ops.ones((2,), dtype=dtype), ops.ones((), dtype=dtype)):
        for answer in (ops.add(x, number), ops.add(number, x), ops.maximum(number, x)):
            assert ops.dtype(answer) == result
        value = float(np.asarray(number))
        np.testing.assert_array_equal(
            ops.to_numpy(ops.subtract(number, x)).astype(float), np.full(ops.shape(x), value - 1)
        )


def test_an_array_beside_a_tensor_counts_as_a_tensor_of_its_dtype(backend: Backend) -> None:
    x = ops.ones((2,), dtype="float32")
    assert ops.dtype(ops.add(x, np.ones(2, np.float32))) == "float32"
    assert ops.dtype(ops.add(np.ones(2), x)) == "float64"
    assert ops.dtype(ops.matmul(np.ones((3, 2), np.float32), x)) == "float32"
    assert ops.dtype(ops.where(np.array([True, False]), x, np.zeros(2, np.float32))) == "float32"


def test_concat_promotes_the_same_in_any_order(backend: Backend) -> None:
    x, y, z = (ops.ones((1,), dtype=name) for name in ("int64", "float16", "bfloat16"))
    for arrays in ([x, y, z], [y, x, z], [z, y, x]):
        assert ops.dtype(ops.concat(arrays)) == "float32"


def test_functions_of_real_numbers_answer_in_the_default_float(backend: Backend) -> None:
    x = ops.asarray([1, 2, 3])
    for dtype in ("float32", "float64"):
        with dtype_scope(dtype):
            for answer in (
                ops.exp(x),
                ops.mean(x),
                ops.divide(x, x),
                ops.softmax(x),
                ops.divide(x, 2),
                ops.add(x, 0.5),
            ):
                assert ops.dtype(answer) == dtype
            for made in (ops.zeros(2), ops.asarray(1.5), ops.asarray([1.5]), ops.one_hot(x, 4), ops.full((2,), 1.5)):
                assert ops.dtype(made) == dtype


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precisions_pass_through(backend: Backend, dtype: str) -> None:
    x = ops.asarray([0.5, 2.0], dtype=dtype)
    for answer in (ops.exp(x), ops.sum(x), ops.matmul(x, x), ops.softmax(x), ops.multiply(x, 3.0), ops.max(x)):
        assert ops.dtype(answer) == dtype
    np.testing.assert_array_equal(ops.to_numpy(x).astype("float32"), np.array([0.5, 2.0], np.float32))


def test_no_integer_holds_uint64_and_int64(backend: Backend) -> None:
    with pytest.raises(ValueError, match=r"uint64 and int64|int64 and uint64"):
        ops.add(ops.ones(2, dtype="uint64"), ops.ones(2, dtype="int64"))


def test_every_spelling_of_a_dtype_is_read(backend: Backend) -> None:
    own = ops.zeros(1, dtype="float64").dtype
    for spelling in ("float64", np.float64, np.dtype("float64"), own):
        assert name_of(spelling) == "float64"
        assert ops.dtype(ops.zeros(1, dtype=spelling)) == "float64"
    assert name_of(float) == default_dtype()
    assert name_of(bool) == "bool"


def test_an_unknown_dtype_is_told_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match=r"no dtype 'float31'.*float32"):
        name_of("float31")


def test_the_default_must_be_a_float_and_stays_where_it_was() -> None:
    with pytest.raises(ValueError, match="'int32' is not"):
        set_default_dtype("int32")
    assert default_dtype() == "float32"


def test_a_scope_ends_even_by_an_error() -> None:
    with pytest.raises(RuntimeError, match="on purpose"), dtype_scope("float64"):
        assert tbptt.dtypes.default_dtype() == "float64"
        raise RuntimeError("on purpose")
    assert default_dtype() == "float32"
