"""What kind of numbers a TensorFlow tensor holds."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

import tbptt.dtypes
from tbptt.dtypes import FloatInfo, IntegerInfo
from tbptt.types import DType
from tbptt_tensorflow.tensors._promotion import NAMES, cast, native, number, tensor


def dtype(x: Any) -> DType:
    return NAMES[tensor(x).dtype]


def astype(x: Any, dtype: Any, *, copy: bool = False) -> Any:
    x = tensor(x)
    answer = cast(x, native(dtype))
    return tf.identity(x) if copy and answer is x else answer


def isdtype(dtype: Any, kind: Any) -> bool:
    return tbptt.dtypes.is_kind(tbptt.dtypes.name_of(dtype), kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    values = [number(x) for x in arrays_and_dtypes]
    names = [_name(x) for x, value in zip(arrays_and_dtypes, values, strict=True) if value is None]
    numbers = [value for value in values if value is not None]
    result = tbptt.dtypes.promote_names(names or [tbptt.dtypes.scalar_dtype(numbers[0])])
    for value in numbers:
        result = tbptt.dtypes.promote_scalar(result, value)
    return result


def finfo(type: Any) -> FloatInfo:
    return tbptt.dtypes.float_info(_name(type))


def iinfo(type: Any) -> IntegerInfo:
    return tbptt.dtypes.integer_info(_name(type))


def _name(x: Any) -> DType:
    return tbptt.dtypes.name_of(x.dtype if hasattr(x, "shape") else x)
