"""Dtypes by name: the default float, how two dtypes become one, and what is known about each. No engine in here.

A dtype argument may be a name (``"float32"``), a NumPy dtype or an engine's own; `name_of` reads them all.
Within a kind dtypes promote as in the Python array API standard. Between kinds it is torch's rule: bool < integer <
float, and an integer beside a float takes the float's dtype whatever the widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np

from tbptt.errors import ConfigurationError
from tbptt.types import DType

FLOATS = ("float16", "bfloat16", "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
NAMES = ("bool", *SIGNED, *UNSIGNED, *FLOATS)

_KINDS = {
    "bool": ("bool",),
    "signed integer": SIGNED,
    "unsigned integer": UNSIGNED,
    "integral": SIGNED + UNSIGNED,
    "real floating": FLOATS,
    "complex floating": (),
    "numeric": SIGNED + UNSIGNED + FLOATS,
}

_default: DType = "float32"


def default_dtype() -> DType:
    """The dtype that Python floats, and functions that must answer in floats, take."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Choose the default float dtype, from here on.

    Raises:
        ConfigurationError: if it is no floating dtype; the default is then as before.
    """
    global _default
    name = name_of(dtype)
    if name not in FLOATS:
        raise ConfigurationError(
            f"The default dtype must be a floating one, and {name!r} is not. Choose one of {', '.join(FLOATS)}."
        )
    _default = name


@contextmanager
def dtype_scope(dtype: Any) -> Iterator[None]:
    """The default float dtype inside a ``with`` block.

    >>> from tbptt.dtypes import default_dtype, dtype_scope
    >>> with dtype_scope("float64"):
    ...     default_dtype()
    'float64'
    """
    before = _default
    set_default_dtype(dtype)
    try:
        yield
    finally:
        set_default_dtype(before)


def name_of(dtype: Any) -> DType:
    """The name of a dtype given as a name, a NumPy dtype, a Python type, or an engine's own dtype.

    Raises:
        ConfigurationError: if it is none that the array API knows (complex dtypes are left out here).
    """
    if isinstance(dtype, str) and dtype in NAMES:
        return dtype
    if dtype is float:
        return _default
    # NumPy's and TensorFlow's dtypes have a name; torch's prints as 'torch.float32'; np.float32 itself is a class
    name = np.dtype(dtype).name if isinstance(dtype, type) else getattr(dtype, "name", None)
    if name is None:
        name = str(dtype).rpartition(".")[2]
    if name not in NAMES:
        raise ConfigurationError(f"There is no dtype {dtype!r}. Use one of {', '.join(NAMES)}.")
    return str(name)


@cache
def promote(first: DType, second: DType) -> DType:
    """The dtype of an operation on tensors of these two.

    >>> from tbptt.dtypes import promote
    >>> promote("float32", "float64"), promote("int64", "float32"), promote("uint8", "int8")
    ('float64', 'float32', 'int16')

    Raises:
        ConfigurationError: for ``uint64`` beside a signed integer, which no integer dtype holds.
    """
    if first == second:
        return first
    for mine, other in ((first, second), (second, first)):
        if mine in FLOATS and other not in FLOATS:
            return mine
    if "bfloat16" in (first, second):  # NumPy does not know it; only float32 and up hold both it and float16
        other = second if first == "bfloat16" else first
        return "float32" if other == "float16" else other
    name = np.result_type(first, second).name
    if name in FLOATS and first not in FLOATS:
        raise ConfigurationError(
            f"No integer dtype holds both {first} and {second}. Convert one of them with astype first."
        )
    return str(name)


def promote_names(names: Iterable[DType]) -> DType:
    """The dtype of an operation on tensors of all these. Kinds first, so that the order does not matter."""
    names = list(names)
    floats = [name for name in names if name in FLOATS]
    return reduce(promote, floats or names)


def promote_scalar(dtype: DType, value: bool | int | float) -> DType:
    """The dtype of an operation on a tensor and a Python number: the tensor's, unless the number's kind is above it."""
    if isinstance(value, float):
        return dtype if dtype in FLOATS else _default
    if isinstance(value, int) and not isinstance(value, bool) and dtype == "bool":
        return "int64"
    return dtype


def scalar_dtype(value: bool | int | float) -> DType:
    """The dtype a Python number takes where no tensor is beside it."""
    if isinstance(value, bool):
        return "bool"
    return "int64" if isinstance(value, int) else _default


def floating(dtype: DType) -> DType:
    """The dtype in which a function of real numbers answers: a float's own, else the default float."""
    return dtype if dtype in FLOATS else _default


def accumulating(dtype: DType) -> DType:
    """The dtype in which sums and products are taken: a float's own, else int64 (uint64 for uint64)."""
    return dtype if dtype in FLOATS or dtype == "uint64" else "int64"


def is_kind(dtype: DType, kind: Any) -> bool:
    """Whether the dtype is of that kind (the array API's words), is that dtype, or is one of a tuple of such.

    Raises:
        ConfigurationError: if the kind is neither a kind nor a dtype.
    """
    if isinstance(kind, tuple):
        return any(is_kind(dtype, one) for one in kind)
    if isinstance(kind, str) and kind in _KINDS:
        return dtype in _KINDS[kind]
    return dtype == name_of(kind)


class FloatInfo(NamedTuple):
    """Limits of a floating dtype, with the array API's names."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IntegerInfo(NamedTuple):
    """Limits of an integer dtype, with the array API's names."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(type: Any) -> FloatInfo:
    """Limits of a floating dtype, or of a tensor's."""
    dtype = _name_of_any(type)
    if dtype == "bfloat16":  # 8 bits of exponent as float32, 7 of fraction
        largest = (2 - 2.0**-7) * 2.0**127
        return FloatInfo(16, 2.0**-7, largest, -largest, 2.0**-126, dtype)
    info = np.finfo(dtype)
    return FloatInfo(info.bits, float(info.eps), float(info.max), float(info.min), float(info.smallest_normal), dtype)


def iinfo(type: Any) -> IntegerInfo:
    """Limits of an integer dtype, or of a tensor's."""
    dtype = _name_of_any(type)
    info = np.iinfo(dtype)
    return IntegerInfo(info.bits, int(info.max), int(info.min), dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype, in whatever form, is of a kind (`is_kind`)."""
    return is_kind(name_of(dtype), kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that an operation on all of these (tensors, dtypes, numbers) answers in."""
    values = [number(x) for x in arrays_and_dtypes]
    names = [_name_of_any(x) for x, value in zip(arrays_and_dtypes, values, strict=True) if value is None]
    numbers = [value for value in values if value is not None]
    result = promote_names(names or [scalar_dtype(numbers[0])])
    for value in numbers:
        result = promote_scalar(result, value)
    return result


def number(x: Any) -> bool | int | float | None:
    """The argument as a Python number, if it is a Python or NumPy one."""
    if isinstance(x, bool | int | float):
        return x
    return x.item() if isinstance(x, np.generic) else None


def _name_of_any(x: Any) -> DType:
    return name_of(x.dtype if hasattr(x, "shape") else x)
