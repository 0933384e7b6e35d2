"""A plain Python object that finds its parameters and children by attribute, in the order they were set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from tbptt import backends, dtypes
from tbptt.nn import freezing, moving, weights
from tbptt.ownership import owner_of_module, unwrap_parameter
from tbptt.protocols import Backend
from tbptt.types import Array, Parameter

Self = TypeVar("Self", bound="Module")

watchers: list[Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]] = []
"""Told of every call of a module of ours: the module, its arguments, its answer. Empty unless somebody looks (`tbptt.summary`)."""


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
    frozen_names: tuple[str, ...] = ()
    """Of parameters of this module, and of its native children, that `freeze` stopped."""

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes. Override it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define it to call the module.")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not watchers:
            return self.forward(*inputs, **options)
        answer = self.forward(*inputs, **options)
        for watcher in watchers:
            watcher(self, inputs, options, answer)
        return answer

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
        return [(name, value) for name, value, trained in self._tensors() if trained]

    def parameters(self) -> list[Parameter]:
        """Every trainable parameter once, in definition order."""
        return [value for _, value in self.named_parameters()]

    def named_buffers(self) -> list[tuple[str, Parameter]]:
        """What belongs into a weight file and is not trained."""
        return [(name, value) for name, value, trained in self._tensors() if not trained]

    def train(self: Self, mode: bool = True) -> Self:
        """Switch to training mode (dropout drops), everything below included."""
        for module in self.modules():
            if isinstance(module, Module):
                module.training = mode
            else:
                _native_owner(module).interop.set_training(module, mode)
        return self

    def eval(self: Self) -> Self:
        """Switch to evaluation mode."""
        return self.train(False)

    def freeze(self: Self) -> Self:
        """Stop training every parameter, everything below included, and switch to evaluation mode.

        Frozen parameters are left out by `parameters`, are among `named_buffers`, and stay in weight files. Before optimizers are
        made: one made earlier still has them, and finds no gradients.

        >>> from tbptt import nn
        >>> layer = nn.Linear(2, 3).freeze()
        >>> len(layer.parameters()), len(layer.named_buffers()), layer.training
        (0, 2, False)
        """
        freezing.freeze(self._holders())
        return self.eval()

    def unfreeze(self: Self) -> Self:
        """Train again what `freeze` stopped (what was made untrainable stays so), and switch to training mode."""
        freezing.unfreeze(self._holders())
        return self.train()

    def to(self: Self, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters and buffers to a device, and convert those of floats to a dtype; None leaves either as it is.

        Before optimizers are made: where the engine cannot change a parameter in place (`tf.Variable`), the module gets new ones.
        Shared parameters stay shared. Found is what `named_parameters` and `named_buffers` find: parameters in attributes, and in
        lists, tuples and dicts there.

        >>> from tbptt import nn, ops
        >>> layer = nn.Linear(2, 3).to("cpu", "float64")
        >>> ops.dtype(layer.weight)
        'float64'

        Raises:
            DeviceError: if there is no such device here.
            ConfigurationError: if the dtype is no floating one.
            ModuleProtocolError: if something of the engine's own cannot be moved (Keras); nothing has changed then.
        """
        natives = [module for module in self.modules() if not isinstance(module, Module)]
        ours = [vars(module) for module in self.modules() if isinstance(module, Module)]
        held = [value for attributes in ours for _, value in _entries(attributes)]
        moving.move(ours, held, [(native, _native_owner(native)) for native in natives], device, dtype)
        return self

    def float(self: Self) -> Self:
        """`to` dtype ``"float32"``."""
        return self.to(dtype="float32")

    def double(self: Self) -> Self:
        """`to` dtype ``"float64"``."""
        return self.to(dtype="float64")

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

    def to_torch(self) -> Any:
        """A `torch.nn.Module` that computes what this module does, whichever engine this one is on.

        Its parameters are copies, under the names they have here: training one of the two leaves the other as it is. It is called
        as this module is, ``outputs, state = view(inputs, state)``, with torch's tensors, and starts in the mode this one is in.
        It works with `torch.optim`, ``state_dict``, `torch.export` and `torch.onnx.export`.

        >>> import tbptt
        >>> view = tbptt.nn.LSTM(3, 5).to_torch()
        >>> list(view.state_dict())
        ['weight_ih_l0', 'weight_hh_l0', 'bias_l0']

        Raises:
            BackendNotInstalledError: if torch is not installed.
            ModuleProtocolError: if part of the module is another engine's own.
        """
        return _view(self, "torch")

    def to_tensorflow(self) -> Any:
        """A `tf.Module` that computes what this module does, whichever engine this one is on.

        As `to_torch`: a copy, called as this module is. Its variables are found under the names they have here, as attributes
        (``view.lstm.bias_l0``) and in ``variable.name``. ``view.signature(inputs)`` makes the function that `tf.saved_model.save`
        takes as ``signatures=``, whose inputs and outputs include the state.

        Raises:
            BackendNotInstalledError: if TensorFlow is not installed.
            ModuleProtocolError: if part of the module is another engine's own.
        """
        return _view(self, "tensorflow")

    def export(self, path: str | os.PathLike[str], inputs: Any = None, state: Any = None) -> None:
        """Write the module, in evaluation mode, as a program that runs without this library. `tbptt.export` has the formats.

        Args:
            path: its suffix chooses the format: ``model.onnx`` (ONNX), ``model.pt2`` (`torch.export`), a folder, which has none
                (SavedModel). It appears whole or not at all; folders above it are made.
            inputs: an example of what ``forward`` takes before the state, a tuple where that is several things. Its values do
                not matter. None: the module's ``example_input_array``, or what it was called with first in training.
            state: an example of the state. None: what ``forward`` makes of no state.

        Raises:
            ConfigurationError: for a path that names no format, or if there is no example of the inputs.
            BackendNotInstalledError: if what the format needs is not installed.
            ModuleProtocolError: if the module cannot be exported.
        """
        from tbptt.export import export  # here: nothing else needs it

        export(self, path, inputs, state)

    def _named_tensors(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value, _ in self._tensors()]

    def _tensors(self) -> list[tuple[str, Any, bool]]:
        """Every parameter and buffer once: name, tensor, and whether it is trained."""
        found: list[tuple[str, Any, bool]] = []
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value, trained in own_tensors(module):
                if id(value) not in seen:
                    seen.add(id(value))
                    found.append((f"{prefix}.{name}" if prefix else name, value, trained))
        return found

    def _holders(self) -> list[tuple[Any, dict[str, Any]]]:
        """Every module of ours with the tensors it and its native children hold, by names of its own."""
        holders: list[tuple[Any, dict[str, Any]]] = []
        for module in self.modules():
            if isinstance(module, Module):
                held = {name: value for name, value, _ in own_tensors(module)}
                for child_name, child in module.named_children():
                    if not isinstance(child, Module):
                        held |= {f"{child_name}.{name}": value for name, value, _ in own_tensors(child)}
                holders.append((module, held))
        return holders

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ")" if not lines else head + "\n" + "\n".join(lines) + "\n)"

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return ""


def _view(module: Module, engine: str) -> Any:
    from tbptt.nn import transplant  # here: it stands on this file

    return transplant.view(module, engine)


def _walk(module: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    yield prefix, module
    if isinstance(module, Module):
        for name, child in module.named_children():
            yield from _walk(child, f"{prefix}.{name}" if prefix else name, seen)


def own_tensors(module: Any) -> list[tuple[str, Any, bool]]:
    """The tensors held by this very module, by name, and whether each is trained.

    For a native one all of them, since it is asked as a whole.
    """
    if isinstance(module, Module):
        held = [(name, unwrap_parameter(value)) for name, value in _entries(vars(module))]
        return [(name, value, _is_trainable(value)) for name, value in held if _is_parameter(value)]
    interop = _native_owner(module).interop
    trained = [(name, value, True) for name, value in interop.named_parameters(module)]
    return trained + [(name, value, False) for name, value in interop.named_buffers(module)]


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
    return isinstance(value, Module) or owner_of_module(value) is not None


def _native_owner(value: Any) -> Backend:
    owner = owner_of_module(value)
    assert owner is not None, value
    return owner
