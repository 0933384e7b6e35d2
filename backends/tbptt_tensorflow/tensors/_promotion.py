"""How arguments become operands: dtypes by name, numbers beside tensors, two dtypes into one (`tbptt.dtypes`)."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from tbptt import dtypes
from tbptt.backends import find_device
from tbptt.types import DType

NATIVE: dict[DType, Any] = {name: getattr(tf, name) for name in dtypes.NAMES}
NAMES: dict[Any, DType] = {native: name for name, native in NATIVE.items()}

Tensor = tf.Tensor
Variable = tf.Variable

_devices: dict[str, str | None] = {}  # by what TBPTT_DEVICE says; None: the engine's own choice


def native(dtype: Any) -> Any:
    """TensorFlow's dtype for a name, a NumPy dtype or TensorFlow's own."""
    return dtype if isinstance(dtype, tf.DType) else NATIVE[dtypes.name_of(dtype)]


def on_device(device: str | None) -> AbstractContextManager[Any]:
    """A scope of that device. None is for TensorFlow to decide: a scope around, or the first GPU."""
    if device is None:
        asked = os.environ.get("TBPTT_DEVICE", "").strip().lower()
        if asked not in _devices:
            from tbptt_tensorflow import backend  # which holds this module

            name = find_device(asked, backend)
            _devices[asked] = None if name == find_device("", backend) else name
        device = _devices[asked]
    return nullcontext() if device is None else tf.device("CPU:0" if device == "cpu" else device.upper())


def tensor(x: Any) -> Any:
    """The argument as a tensor; a variable is read."""
    from tbptt_tensorflow.tensors.creation import asarray  # that module stands on this one

    if isinstance(x, Tensor):
        return x
    return tf.convert_to_tensor(x) if isinstance(x, Variable) else asarray(x)


def real(x: Any) -> Any:
    """The argument as a floating tensor: integers and bools in the default float dtype."""
    held = tensor(x)
    return held if held.dtype.is_floating else tf.cast(held, NATIVE[dtypes.default_dtype()])


def boolean(x: Any) -> Any:
    """The argument as ``x != 0``."""
    held = tensor(x)
    return held if held.dtype is tf.bool else tf.cast(held, tf.bool)


def integer(x: Any) -> Any:
    """The argument as indices, which TensorFlow takes as int32 or int64."""
    held = tensor(x)
    return held if held.dtype is tf.int64 or held.dtype is tf.int32 else tf.cast(held, tf.int64)


def promote(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two tensors of one dtype. TensorFlow itself promotes nothing."""
    if isinstance(x1, Tensor):
        if isinstance(x2, Tensor):
            return (x1, x2) if x1.dtype is x2.dtype else _common(x1, x2)
        if isinstance(x2, float) and x1.dtype.is_floating:
            return x1, tf.constant(x2, x1.dtype)
    value1, value2 = dtypes.number(x1), dtypes.number(x2)
    if value2 is not None:
        x1 = tensor(x1)
        common = NATIVE[dtypes.promote_scalar(NAMES[x1.dtype], value2)]
        return cast(x1, common), tf.constant(value2, common)
    if value1 is not None:
        x2 = tensor(x2)
        common = NATIVE[dtypes.promote_scalar(NAMES[x2.dtype], value1)]
        return tf.constant(value1, common), cast(x2, common)
    return _common(tensor(x1), tensor(x2))


def promote_all(arrays: Any) -> list[Any]:
    """Tensors of one dtype."""
    tensors = [tensor(x) for x in arrays]
    if all(x.dtype is tensors[0].dtype for x in tensors):
        return tensors
    name = dtypes.promote_names([NAMES[x.dtype] for x in tensors])
    return [cast(x, NATIVE[name]) for x in tensors]


def cast(x: Any, dtype: Any) -> Any:
    """`tf.cast`, which costs something even where nothing changes."""
    return x if x.dtype is dtype else tf.cast(x, dtype)


def _common(x1: Any, x2: Any) -> tuple[Any, Any]:
    common = NATIVE[dtypes.promote(NAMES[x1.dtype], NAMES[x2.dtype])]
    return cast(x1, common), cast(x2, common)
