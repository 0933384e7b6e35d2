"""What NumPy says about every function of `tbptt.protocols.Tensors`: one entry for each, which makes the calls to compare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tbptt.testing.conformance.tensor_calls import (
    SHAPES,
    Entry,
    along,
    binary,
    draw,
    given,
    place,
    reduction,
    shaped,
    unary,
)
from tbptt.testing.conformance.tensor_oracles import (
    arrays,
    choices,
    clippings,
    constants,
    contractions,
    conversions,
    cut,
    einsums,
    erf,
    fillings,
    floored,
    gelus,
    hots,
    identities,
    joined,
    likes,
    lines,
    logical_shift,
    logsumexp,
    mean,
    nonzeros,
    powers,
    products,
    ranges,
    running,
    searches,
    shift,
    sigmoid,
    softmax,
    softplus,
    sorts,
    takes,
    takes_along,
    unstacked,
    variance,
    vecdots,
)

KIND = "real floating"
MATRICES: tuple[Any, ...] = (
    ((3, 4), {}),
    ((3, 4), {"k": 1}),
    ((2, 4, 3), {"k": -1}),
    ((3, 3), {"k": 5}),
    ((3, 3), {"k": -5}),
    ((0, 3), {}),
)
NOT_FINITE = (math.nan, math.inf, -math.inf, 0.0, 1.0)

TABLE: dict[str, Entry] = {
    # creation
    "asarray": arrays,
    "from_dlpack": shaped(lambda x: x, ((3, 4), {}), ((0,), {}), kinds="fi"),
    "to_numpy": given(((draw((2, 3), "float64"),), {}, draw((2, 3), "float64"), None)),
    "is_tensor": given(
        ((draw((2,), "float64"),), {}, True, None), ((1.0,), {}, False, None), ((None,), {}, False, None)
    ),
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
    "dtype": given(
        *(((draw((2,), name),), {}, name, None) for name in ("float32", "float64", "int32", "int64", "bool"))
    ),
    "astype": conversions,
    "isdtype": given(
        (("float32", KIND), {}, True, None),
        (("int64", KIND), {}, False, None),
        ((np.dtype("uint8"), "unsigned integer"), {}, True, None),
        (("int8", ("bool", "signed integer")), {}, True, None),
        (("bool", "numeric"), {}, False, None),
        (("int64", "int64"), {}, True, None),
    ),
    "result_type": given(
        ((draw((2,), "float32"), draw((), "float64")), {}, "float64", None),
        ((draw((2,), "int32"), draw((), "int64")), {}, "int64", None),
        (("uint8", "int8", 3), {}, "int16", None),
        ((draw((2,), "float64"), 1), {}, "float64", None),
        (("int64", "float64"), {}, "float64", None),
    ),
    "finfo": given(
        (
            ("float32",),
            {},
            (32, 2.0**-23, (2 - 2.0**-23) * 2.0**127, -(2 - 2.0**-23) * 2.0**127, 2.0**-126, "float32"),
            None,
        ),
        (
            (draw((2,), "float64"),),
            {},
            (64, 2.0**-52, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**-1022, "float64"),
            None,
        ),
    ),
    "iinfo": given(
        (("int8",), {}, (8, 127, -128, "int8"), None),
        ((draw((2,), "int64"),), {}, (64, 2**63 - 1, -(2**63), "int64"), None),
    ),
    # arithmetic
    "add": binary(np.add),
    "subtract": binary(np.subtract),
    "multiply": binary(np.multiply),
    "divide": binary(np.divide, rule="real", second="positive"),
    "floor_divide": floored(np.floor_divide),
    "remainder": floored(np.remainder),
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
    "shape": given(*(((draw(shape, "float64"),), {}, shape, None) for shape in SHAPES)),
    "size": given(*(((draw(shape, "float64"),), {}, math.prod(shape), None) for shape in SHAPES)),
    "reshape": shaped(
        lambda x, shape, copy=None: np.reshape(x, shape),
        *(
            ((3, 4), (2, 6), {}),
            ((3, 4), (-1,), {"copy": True}),
            ((3, 4), -1, {}),
            ((), (1, 1), {}),
            ((0, 2), (2, 0), {}),
        ),
    ),
    "permute_dims": shaped(
        np.transpose, ((3, 4), (1, 0), {}), ((2, 3, 4), (-1, 0, 1), {}), ((), (), {}), ((0, 2), (1, 0), {})
    ),
    "moveaxis": shaped(np.moveaxis, ((3, 4), 0, -1, {}), ((2, 3, 4), (0, 1), (2, 0), {}), ((2, 3, 4), -1, 0, {})),
    "expand_dims": shaped(
        lambda x, axis=0: np.expand_dims(x, axis), ((), {}), ((3, 4), {"axis": -1}), ((3, 4), {"axis": 1}), ((0,), {})
    ),
    "squeeze": shaped(
        np.squeeze, ((1, 3, 1), 0, {}), ((1, 3, 1), (0, -1), {}), ((1, 3, 1), {"axis": -1}), ((1, 0), 0, {})
    ),
    "broadcast_to": shaped(np.broadcast_to, ((), 3, {}), ((3, 1), (2, 3, 4), {}), ((1,), (0,), {}), ((4,), (3, 4), {})),
    "flip": shaped(np.flip, ((), {}), ((5,), {}), ((2, 3, 4), {"axis": -1}), ((2, 3, 4), {"axis": (0, 1)}), ((0,), {})),
    "roll": shaped(
        np.roll,
        *(((5,), 2, {}), ((3, 4), -1, {}), ((3, 4), 1, {"axis": 0}), ((3, 4), (1, -2), {"axis": (0, -1)})),
        *(((3, 4), 2, {"axis": (0, 1)}), ((0,), 1, {})),
    ),
    "tile": shaped(
        np.tile, ((), (2,), {}), ((3,), (2, 2), {}), ((2, 3, 4), (2,), {}), ((3, 4), (1, 2), {}), ((0,), (2,), {})
    ),
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
    "parameter": given(
        *(
            ((draw((2, 3), name),), {"trainable": name != "int64"}, draw((2, 3), name), name)
            for name in ("float32", "float64", "int64")
        )
    ),
    "is_parameter": given(((draw((2,), "float64"),), {}, False, None), ((1.0,), {}, False, None)),
    "assign": given(),  # answers nothing: tensor_parameters
    "convert_parameter": given(),  # takes parameters: tensor_parameters
}
