"""A plain Python object that finds its parameters and children by attribute, in the order they were set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from tbptt import backends, dtypes
from tbptt.nn import weights
from tbptt.protocols import Backend
from tbptt.types import Array, Parameter

Self = TypeVar("Self", bound="Module")


def parameter(value: Array, trainable: bool = True) -> Parameter:
    """The engine's own parameter (`torch.nn.Parameter`, `tf.Variable`) holding a NumPy array, on the current device.

    Floating values take the default dtype (`tbptt.set_default_dtype`).

    >>> import numpy as np
    >>> from tbptt import nn
    >>> tuple(nn.Parameter(np.zeros((2, 3))).shape)
    (2, 3)
    """
    backend = backends.current_backend()
    array = np.asarray(value)
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(dtypes.default_dtype())
    return backend.tensors.parameter(array, trainable=trainable, device=backends.current_device(backend))


class Module:
    """Base of layers and models: parameters, children, training mode, weight files.

    Attributes hold the structure: parameters, modules (ours or the engine's native ones), and lists, tuples and dicts of these are
    found by attribute, in the order they were first set. ``forward`` computes; calling the module calls it.

    >>> from tbptt import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         self.first, self.second = nn.Linear(2, 3), nn.Linear(3, 1)
    ...     def forward(self, x):
    ...         return self.second(self.first(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['first.weight', 'first.bias', 'second.weight', 'second.bias']
    """

    training: bool = True

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define it to call the module.")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def named_children(self) -> list[tuple[str, Any]]:
        """Modules held directly, ours and native ones."""
        return [(name, value) for name, value in _entries(vars(self)) if _is_module(value)]

    def children(self) -> list[Any]:
        """Modules held directly, without their names."""
        return [child for _, child in self.named_children()]

    def named_modules(self) -> list[tuple[str, Any]]:
        """The module itself under the name ``""``, and every module below it, each once, parents first."""
        return list(_walk(self, "", set()))

    def modules(self) -> list[Any]:
        """The module itself and every module below it."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self) -> list[tuple[str, Parameter]]:
        """Every trainable parameter once, by dotted name, in definition order; those of native children included."""
        return [(name, value) for name, value in self._named_tensors() if _is_trainable(value)]

    def parameters(self) -> list[Parameter]:
        """Every trainable parameter once, in definition order."""
        return [value for _, value in self.named_parameters()]

    def named_buffers(self) -> list[tuple[str, Parameter]]:
        """What belongs into a weight file and is not trained."""
        return [(name, value) for name, value in self._named_tensors() if not _is_trainable(value)]

    def train(self: Self, mode: bool = True) -> Self:
        """Switch to training mode (dropout drops), everything below included."""
        for module in self.modules():
            if isinstance(module, Module):
                module.training = mode
            else:
                self.backend.interop.set_training(module, mode)
        return self

    def eval(self: Self) -> Self:
        """Switch to evaluation mode."""
        return self.train(False)

    @property
    def backend(self) -> Backend:
        """The engine of the module's parameters; the current one while it has none."""
        for _, value in self._named_tensors():
            owner = backends.owner_of(value)
            if owner is not None:
                return owner
        return backends.current_backend()

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write every parameter and buffer as safetensors, under names that no engine has a part in."""
        weights.save(self._named_tensors(), path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Read what `save_weights` wrote, on whichever engine.

        Raises:
            WeightsError: listing everything missing, unexpected or of another shape; nothing is loaded then.
        """
        weights.load(self._named_tensors(), path)

    def _named_tensors(self) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in _own_tensors(module):
                if id(value) not in seen:
                    seen.add(id(value))
                    found.append((f"{prefix}.{name}" if prefix else name, value))
        return found

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ")" if not lines else head + "\n" + "\n".join(lines) + "\n)"

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return ""


def _walk(module: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield prefix, module
    if isinstance(module, Module):
        for name, child in module.named_children():
            yield from _walk(child, f"{prefix}.{name}" if prefix else name, seen)


def _own_tensors(module: Any) -> list[tuple[str, Any]]:
    """The tensors held by this very module; for a native one all of them, since it is asked as a whole."""
    if isinstance(module, Module):
        return [(name, value) for name, value in _entries(vars(module)) if _is_parameter(value)]
    interop = _native_owner(module).interop
    return [*interop.named_parameters(module), *interop.named_buffers(module)]


def _entries(attributes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Attributes, and the items of lists, tuples and dicts among them, under dotted names."""
    for name, value in attributes.items():
        if isinstance(value, list | tuple):
            yield from _entries({f"{name}.{index}": item for index, item in enumerate(value)})
        elif isinstance(value, dict):
            yield from _entries({f"{name}.{key}": item for key, item in value.items()})
        else:
            yield name, value


def _is_parameter(value: Any) -> bool:
    owner = backends.owner_of(value)
    return owner is not None and owner.tensors.is_parameter(value)


def _is_trainable(value: Any) -> bool:
    return backends.backend_of(value).interop.is_trainable(value)


def _is_module(value: Any) -> bool:
    return isinstance(value, Module) or _native_owner_or_none(value) is not None


def _native_owner_or_none(value: Any) -> Backend | None:
    if value is None or isinstance(value, str | int | float | np.ndarray):
        return None
    return next((backend for backend in backends.loaded() if backend.interop.is_native_module(value)), None)


def _native_owner(value: Any) -> Backend:
    owner = _native_owner_or_none(value)
    assert owner is not None, value
    return owner
