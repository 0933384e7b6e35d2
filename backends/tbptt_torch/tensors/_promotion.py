"""How arguments become operands: dtypes by name, numbers beside tensors, two dtypes into one (`tbptt.dtypes`)."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.utils._device
from torch import Tensor

from tbptt import dtypes
from tbptt.backends import find_device
from tbptt.types import DType

NATIVE: dict[DType, torch.dtype] = {name: getattr(torch, name) for name in dtypes.NAMES}
NAMES: dict[torch.dtype, DType] = {native: name for name, native in NATIVE.items()}

_devices: dict[str, torch.device | None] = {}  # by what TBPTT_DEVICE says; None: the engine's own choice


def native(dtype: Any) -> torch.dtype:
    """Torch's dtype for a name, a NumPy dtype or torch's own."""
    return dtype if isinstance(dtype, torch.dtype) else NATIVE[dtypes.name_of(dtype)]


def native_device(device: str | None) -> torch.device | None:
    """Torch's device for a name. None is for torch to decide: a scope, or the CPU."""
    if device is not None:
        return torch.device(device.replace("gpu", "cuda"))
    if torch.utils._device.CURRENT_DEVICE is not None:  # inside `with torch.device(...)`
        return None
    asked = os.environ.get("TBPTT_DEVICE", "").strip().lower()
    if asked not in _devices:  # a dict rather than functools.cache: torch.compile reads one and enters the other
        from tbptt_torch import backend  # which holds this module

        name = find_device(asked, backend)
        _devices[asked] = None if name == "cpu" else torch.device(name.replace("gpu", "cuda"))
    return _devices[asked]


def tensor(x: Any) -> Tensor:
    """The argument as a tensor."""
    from tbptt_torch.tensors.creation import asarray  # that module stands on this one

    return x if isinstance(x, Tensor) else asarray(x)


def real(x: Any) -> Tensor:
    """The argument as a floating tensor: integers and bools in the default float dtype."""
    held = tensor(x)
    return held if held.dtype.is_floating_point else held.to(NATIVE[dtypes.default_dtype()])


def boolean(x: Any) -> Tensor:
    """The argument as ``x != 0``."""
    held = tensor(x)
    return held if held.dtype is torch.bool else held != 0


def integer(x: Any) -> Tensor:
    """The argument as indices, which torch takes as int32 or int64."""
    held = tensor(x)
    return held if held.dtype is torch.int64 or held.dtype is torch.int32 else held.to(torch.int64)


def promote(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two operands of one dtype, at least one a tensor; the other may stay a number, which torch's operators read."""
    if isinstance(x1, Tensor):
        if isinstance(x2, Tensor):
            return (x1, x2) if x1.dtype is x2.dtype else _common(x1, x2)
        if isinstance(x2, float) and x1.dtype.is_floating_point:
            return x1, x2
    value1, value2 = dtypes.number(x1), dtypes.number(x2)
    if value2 is not None:
        x1 = tensor(x1)
        x1 = x1.to(NATIVE[dtypes.promote_scalar(NAMES[x1.dtype], value2)])
        return x1, _plain(value2, x1)
    if value1 is not None:
        x2 = tensor(x2)
        x2 = x2.to(NATIVE[dtypes.promote_scalar(NAMES[x2.dtype], value1)])
        return _plain(value1, x2), x2
    if isinstance(x1, Tensor):
        return _common(x1, tensor(x2).to(x1.device))
    x2 = tensor(x2)
    return _common(tensor(x1).to(x2.device), x2)


def promote_tensors(x1: Any, x2: Any) -> tuple[Tensor, Tensor]:
    """Two tensors of one dtype."""
    x1, x2 = promote(x1, x2)
    if not isinstance(x2, Tensor):
        x2 = torch.full((), x2, dtype=x1.dtype, device=x1.device)
    elif not isinstance(x1, Tensor):
        x1 = torch.full((), x1, dtype=x2.dtype, device=x2.device)
    return x1, x2


def promote_all(arrays: Any) -> list[Tensor]:
    """Tensors of one dtype."""
    tensors = [tensor(x) for x in arrays]
    if all(x.dtype is tensors[0].dtype for x in tensors):
        return tensors
    name = dtypes.promote_names([NAMES[x.dtype] for x in tensors])
    return [x.to(NATIVE[name]) for x in tensors]


def _plain(value: bool | int | float, x: Tensor) -> bool | int | float:
    # torch subtracts no bools, not even from numbers
    return int(value) if isinstance(value, bool) and x.dtype is not torch.bool else value


def _common(x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    # torch alone would let a tensor without axes give way to one with axes, whatever their dtypes
    common = NATIVE[dtypes.promote(NAMES[x1.dtype], NAMES[x2.dtype])]
    return x1.to(common), x2.to(common)
