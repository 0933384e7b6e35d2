"""What kind of numbers a TensorFlow tensor holds."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt.dtypes import finfo, iinfo, isdtype, result_type
from tbptt.types import DType
from tbptt_tensorflow.tensors._promotion import NAMES, cast, native, tensor

__all__ = ["astype", "dtype", "finfo", "iinfo", "isdtype", "result_type"]


def dtype(x: Any) -> DType:
    return NAMES[tensor(x).dtype]


def astype(x: Any, dtype: Any, *, copy: bool = False) -> Any:
    x = tensor(x)
    answer = cast(x, native(dtype))
    return tf.identity(x) if copy and answer is x else answer
