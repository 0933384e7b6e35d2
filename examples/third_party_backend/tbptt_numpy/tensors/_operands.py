"""How arguments become operands: dtypes by name, numbers beside tensors, several dtypes into one (`tbptt.dtypes`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt import backends, dtypes
from tbptt.errors import ConfigurationError
from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensor import Tensor

convert = primitive(lambda x, dtype: x.astype(dtype), lambda g, y, x, dtype: g)


def native(dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype for a name or a dtype of anybody's."""
    name = dtypes.name_of(dtype)
    if name == "bfloat16":
        raise ConfigurationError("NumPy has no bfloat16. Use float16, float32 or float64 on this backend.")
    return np.dtype(name)


def check_device(device: str | None) -> None:
    """Raise DeviceError unless it is one that there is; None is the current one."""
    from tbptt_numpy import backend  # which holds this module

    if device is None:
        backends.current_device(backend)
    else:
        backends.find_device(device, backend)


def tensor(x: Any) -> Tensor:
    """The argument as a tensor."""
    from tbptt_numpy.tensors.creation import asarray  # that module stands on this one

    return x if isinstance(x, Tensor) else asarray(x)


def real(x: Any) -> Tensor:
    """The argument as a floating tensor: integers and bools in the default float dtype."""
    held = tensor(x)
    return held if held.dtype.kind == "f" else Tensor(held.value.astype(native(dtypes.default_dtype())))


def integer(x: Any) -> Any:
    """The argument as an array of indices."""
    return tensor(x).value.astype("int64", copy=False)


def promote(*operands: Any) -> list[Tensor]:
    """Tensors of one dtype. A number takes the tensors' dtype unless its kind is higher."""
    held = [x if dtypes.number(x) is not None else tensor(x) for x in operands]
    kind = native(dtypes.result_type(*held))
    return [_as(x, kind) for x in held]


def promote_real(*operands: Any) -> list[Tensor]:
    """Floating tensors of one dtype."""
    return [real(x) for x in promote(*operands)]


def _as(x: Any, kind: np.dtype[Any]) -> Tensor:
    if not isinstance(x, Tensor):
        return Tensor(np.asarray(x).astype(kind))  # one out of range wraps around
    return x if x.dtype == kind else convert(x, dtype=kind)
