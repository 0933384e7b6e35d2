"""Functions of tensors on either engine, named as in the Python array API.

    >>> import tbptt
    >>> from tbptt import ops
    >>> with tbptt.use_backend("torch"):
    ...     x = ops.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> ops.to_numpy(ops.sum(x, axis=0)).tolist()
    [4.0, 6.0]

A tensor is the engine's own. The first tensor among the arguments decides which engine works; creation functions, and
calls without any tensor, go to the current backend (`asarray` makes a tensor of the current engine out of another's).
What each function promises is written once, in `tbptt.protocols.tensors`; the functions here have those signatures
and docstrings, so ``help(ops.sum)`` shows them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from tbptt import backends
from tbptt.protocols.tensors import Tensors
from tbptt.protocols.tensors.creation import Creation

# creation functions make tensors of the current engine; these few in the same file follow the tensor they are given
_FOLLOW = {"to_numpy", "is_tensor", "zeros_like", "ones_like", "full_like", "tril", "triu"}
_CREATE = {name for name in vars(Creation) if not name.startswith("_")} - _FOLLOW | {"parameter"}


class _Dispatch:
    """One function for each promise of `Tensors`, which finds the engine and hands over."""

    def __init__(self) -> None:
        for name in dir(Tensors):
            if not name.startswith("_"):
                setattr(self, name, _create(name) if name in _CREATE else _follow(name))


def _follow(name: str) -> Callable[..., Any]:
    owners = backends.owners  # engine by type of tensor: nearly always the first argument's

    def function(*arguments: Any, **options: Any) -> Any:
        backend = owners.get(type(arguments[0])) if arguments else None
        if backend is None:
            backend = backends.backend_of(*arguments, *options.values())
        return getattr(backend.tensors, name)(*arguments, **options)

    return _dress(function, name)


def _create(name: str) -> Callable[..., Any]:
    def function(*arguments: Any, **options: Any) -> Any:
        return getattr(backends.current_backend().tensors, name)(*arguments, **options)

    return _dress(function, name)


def _dress(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    promise = getattr(Tensors, name)
    functools.update_wrapper(function, promise, assigned=("__doc__", "__annotations__"), updated=())
    del function.__wrapped__  # type: ignore[attr-defined]  # inspect would follow it past the signature set below
    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    signature = inspect.signature(promise)
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    )
    return function


_dispatch = cast(Tensors, _Dispatch())

asarray = _dispatch.asarray
from_dlpack = _dispatch.from_dlpack
to_numpy = _dispatch.to_numpy
is_tensor = _dispatch.is_tensor
zeros = _dispatch.zeros
ones = _dispatch.ones
empty = _dispatch.empty
full = _dispatch.full
zeros_like = _dispatch.zeros_like
ones_like = _dispatch.ones_like
full_like = _dispatch.full_like
arange = _dispatch.arange
linspace = _dispatch.linspace
eye = _dispatch.eye
tril = _dispatch.tril
triu = _dispatch.triu

dtype = _dispatch.dtype
astype = _dispatch.astype
isdtype = _dispatch.isdtype
result_type = _dispatch.result_type
finfo = _dispatch.finfo
iinfo = _dispatch.iinfo

add = _dispatch.add
subtract = _dispatch.subtract
multiply = _dispatch.multiply
divide = _dispatch.divide
floor_divide = _dispatch.floor_divide
remainder = _dispatch.remainder
pow = _dispatch.pow
negative = _dispatch.negative
positive = _dispatch.positive
abs = _dispatch.abs
sign = _dispatch.sign
square = _dispatch.square
reciprocal = _dispatch.reciprocal
maximum = _dispatch.maximum
minimum = _dispatch.minimum
clip = _dispatch.clip
round = _dispatch.round
floor = _dispatch.floor
ceil = _dispatch.ceil
trunc = _dispatch.trunc

sqrt = _dispatch.sqrt
rsqrt = _dispatch.rsqrt
exp = _dispatch.exp
expm1 = _dispatch.expm1
log = _dispatch.log
log1p = _dispatch.log1p
log2 = _dispatch.log2
log10 = _dispatch.log10
sin = _dispatch.sin
cos = _dispatch.cos
tan = _dispatch.tan
asin = _dispatch.asin
acos = _dispatch.acos
atan = _dispatch.atan
sinh = _dispatch.sinh
cosh = _dispatch.cosh
tanh = _dispatch.tanh
asinh = _dispatch.asinh
acosh = _dispatch.acosh
atanh = _dispatch.atanh
erf = _dispatch.erf
atan2 = _dispatch.atan2
hypot = _dispatch.hypot
logaddexp = _dispatch.logaddexp

equal = _dispatch.equal
not_equal = _dispatch.not_equal
less = _dispatch.less
less_equal = _dispatch.less_equal
greater = _dispatch.greater
greater_equal = _dispatch.greater_equal
isfinite = _dispatch.isfinite
isnan = _dispatch.isnan
isinf = _dispatch.isinf
logical_and = _dispatch.logical_and
logical_or = _dispatch.logical_or
logical_xor = _dispatch.logical_xor
logical_not = _dispatch.logical_not
where = _dispatch.where

bitwise_and = _dispatch.bitwise_and
bitwise_or = _dispatch.bitwise_or
bitwise_xor = _dispatch.bitwise_xor
bitwise_invert = _dispatch.bitwise_invert
bitwise_left_shift = _dispatch.bitwise_left_shift
bitwise_right_shift = _dispatch.bitwise_right_shift
logical_right_shift = _dispatch.logical_right_shift

sum = _dispatch.sum
prod = _dispatch.prod
mean = _dispatch.mean
var = _dispatch.var
std = _dispatch.std
max = _dispatch.max
min = _dispatch.min
any = _dispatch.any
all = _dispatch.all
count_nonzero = _dispatch.count_nonzero
argmax = _dispatch.argmax
argmin = _dispatch.argmin
logsumexp = _dispatch.logsumexp
cumulative_sum = _dispatch.cumulative_sum
cumulative_prod = _dispatch.cumulative_prod

shape = _dispatch.shape
size = _dispatch.size
reshape = _dispatch.reshape
permute_dims = _dispatch.permute_dims
moveaxis = _dispatch.moveaxis
expand_dims = _dispatch.expand_dims
squeeze = _dispatch.squeeze
broadcast_to = _dispatch.broadcast_to
flip = _dispatch.flip
roll = _dispatch.roll
tile = _dispatch.tile
repeat = _dispatch.repeat
concat = _dispatch.concat
stack = _dispatch.stack
unstack = _dispatch.unstack
split = _dispatch.split

take = _dispatch.take
take_along_axis = _dispatch.take_along_axis
one_hot = _dispatch.one_hot
sort = _dispatch.sort
argsort = _dispatch.argsort
searchsorted = _dispatch.searchsorted
nonzero = _dispatch.nonzero
unique_values = _dispatch.unique_values

matmul = _dispatch.matmul
matrix_transpose = _dispatch.matrix_transpose
tensordot = _dispatch.tensordot
vecdot = _dispatch.vecdot
einsum = _dispatch.einsum

sigmoid = _dispatch.sigmoid
relu = _dispatch.relu
elu = _dispatch.elu
gelu = _dispatch.gelu
silu = _dispatch.silu
softplus = _dispatch.softplus
softmax = _dispatch.softmax
log_softmax = _dispatch.log_softmax

parameter = _dispatch.parameter
is_parameter = _dispatch.is_parameter
assign = _dispatch.assign
convert_parameter = _dispatch.convert_parameter

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "asin",
    "asinh",
    "assign",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_to",
    "ceil",
    "clip",
    "concat",
    "convert_parameter",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "divide",
    "dtype",
    "einsum",
    "elu",
    "empty",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "finfo",
    "flip",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "gelu",
    "greater",
    "greater_equal",
    "hypot",
    "iinfo",
    "is_parameter",
    "is_tensor",
    "isdtype",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_right_shift",
    "logical_xor",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "nonzero",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "parameter",
    "permute_dims",
    "positive",
    "pow",
    "prod",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "roll",
    "round",
    "rsqrt",
    "searchsorted",
    "shape",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "size",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "to_numpy",
    "tril",
    "triu",
    "trunc",
    "unique_values",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
]
