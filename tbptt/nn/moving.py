"""Other devices and dtypes for a module: behind `tbptt.nn.Module.to`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tbptt import dtypes
from tbptt.backends import find_device, owner_of
from tbptt.errors import ConfigurationError, ModuleProtocolError
from tbptt.ownership import unwrap_parameter
from tbptt.protocols import Backend
from tbptt.types import Parameter

Converted = dict[int, tuple[Parameter, Parameter]]
"""Old and new parameter, by the identity of the old one; kept here, an old one keeps its identity."""


def move(
    attributes: Iterable[dict[str, Any]],
    held: Iterable[Any],
    natives: Iterable[tuple[Any, Backend]],
    device: Any,
    dtype: Any,
) -> None:
    """Convert native modules as a whole, and the parameters among what is `held` in modules' `attributes`.

    Raises:
        DeviceError, ConfigurationError, ModuleProtocolError: before anything has changed.
    """
    name = None if dtype is None else dtypes.name_of(dtype)
    if name is not None and name not in dtypes.FLOATS:
        raise ConfigurationError(
            f"A module's parameters can be converted to one of {', '.join(dtypes.FLOATS)}; received {name!r}. "
            f"Parameters of integers keep their dtype."
        )

    def place(owner: Backend) -> str | None:
        return None if device is None else find_device(str(device).lower(), owner)

    for native, owner in natives:
        owner.interop.move(native, name, place(owner))
    converted: Converted = {}
    for value in held:
        old = unwrap_parameter(value)
        found = owner_of(old)
        if found is None or not found.tensors.is_parameter(old) or id(old) in converted:
            continue
        kind = name if found.tensors.dtype(old) in dtypes.FLOATS else None
        new = found.tensors.convert_parameter(old, kind, place(found))
        if new is not old and old is not value:
            raise ModuleProtocolError(
                f"A {type(value).__module__}.{type(value).__name__} cannot be converted to {name or device}: it keeps the "
                f"dtype and the device it was made with. Make it there to begin with, or hold a tbptt.nn.Parameter."
            )
        converted[id(old)] = old, new
    for each in attributes:
        each.update({key: replaced(value, converted) for key, value in each.items()})


def replaced(value: Any, converted: Converted) -> Any:
    """With new parameters for old; in lists and dicts in place, as others may hold them; a tuple anew if it must."""
    if isinstance(value, list | dict):
        for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
            new = replaced(item, converted)
            if new is not item:
                value[key] = new
    elif isinstance(value, tuple):
        items = [replaced(item, converted) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            return getattr(type(value), "_make", tuple)(items)  # namedtuples have one
    elif id(value) in converted:
        return converted[id(value)][1]
    return value
