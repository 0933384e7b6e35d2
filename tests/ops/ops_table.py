"""What NumPy says about every function of `tbptt.ops`: one entry for each, which makes the calls to compare.

A `Call` holds the arguments (NumPy arrays are handed over as tensors), and what NumPy answers. The dtype of the answer is a rule of
this table, written out here and not read from the library: "same" as the first array, "real", "int64", "bool", ...
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

DTYPES = {"f": ("float32", "float64"), "i": ("int32", "int64"), "b": ("bool",)}
SHAPES = ((), (5,), (3, 4), (2, 3, 4), (0,), (2, 0, 3))
PAIRS = (((), ()), ((4,), (4,)), ((3, 1), (4,)), ((2, 1, 4), (3, 1)), ((2, 3), ()), ((0,), (1,)), ((2, 0), (2, 1)))


PRODUCT = 9.0  # the largest product of two drawn numbers: what the rounding of a sum of products is relative to


class Call(NamedTuple):
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    expected: Any
    dtypes: Any  # the name of the answer's dtype, a tuple of names, or None for an answer that is no tensor
    scale: float = 0.01  # values below this are compared by their difference, in units of this


Entry = Callable[[], Iterable[Call]]


def draw(shape: tuple[int, ...], dtype: str, domain: str = "any") -> np.ndarray:
    """Numbers of a domain, the same ones for the same question."""
    generator = np.random.default_rng([len(shape), *shape, len(dtype), len(domain)])
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if dtype.startswith("int"):
        low = {"any": -6, "signless": 0, "positive": 1, "above": 1, "unit": 0, "open": 0}[domain]
        high = {"any": 7, "signless": 7, "positive": 7, "above": 7, "unit": 2, "open": 1}[domain]
        return generator.integers(low, high, shape).astype(dtype)
    low = {"any": -3.0, "signless": 0.0, "positive": 0.1, "above": 1.0, "unit": -1.0, "open": -0.98}[domain]
    high = {"any": 3.0, "signless": 5.0, "positive": 5.0, "above": 5.0, "unit": 1.0, "open": 0.98}[domain]
    return generator.uniform(low, high, shape).astype(dtype)


def outcome(rule: str, dtype: str) -> str:
    """The dtype of an answer to arguments of that dtype."""
    if rule == "same":
        return dtype
    if rule == "real":
        return dtype if dtype.startswith("float") else "float32"
    if rule == "accumulate":
        return dtype if dtype.startswith("float") else "int64"
    return rule


def unary(oracle: Any, kinds: str = "fi", rule: str = "real", domain: str = "any", special: tuple[float, ...] = ()) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape in SHAPES:
                x = draw(shape, dtype, domain)
                yield Call((x,), {}, oracle(x), outcome(rule, dtype))
            if special and dtype.startswith("float"):
                x = np.array(special, dtype)
                yield Call((x,), {}, oracle(x), outcome(rule, dtype))

    return calls


def binary(oracle: Any, kinds: str = "fi", rule: str = "same", domain: str = "any", second: str = "") -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape1, shape2 in PAIRS:
                x1, x2 = draw(shape1, dtype, domain), draw(shape2, dtype, second or domain)
                yield Call((x1, x2), {}, oracle(x1, x2), outcome(rule, dtype))

    return calls


def reduction(oracle: Any, kinds: str = "fi", rule: str = "same", empty: bool = True, **fixed: Any) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape, keepdims in itertools.product(((), (5,), (3, 4), (2, 3, 4)), (False, True)):
                x = draw(shape, dtype)
                axes: list[Any] = [None, *range(-len(shape), len(shape))] + [(0, -1)] * (len(shape) > 1)
                for axis in axes:
                    options = {"axis": axis, "keepdims": keepdims}
                    yield Call((x,), {**options, **fixed}, oracle(x, **options, **fixed), outcome(rule, dtype))
            if empty:
                x = draw((0, 3), dtype)
                for axis in (None, 0):
                    yield Call((x,), {"axis": axis, **fixed}, oracle(x, axis=axis, **fixed), outcome(rule, dtype))

    return calls


def place(oracle: Any) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in ("float32", "float64", "int32", "int64", "bool"):
            for shape, keepdims in itertools.product(((5,), (3, 4), (2, 3, 4)), (False, True)):
                x = draw(shape, dtype)
                for axis in (None, *range(-len(shape), len(shape))):
                    options = {"axis": axis, "keepdims": keepdims}
                    yield Call((x,), options, oracle(x, **options), "int64")

    return calls


def along(oracle: Any, kinds: str = "f", rule: str = "real", name: str = "axis", empty: bool = True) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape in ((5,), (3, 4), (2, 3, 4)) + ((0,), (2, 0)) * empty:
                x = draw(shape, dtype)
                for axis in range(-len(shape), len(shape)):
                    yield Call((x,), {name: axis}, oracle(x, axis), outcome(rule, dtype))

    return calls


def shaped(oracle: Any, *cases: tuple[Any, ...], kinds: str = "fib", rule: str = "same") -> Entry:
    """Cases are (shape, positional arguments..., {options}); the oracle takes the same."""

    def calls() -> Iterator[Call]:
        for dtype, (shape, *rest, options) in itertools.product(itertools.chain(*(DTYPES[k] for k in kinds)), cases):
            x = draw(shape, dtype)
            answer = oracle(x, *rest, **options)
            rules = tuple(outcome(rule, dtype) for _ in answer) if isinstance(answer, tuple) else outcome(rule, dtype)
            yield Call((x, *rest), options, answer, rules)

    return calls


def given(*calls: tuple[tuple[Any, ...], dict[str, Any], Any, Any]) -> Entry:
    return lambda: [Call(*call) for call in calls]


# -- oracles NumPy has no name for ---------------------------------------------------------------------------------------

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
    return np.var(np.asarray(x, np.float64), axis=axis, keepdims=keepdims, ddof=correction)  # type: ignore[call-overload]


def mean(x: Any, axis: Any, keepdims: bool = False) -> Any:
    return np.mean(np.asarray(x, np.float64), axis=axis, keepdims=keepdims)


def running(oracle: Any, first: int) -> Any:
    def run(x: Any, axis: int | None = None, include_initial: bool = False) -> Any:
        axis = 0 if axis is None else axis
        result = oracle(x, axis=axis, dtype=x.dtype if x.dtype.kind == "f" else np.int64)
        edge = [(int(include_initial and one == axis % x.ndim), 0) for one in range(x.ndim)]
        return np.pad(result, edge, constant_values=first)

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


def fillings() -> Iterator[Call]:
    for shape in (3, (), (2, 3), (0, 2)):
        for value, name in ((1.5, "float32"), (2, "int64"), (True, "bool")):
            yield Call((shape, value), {}, np.full(shape, value), name)
        yield Call((shape, 2), {"dtype": "float64"}, np.full(shape, 2.0), "float64")


def constants(oracle: Any) -> Entry:
    def calls() -> Iterator[Call]:
        for shape in (3, (), (2, 3), (0, 2)):
            yield Call((shape,), {}, oracle(shape), "float32")
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
            places = np.array(indices, kind) % x.shape[axis]
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
            yield Call((x1[np.argsort(order)], x2), {"side": side, "sorter": order}, np.searchsorted(x1, x2, side), "int64")
        yield Call((x1, x2[:0]), {}, np.zeros((0, 3)), "int64")


def products() -> Iterator[Call]:
    shapes = (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 1, 2, 3), (2, 3, 4)))
    for dtype, (shape1, shape2) in itertools.product(
        ("float32", "float64", "int32", "int64"), (*shapes, ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((3,), (2, 3, 4)))
    ):
        x1, x2 = draw(shape1, dtype), draw(shape2, dtype)
        yield Call((x1, x2), {}, np.matmul(x1, x2), dtype, PRODUCT)


def contractions() -> Iterator[Call]:
    for dtype, axes in itertools.product(("float32", "float64", "int32"), (2, 1, 0, ((1, 2), (0, 1)), ((0,), (2,)), (-1, 1))):
        x1 = draw((2, 3, 4), dtype)
        x2 = draw({2: (3, 4, 5), 1: (4, 2), 0: (2,), ((1, 2), (0, 1)): (3, 4), ((0,), (2,)): (3, 1, 2)}.get(axes, (2, 4)), dtype)
        yield Call((x1, x2), {"axes": axes}, np.tensordot(x1, x2, axes=axes), dtype, PRODUCT)


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
            yield Call((x, *arguments), {}, np.clip(x, *bounds), dtype)
    x = draw((3, 4), "float64")
    yield Call((x, draw((4,), "float64"), 1.0), {}, np.clip(x, draw((4,), "float64"), 1.0), "float64")


def hots() -> Iterator[Call]:
    for kind, indices in itertools.product(("int32", "int64"), (1, [0, 2, 1], [[0], [3]], [])):
        x = np.array(indices, kind)
        yield Call((x, 3), {}, np.eye(4, 3)[x.astype(int)], "float32")  # class 3 of 3 is out of range: zeros
        yield Call((x, 3), {"dtype": "bool"}, np.eye(4, 3)[x.astype(int)] > 0, "bool")


def joined(oracle: Any, joins: bool) -> Entry:
    def calls() -> Iterator[Call]:
        for dtype in ("float32", "float64", "int32", "int64", "bool"):
            x, y = draw((2, 3), dtype), draw((2, 3), dtype)[::-1].copy()
            for axis in (0, 1, -1, *((None,) if joins else (2,))):
                yield Call(([x, y],), {"axis": axis}, oracle([x, y], axis=axis), dtype)
            yield Call(((x[:0], y[:0]),), {}, oracle([x[:0], y[:0]]), dtype)
        yield Call(([x.astype("int32"), y.astype("float32")],), {}, oracle([x, y]).astype("float32"), "float32")

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
    yield Call((0.0, 1.0, 0.25), {}, np.arange(0.0, 1.0, 0.25), "float32")


def lines() -> Iterator[Call]:
    for arguments, options in itertools.product(((0, 1, 5), (-2.0, 3.0, 7), (1, 1, 0), (0, 1, 1)), ({}, {"endpoint": False})):
        yield Call(arguments, options, np.linspace(*arguments, **options), "float32")
        yield Call(arguments, {**options, "dtype": "float64"}, np.linspace(*arguments, **options), "float64")


def identities() -> Iterator[Call]:
    for arguments, k in itertools.product(((3,), (2, 4), (0, 2)), (0, 1, -1)):
        yield Call(arguments, {"k": k}, np.eye(*arguments, k=k), "float32")
        yield Call(arguments, {"k": k, "dtype": "int64"}, np.eye(*arguments, k=k), "int64")


def arrays() -> Iterator[Call]:
    for shape, dtype in itertools.product(SHAPES, ("float32", "float64", "int32", "int64", "bool")):
        x = draw(shape, dtype)
        yield Call((x,), {}, x, dtype)
        yield Call((x,), {"dtype": "float64", "copy": True}, x.astype("float64"), "float64")
    for value, name in ((1.5, "float32"), (2, "int64"), (True, "bool"), ([[1, 2], [3, 4]], "int64"), ([1, 2.5], "float32")):
        yield Call((value,), {}, np.asarray(value), name)
    yield Call(([draw((3,), "float64"), draw((3,), "float64")],), {}, np.stack([draw((3,), "float64")] * 2), "float64")


def gelus() -> Iterator[Call]:
    for call in unary(gelu)():  # every formula of it takes a difference to 1, so that errors are relative to |x|
        yield call._replace(scale=3.0)
        yield call._replace(options={"approximate": "tanh"}, expected=gelu_tanh(*call.arguments), scale=3.0)


KIND = "real floating"
MATRICES = (((3, 4), {}), ((3, 4), {"k": 1}), ((2, 4, 3), {"k": -1}), ((3, 3), {"k": 5}), ((3, 3), {"k": -5}), ((0, 3), {}))
NOT_FINITE = (math.nan, math.inf, -math.inf, 0.0, 1.0)

TABLE: dict[str, Entry] = {
    # creation
    "asarray": arrays,
    "from_dlpack": shaped(lambda x: x, ((3, 4), {}), ((0,), {}), kinds="fi"),
    "to_numpy": given(((draw((2, 3), "float64"),), {}, draw((2, 3), "float64"), None)),
    "is_tensor": given(((draw((2,), "float32"),), {}, True, None), ((1.0,), {}, False, None), ((None,), {}, False, None)),
    "zeros": constants(np.zeros),
    "ones": constants(np.ones),
    "empty": constants(lambda shape, dtype=None: None),
    "full": fillings,
    "zeros_like": likes(np.zeros_like),
    "ones_like": likes(np.ones_like),
    "full_like": likes(np.full_like, 1),
    "arange": ranges,
    "linspace": lines,
    "eye": identities,
    "tril": shaped(np.tril, *MATRICES),
    "triu": shaped(np.triu, *MATRICES),
    # dtypes
    "dtype": given(*(((draw((2,), name),), {}, name, None) for name in ("float32", "float64", "int32", "int64", "bool"))),
    "astype": conversions,
    "isdtype": given(
        (("float32", KIND), {}, True, None),
        (("int64", KIND), {}, False, None),
        ((np.dtype("uint8"), "unsigned integer"), {}, True, None),
        (("int8", ("bool", "signed integer")), {}, True, None),
        (("bool", "numeric"), {}, False, None),
        (("bfloat16", "bfloat16"), {}, True, None),
    ),
    "result_type": given(
        ((draw((2,), "float32"), draw((), "float64")), {}, "float64", None),
        ((draw((2,), "int32"), 1.5), {}, "float32", None),
        (("uint8", "int8", 3), {}, "int16", None),
        ((draw((2,), "float64"), 1), {}, "float64", None),
        (("int64", "bfloat16"), {}, "bfloat16", None),
    ),
    "finfo": given(
        (("float32",), {}, (32, 2.0**-23, (2 - 2.0**-23) * 2.0**127, -(2 - 2.0**-23) * 2.0**127, 2.0**-126, "float32"), None),
        ((draw((2,), "float64"),), {}, (64, 2.0**-52, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**-1022, "float64"), None),
    ),
    "iinfo": given((("int8",), {}, (8, 127, -128, "int8"), None), ((draw((2,), "int64"),), {}, (64, 2**63 - 1, -(2**63), "int64"), None)),
    # arithmetic
    "add": binary(np.add),
    "subtract": binary(np.subtract),
    "multiply": binary(np.multiply),
    "divide": binary(np.divide, rule="real", second="positive"),
    "floor_divide": binary(np.floor_divide, second="positive"),
    "remainder": binary(np.remainder, second="positive"),
    "pow": powers,
    "negative": unary(np.negative, rule="same"),
    "positive": unary(np.positive, rule="same"),
    "abs": unary(np.abs, rule="same", special=NOT_FINITE),
    "sign": unary(np.sign, rule="same", special=NOT_FINITE),
    "square": unary(np.square, rule="same"),
    "reciprocal": unary(lambda x: 1 / x, domain="positive"),
    "maximum": binary(np.maximum),
    "minimum": binary(np.minimum),
    "clip": clippings,
    "round": unary(np.round, rule="same", special=(0.5, 1.5, 2.5, -0.5, -1.5, -2.5)),
    "floor": unary(np.floor, rule="same", special=NOT_FINITE),
    "ceil": unary(np.ceil, rule="same", special=NOT_FINITE),
    "trunc": unary(np.trunc, rule="same", special=NOT_FINITE),
    # transcendental
    "sqrt": unary(np.sqrt, domain="signless"),
    "rsqrt": unary(lambda x: 1 / np.sqrt(x), domain="positive"),
    "exp": unary(np.exp, special=NOT_FINITE),
    "expm1": unary(np.expm1, special=(1e-9, -1e-9, math.inf, -math.inf)),
    "log": unary(np.log, domain="positive", special=(math.inf, 0.0)),
    "log1p": unary(np.log1p, domain="signless", special=(1e-9, -1e-9)),
    "log2": unary(np.log2, domain="positive"),
    "log10": unary(np.log10, domain="positive"),
    "sin": unary(np.sin),
    "cos": unary(np.cos),
    "tan": unary(np.tan, domain="open"),
    "asin": unary(np.arcsin, domain="unit"),
    "acos": unary(np.arccos, domain="unit"),
    "atan": unary(np.arctan),
    "sinh": unary(np.sinh),
    "cosh": unary(np.cosh),
    "tanh": unary(np.tanh, special=NOT_FINITE),
    "asinh": unary(np.arcsinh),
    "acosh": unary(np.arccosh, domain="above"),
    "atanh": unary(np.arctanh, domain="open"),
    "erf": unary(lambda x: erf(x) if np.size(x) else x),
    "atan2": binary(np.arctan2, rule="real"),
    "hypot": binary(np.hypot, rule="real"),
    "logaddexp": binary(np.logaddexp, rule="real"),
    # comparison
    "equal": binary(np.equal, "fib", "bool"),
    "not_equal": binary(np.not_equal, "fib", "bool"),
    "less": binary(np.less, "fi", "bool"),
    "less_equal": binary(np.less_equal, "fi", "bool"),
    "greater": binary(np.greater, "fi", "bool"),
    "greater_equal": binary(np.greater_equal, "fi", "bool"),
    "isfinite": unary(np.isfinite, rule="bool", special=NOT_FINITE),
    "isnan": unary(np.isnan, rule="bool", special=NOT_FINITE),
    "isinf": unary(np.isinf, rule="bool", special=NOT_FINITE),
    "logical_and": binary(np.logical_and, "fib", "bool"),
    "logical_or": binary(np.logical_or, "fib", "bool"),
    "logical_xor": binary(np.logical_xor, "fib", "bool"),
    "logical_not": unary(np.logical_not, "fib", "bool"),
    "where": choices,
    # bitwise
    "bitwise_and": binary(np.bitwise_and, "ib"),
    "bitwise_or": binary(np.bitwise_or, "ib"),
    "bitwise_xor": binary(np.bitwise_xor, "ib"),
    "bitwise_invert": unary(np.invert, "ib", "same"),
    "bitwise_left_shift": shift(np.left_shift),
    "bitwise_right_shift": shift(np.right_shift),
    "logical_right_shift": shift(logical_shift),
    # reduction
    "sum": reduction(np.sum, "fib", "accumulate"),
    "prod": reduction(np.prod, "fib", "accumulate"),
    "mean": reduction(mean, "fib", "real", empty=False),
    "var": reduction(variance, "fi", "real", empty=False, correction=0.5),
    "std": reduction(lambda x, **options: np.sqrt(variance(x, **options)), "fi", "real", empty=False),
    "max": reduction(np.max, empty=False),
    "min": reduction(np.min, empty=False),
    "any": reduction(np.any, "fib", "bool"),
    "all": reduction(np.all, "fib", "bool"),
    "count_nonzero": reduction(np.count_nonzero, "fib", "int64"),
    "argmax": place(np.argmax),
    "argmin": place(np.argmin),
    "logsumexp": reduction(logsumexp, "fi", "real"),
    "cumulative_sum": shaped(
        running(np.cumsum, 0),
        *(((5,), {}), ((3, 4), {"axis": 0}), ((2, 3, 4), {"axis": -1, "include_initial": True}), ((0, 2), {"axis": 0})),
        rule="accumulate",
    ),
    "cumulative_prod": shaped(
        running(np.cumprod, 1),
        *(((5,), {}), ((3, 4), {"axis": 0}), ((2, 3, 4), {"axis": -1, "include_initial": True}), ((0, 2), {"axis": 0})),
        rule="accumulate",
    ),
    # shaping
    "shape": given(*(((draw(shape, "float32"),), {}, shape, None) for shape in SHAPES)),
    "size": given(*(((draw(shape, "float32"),), {}, math.prod(shape), None) for shape in SHAPES)),
    "reshape": shaped(
        lambda x, shape, copy=None: np.reshape(x, shape),
        *(((3, 4), (2, 6), {}), ((3, 4), (-1,), {"copy": True}), ((3, 4), -1, {}), ((), (1, 1), {}), ((0, 2), (2, 0), {})),
    ),
    "permute_dims": shaped(np.transpose, ((3, 4), (1, 0), {}), ((2, 3, 4), (-1, 0, 1), {}), ((), (), {}), ((0, 2), (1, 0), {})),
    "moveaxis": shaped(np.moveaxis, ((3, 4), 0, -1, {}), ((2, 3, 4), (0, 1), (2, 0), {}), ((2, 3, 4), -1, 0, {})),
    "expand_dims": shaped(
        lambda x, axis=0: np.expand_dims(x, axis), ((), {}), ((3, 4), {"axis": -1}), ((3, 4), {"axis": 1}), ((0,), {})
    ),
    "squeeze": shaped(np.squeeze, ((1, 3, 1), 0, {}), ((1, 3, 1), (0, -1), {}), ((1, 3, 1), {"axis": -1}), ((1, 0), 0, {})),
    "broadcast_to": shaped(np.broadcast_to, ((), 3, {}), ((3, 1), (2, 3, 4), {}), ((1,), (0,), {}), ((4,), (3, 4), {})),
    "flip": shaped(np.flip, ((), {}), ((5,), {}), ((2, 3, 4), {"axis": -1}), ((2, 3, 4), {"axis": (0, 1)}), ((0,), {})),
    "roll": shaped(
        np.roll,
        *(((5,), 2, {}), ((3, 4), -1, {}), ((3, 4), 1, {"axis": 0}), ((3, 4), (1, -2), {"axis": (0, -1)})),
        *(((3, 4), 2, {"axis": (0, 1)}), ((0,), 1, {})),
    ),
    "tile": shaped(np.tile, ((), (2,), {}), ((3,), (2, 2), {}), ((2, 3, 4), (2,), {}), ((3, 4), (1, 2), {}), ((0,), (2,), {})),
    "repeat": shaped(
        np.repeat, ((3, 4), 2, {}), ((3, 4), 2, {"axis": -1}), ((3, 4), np.array([1, 0, 2]), {"axis": 0}), ((0,), 3, {})
    ),
    "concat": joined(np.concatenate, True),
    "stack": joined(np.stack, False),
    "unstack": shaped(unstacked, ((5,), {}), ((2, 3, 4), {"axis": -1}), ((3, 0), {})),
    "split": shaped(
        cut,
        *(((6,), 3, {}), ((3, 4), 2, {"axis": 1}), ((3, 4), [1, 3], -1, {}), ((5,), [2, 9], {}), ((5,), [], {})),
        *(((3, 4), 1, {}), ((0, 2), 2, {}), ((5,), [2, 2], {})),
    ),
    # indexing
    "take": takes,
    "take_along_axis": takes_along,
    "one_hot": hots,
    "sort": sorts(np.sort, ""),
    "argsort": sorts(np.argsort, "int64"),
    "searchsorted": searches,
    "nonzero": nonzeros,
    "unique_values": shaped(np.unique, ((5,), {}), ((2, 3, 4), {}), ((0,), {}), kinds="fi"),
    # linear algebra
    "matmul": products,
    "matrix_transpose": shaped(lambda x: np.swapaxes(x, -1, -2), ((3, 4), {}), ((2, 3, 4), {}), ((0, 2), {})),
    "tensordot": contractions,
    "vecdot": vecdots,
    "einsum": einsums,
    # activations
    "sigmoid": unary(sigmoid, special=(40.0, -40.0, math.inf, -math.inf)),
    "relu": unary(lambda x: np.maximum(x, 0), rule="same", special=(math.inf, -math.inf)),
    "elu": unary(lambda x: np.where(x > 0, x, np.expm1(x))),
    "gelu": gelus,
    "silu": unary(lambda x: x * sigmoid(x)),
    "softplus": unary(softplus, special=(25.0, -25.0, 100.0, -100.0)),
    "softmax": along(softmax, "fi"),
    "log_softmax": along(lambda x, axis: np.log(softmax(x, axis)), "fi"),
    # parameters
    "parameter": given(*(((draw((2, 3), name),), {"trainable": name != "int64"}, draw((2, 3), name), name) for name in ("float32", "float64", "int64"))),
    "is_parameter": given(((draw((2,), "float32"),), {}, False, None), ((1.0,), {}, False, None)),
    "assign": given(),  # answers nothing: test_parameters.py
}
