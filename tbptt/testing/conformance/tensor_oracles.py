"""Calls that are particular to one function, and oracles NumPy has no name for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tbptt.testing.conformance.tensor_calls import DEFAULT, PAIRS, PRODUCT, SHAPES, Call, Entry, binary, draw, unary

numpy: Any = np  # whose types do not follow unpacked arguments
erf = np.vectorize(math.erf, otypes=[np.float64])


def softplus(x: Any) -> Any:
    return np.logaddexp(x, 0.0)


def sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -np.asarray(x, np.float64)))


def gelu(x: Any) -> Any:
    x = np.asarray(x, np.float64)
    return x * 0.5 * (1 + erf(x / math.sqrt(2)) if x.size else x)


def gelu_tanh(x: Any) -> Any:
    x = np.asarray(x, np.float64)
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def logsumexp(x: Any, axis: Any, keepdims: bool = False) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(np.asarray(x, np.float64)), axis=axis, keepdims=keepdims))


def softmax(x: Any, axis: int) -> Any:
    exponential = np.exp(np.asarray(x, np.float64))
    return exponential / exponential.sum(axis=axis, keepdims=True)


def variance(x: Any, axis: Any, keepdims: bool = False, correction: float = 0.0) -> Any:
    return np.var(np.asarray(x, np.float64), axis=axis, keepdims=keepdims, ddof=correction)


def mean(x: Any, axis: Any, keepdims: bool = False) -> Any:
    return np.mean(np.asarray(x, np.float64), axis=axis, keepdims=keepdims)


def running(oracle: Any, first: int) -> Any:
    def run(x: Any, axis: int | None = None, include_initial: bool = False) -> Any:
        axis = 0 if axis is None else axis
        result = oracle(x, axis=axis, dtype=x.dtype if x.dtype.kind == "f" else np.int64)
        edge = [(int(include_initial and one == axis % x.ndim), 0) for one in range(x.ndim)]
        return numpy.pad(result, edge, constant_values=first)

    return run


def logical_shift(x1: Any, x2: Any) -> Any:
    unsigned = {"int32": np.uint32, "int64": np.uint64}[x1.dtype.name]
    return (x1.astype(unsigned) >> x2.astype(unsigned)).astype(x1.dtype)


def shift(oracle: Any) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype, bits in (("int32", 32), ("int64", 64)):
            info = np.iinfo(dtype)
            x1 = np.array([0, 1, -1, 12345, -12345, info.max, info.min], dtype)
            x2 = np.array([0, 1, 7, bits - 1], dtype)[:, None]
            yield Call((x1, x2), {}, oracle(x1, x2), dtype)
            for places in (0, 1, bits - 1):
                yield Call((x1, places), {}, oracle(x1, np.array(places, dtype)), dtype)
            yield Call((x1[:0], x2), {}, oracle(x1[:0], x2), dtype)

    return calls


def powers() -> Iterator[Call]:
    yield from binary(np.power, "f", domain="positive", second="any")()
    yield from binary(np.power, "i", second="signless")()


def floored(oracle: Any) -> Entry:
    def calls() -> Iterator[Call]:
        yield from binary(oracle, second="positive")()
        yield from binary(oracle, "f")()
        # where the rounded quotient is a whole number and the exact one is below it
        x1, x2 = np.array([1.0, -1.0, 3.0, -6.0, 5.5]), np.array([0.1, 0.1, 0.3, 0.6, -1.1])
        yield Call((x1, x2), {}, oracle(x1, x2), "float64")

    return calls


def fillings() -> Iterator[Call]:
    for shape in (3, (), (2, 3), (0, 2)):
        for value, name in ((1.5, DEFAULT), (2, "int64"), (True, "bool")):
            yield Call((shape, value), {}, np.full(shape, value), name)
        yield Call((shape, 2), {"dtype": "float64"}, np.full(shape, 2.0), "float64")


def constants(oracle: Any) -> Entry:
    def calls() -> Iterator[Call]:
        for shape in (3, (), (2, 3), (0, 2)):
            yield Call((shape,), {}, oracle(shape), DEFAULT)
            for dtype in ("float64", "int32", "int64", "bool"):
                yield Call((shape,), {"dtype": dtype}, oracle(shape, dtype), dtype)

    return calls


def likes(oracle: Any, *values: Any) -> Entry:
    def calls() -> Iterator[Call]:
        for shape, dtype in itertools.product(SHAPES, ("float32", "float64", "int32", "int64", "bool")):
            x = draw(shape, dtype)
            yield Call((x, *values), {}, oracle(x, *values), dtype)
            yield Call((x, *values), {"dtype": "int32"}, oracle(x, *values, dtype="int32"), "int32")

    return calls


def conversions() -> Iterator[Call]:
    names = ("float32", "float64", "int32", "int64", "bool")
    for source, target in itertools.product(names, names):
        for shape in ((), (3, 4), (0,)):
            x = draw(shape, source)
            yield Call((x, target), {}, x.astype(target), target)
            yield Call((x, np.dtype(target)), {"copy": True}, x.astype(target), target)


def takes() -> Iterator[Call]:
    for dtype, kind in itertools.product(("float32", "float64", "int64", "bool"), ("int32", "int64")):
        x = draw((4, 3, 2), dtype)
        for indices, axis in itertools.product(([2, 0, 0], [[1, 1], [0, 1]], [], 1), (0, 1, -1)):
            places = np.asarray(np.array(indices, kind) % x.shape[axis])
            yield Call((x, places), {"axis": axis}, np.take(x, places, axis=axis), dtype)
        yield Call((x[:, :, 0], np.array([[3, 3]], kind)), {"axis": 0}, x[[[3, 3]], :, 0], dtype)
        yield Call((x[:, 0, 0], np.array([3, 1], kind)), {}, x[[3, 1], 0, 0], dtype)


def takes_along() -> Iterator[Call]:
    for dtype, kind in itertools.product(("float32", "float64", "int64", "bool"), ("int32", "int64")):
        x = draw((2, 3, 4), dtype)
        for axis, shape in ((0, (5, 3, 4)), (1, (2, 1, 4)), (-1, (2, 3, 2)), (2, (2, 3, 0)), (-1, (1, 3, 2))):
            places = (draw(shape, "int64", "signless") % x.shape[axis]).astype(kind)
            yield Call((x, places), {"axis": axis}, np.take_along_axis(x, places, axis=axis), dtype)
        one = np.array([3, 3, 0], kind)
        yield Call((x[0, 0], one), {}, x[0, 0][one], dtype)


def sorts(oracle: Any, answer: str) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype, shape in itertools.product(
            ("float32", "float64", "int32", "int64"), ((5,), (3, 4), (2, 3, 4), (0,), (2, 0))
        ):
            x = draw(shape, dtype)
            for axis in range(-len(shape), len(shape)):
                options: dict[str, Any] = {"axis": axis}
                yield Call((x,), options, oracle(x, axis=axis, kind="stable"), answer or dtype)
                falling = oracle(-x, axis=axis, kind="stable") * (1 if answer else -1)
                yield Call((x,), {**options, "descending": True}, falling, answer or dtype)

    return calls


def searches() -> Iterator[Call]:
    for dtype in ("float32", "float64", "int32", "int64"):
        x1, x2 = np.sort(draw((6,), dtype)), draw((2, 3), dtype)
        x2[0, 0] = x1[3]
        order = np.array([3, 0, 5, 1, 2, 4])
        for side in ("left", "right"):
            yield Call((x1, x2), {"side": side}, np.searchsorted(x1, x2, side=side), "int64")
            yield Call(
                (x1[np.argsort(order)], x2), {"side": side, "sorter": order}, np.searchsorted(x1, x2, side), "int64"
            )
        yield Call((x1, x2[:0]), {}, np.zeros((0, 3)), "int64")


def products() -> Iterator[Call]:
    shapes = (
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 1, 2, 3), (2, 3, 4)),
    )
    for dtype, (shape1, shape2) in itertools.product(
        ("float32", "float64", "int32", "int64"), (*shapes, ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((3,), (2, 3, 4)))
    ):
        x1, x2 = draw(shape1, dtype), draw(shape2, dtype)
        yield Call((x1, x2), {}, np.matmul(x1, x2), dtype, PRODUCT)


def contractions() -> Iterator[Call]:
    for dtype, axes in itertools.product(
        ("float32", "float64", "int32"), (2, 1, 0, ((1, 2), (0, 1)), ((0,), (2,)), (-1, 1))
    ):
        x1 = draw((2, 3, 4), dtype)
        x2 = draw(
            {2: (3, 4, 5), 1: (4, 2), 0: (2,), ((1, 2), (0, 1)): (3, 4), ((0,), (2,)): (3, 1, 2)}.get(axes, (2, 4)),
            dtype,
        )
        yield Call((x1, x2), {"axes": axes}, numpy.tensordot(x1, x2, axes=axes), dtype, PRODUCT)


def einsums() -> Iterator[Call]:
    for dtype in ("float32", "float64"):
        x, y = draw((2, 3), dtype), draw((3, 4), dtype)
        for subscripts, operands in (("ij,jk->ik", (x, y)), ("ij->ji", (x,)), ("ij->", (x,)), ("ij,jk->k", (x, y))):
            yield Call((subscripts, *operands), {}, np.einsum(subscripts, *operands), dtype, PRODUCT)


def vecdots() -> Iterator[Call]:
    for dtype in ("float32", "float64", "int32", "int64"):
        for shape1, shape2, axis in (((3,), (3,), -1), ((2, 3), (3,), -1), ((2, 3), (2, 1), -2), ((2, 0), (2, 0), -1)):
            x1, x2 = draw(shape1, dtype), draw(shape2, dtype)
            yield Call((x1, x2), {"axis": axis}, np.sum(x1 * x2, axis=axis, dtype=dtype), dtype, PRODUCT)


def choices() -> Iterator[Call]:
    for dtype, (shape1, shape2) in itertools.product(("float32", "float64", "int32", "int64", "bool"), PAIRS):
        condition, x1, x2 = draw(shape2, "bool"), draw(shape1, dtype), draw(shape2, dtype)
        yield Call((condition, x1, x2), {}, np.where(condition, x1, x2), dtype)
    x = np.array([np.nan, 1.0, np.inf])
    yield Call((np.array([False, True, False]), x, 0.0), {}, np.array([0.0, 1.0, 0.0]), "float64")


def clippings() -> Iterator[Call]:
    for dtype, shape in itertools.product(("float32", "float64", "int32", "int64"), SHAPES):
        x = draw(shape, dtype)
        low, high = np.array(-1, dtype), np.array(2, dtype)
        for arguments in ((-1, 2), (-1,), (None, 2), (low, high), (None, high), (low,), (low, 2)):
            bounds = [None if bound is None else np.asarray(bound, dtype) for bound in (*arguments, None)][:2]
            yield Call((x, *arguments), {}, numpy.clip(x, *bounds), dtype)
    x = draw((3, 4), "float64")
    yield Call((x, draw((4,), "float64"), 1.0), {}, np.clip(x, draw((4,), "float64"), 1.0), "float64")


def hots() -> Iterator[Call]:
    for kind, indices in itertools.product(("int32", "int64"), (1, [0, 2, 1], [[0], [3]], [])):
        x = np.array(indices, kind)
        yield Call((x, 3), {}, np.eye(4, 3)[x.astype(int)], DEFAULT)  # class 3 of 3 is out of range: zeros
        yield Call((x, 3), {"dtype": "bool"}, np.eye(4, 3)[x.astype(int)] > 0, "bool")


def joined(oracle: Any, joins: bool) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in ("float32", "float64", "int32", "int64", "bool"):
            x, y = draw((2, 3), dtype), draw((2, 3), dtype)[::-1].copy()
            for axis in (0, 1, -1, *((None,) if joins else (2,))):
                yield Call(([x, y],), {"axis": axis}, oracle([x, y], axis=axis), dtype)
            yield Call(((x[:0], y[:0]),), {}, oracle([x[:0], y[:0]]), dtype)
        for name in ("float32", "float64"):
            yield Call(([x.astype("int32"), y.astype(name)],), {}, oracle([x, y]).astype(name), name)

    return calls


def unstacked(x: Any, axis: int = 0) -> Any:
    return tuple(np.moveaxis(x, axis, 0))


def cut(x: Any, *arguments: Any, **options: Any) -> Any:
    return tuple(np.split(x, *arguments, **options))


def nonzeros() -> Iterator[Call]:
    for dtype, shape in itertools.product(("float32", "float64", "int32", "int64", "bool"), ((5,), (3, 4), (0,))):
        x = draw(shape, dtype) * draw(shape, "bool")
        yield Call((x,), {}, np.nonzero(x), ("int64",) * len(shape))


def ranges() -> Iterator[Call]:
    for arguments in ((5,), (0,), (2, 7), (2, 9, 3), (5, 0, -2), (3, 1)):
        yield Call(arguments, {}, np.arange(*arguments), "int64")
        yield Call(arguments, {"dtype": "float64"}, np.arange(*arguments, dtype="float64"), "float64")
    yield Call((0.0, 1.0, 0.25), {}, np.arange(0.0, 1.0, 0.25), DEFAULT)


def lines() -> Iterator[Call]:
    for arguments, options in itertools.product(
        ((0, 1, 5), (-2.0, 3.0, 7), (1, 1, 0), (0, 1, 1)), ({}, {"endpoint": False})
    ):
        yield Call(arguments, options, numpy.linspace(*arguments, **options), DEFAULT)
        yield Call(arguments, {**options, "dtype": "float64"}, numpy.linspace(*arguments, **options), "float64")


def identities() -> Iterator[Call]:
    for arguments, k in itertools.product(((3,), (2, 4), (0, 2)), (0, 1, -1)):
        yield Call(arguments, {"k": k}, numpy.eye(*arguments, k=k), DEFAULT)
        yield Call(arguments, {"k": k, "dtype": "int64"}, numpy.eye(*arguments, k=k), "int64")


def arrays() -> Iterator[Call]:
    for shape, dtype in itertools.product(SHAPES, ("float32", "float64", "int32", "int64", "bool")):
        x = draw(shape, dtype)
        yield Call((x,), {}, x, dtype)
        yield Call((x,), {"dtype": "float64", "copy": True}, x.astype("float64"), "float64")
    for value, name in (
        (1.5, DEFAULT),
        (2, "int64"),
        (True, "bool"),
        ([[1, 2], [3, 4]], "int64"),
        ([1, 2.5], DEFAULT),
    ):
        yield Call((value,), {}, np.asarray(value), name)
    yield Call(([draw((3,), "float64"), draw((3,), "float64")],), {}, np.stack([draw((3,), "float64")] * 2), "float64")


def gelus() -> Iterator[Call]:
    for call in unary(gelu)():  # every formula of it takes a difference to 1, so that errors are relative to |x|
        yield call._replace(scale=3.0)
        yield call._replace(options={"approximate": "tanh"}, expected=gelu_tanh(*call.arguments), scale=3.0)
