"""What training asks of a model, whoever's it is: ours, the engine's own (`torch.nn.Module`, `keras.Model`, `tf.Module`), or a
plain object that has ``parameters()`` or keeps modules and parameters as attributes.
"""

from __future__ import annotations

from typing import Any

from tbptt import backends
from tbptt.nn.module import Module
from tbptt.ownership import owner_of_module, unwrap_parameter
from tbptt.protocols import Backend
from tbptt.types import Parameter


def named_parameters_of(model: Any) -> list[tuple[str, Parameter]]:
    """Every trainable parameter once, by dotted name, in the order the model has them.

    Asked are, in this order: our own module, the engine's module, ``named_parameters()``, ``parameters()`` (names are then
    numbers), the attributes. Parameters are the engine's plain ones (`tf.Variable`, also where Keras has a shell around it).

    >>> from tbptt import nn
    >>> from tbptt.nn import native
    >>> class Plain:
    ...     def __init__(self):
    ...         self.layers = [nn.Linear(2, 3, bias=False), nn.Linear(3, 1)]
    >>> [name for name, _ in native.named_parameters_of(Plain())]
    ['layers.0.weight', 'layers.1.weight', 'layers.1.bias']

    Raises:
        ModuleProtocolError: if an engine's module has not made its parameters yet.
    """
    owner = owner_of_module(model)
    if owner is not None:
        return owner.interop.named_parameters(model)
    given = _given(model)
    if given is not None:
        return [(name, value) for name, value in given if backends.backend_of(value).interop.is_trainable(value)]
    return _as_module(model).named_parameters()


def named_tensors_of(model: Any) -> list[tuple[str, Parameter]]:
    """What belongs into a weight file: the trainable parameters, then everything else that is kept (`named_parameters_of`).

    >>> from tbptt import nn
    >>> from tbptt.nn import native
    >>> [name for name, _ in native.named_tensors_of(nn.Linear(2, 3).freeze())]
    ['weight', 'bias']

    Raises:
        ModuleProtocolError: if an engine's module has not made its parameters yet.
    """
    owner = owner_of_module(model)
    if owner is not None:
        return [*owner.interop.named_parameters(model), *owner.interop.named_buffers(model)]
    given = _given(model)
    if given is not None:
        return given
    module = _as_module(model)
    return [*module.named_parameters(), *module.named_buffers()]


def parameters_of(model: Any) -> list[Parameter]:
    """Every trainable parameter once, without the names (`named_parameters_of`)."""
    return [value for _, value in named_parameters_of(model)]


def backend_of_model(model: Any) -> Backend:
    """The engine the model belongs to: whose kind of module it is, or whose its first parameter is; else the current one.

    >>> import tbptt
    >>> from tbptt.nn import native
    >>> native.backend_of_model(tbptt.nn.Linear(2, 3)).name == tbptt.current_backend().name
    True
    """
    if isinstance(model, Module):
        return model.backend
    return owner_of_module(model) or backends.backend_of([value for _, value in named_tensors_of(model)])


def set_mode(model: Any, training: bool) -> None:
    """Switch it, and everything in it, between training and evaluation.

    Keras' layers take ``training=`` with each call instead and keep no such state.
    """
    owner = owner_of_module(model)
    if owner is not None:
        owner.interop.set_training(model, training)
    else:
        _as_module(model).train(training)


def modules_of(model: Any) -> list[Any]:
    """The model and every module in it, parents first, what is in the engine's own modules included.

    >>> from tbptt import nn
    >>> from tbptt.nn import native
    >>> class Plain:
    ...     def __init__(self):
    ...         self.layers = [nn.Linear(2, 3), nn.Dropout(0.5)]
    >>> [type(module).__name__ for module in native.modules_of(Plain())]
    ['Plain', 'Linear', 'Dropout']
    """
    if owner_of_module(model) is not None:
        own: Any = getattr(model, "modules", None)  # torch's; Keras and TensorFlow know no modes
        return [model] if own is None else list(own())
    inner = _as_module(model).modules()[1:]
    return [model, *(part for child in inner for part in ([child] if isinstance(child, Module) else modules_of(child)))]


def _given(model: Any) -> list[tuple[str, Parameter]] | None:
    """What a model that is nobody's module gives by its own methods; None if it has none."""
    if isinstance(model, Module):
        return None
    if callable(getattr(model, "named_parameters", None)):
        named = [(str(name), value) for name, value in model.named_parameters()]
    elif callable(getattr(model, "parameters", None)):
        named = [(str(index), value) for index, value in enumerate(model.parameters())]
    else:
        return None
    found: dict[int, tuple[str, Parameter]] = {}
    for name, shell in named:
        value = unwrap_parameter(shell)
        found.setdefault(id(value), (name, value))
    return list(found.values())


def _as_module(model: Any) -> Module:
    """The module of ours, or one with the attributes of a plain object, to be asked in its place."""
    if isinstance(model, Module):
        return model
    module = Module()
    vars(module).update(getattr(model, "__dict__", {}))
    return module
