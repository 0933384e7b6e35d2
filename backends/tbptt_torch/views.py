"""Modules of ours as `torch.nn.Module`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from tbptt import backends
from tbptt.errors import ModuleProtocolError
from tbptt.nn.module import Module, own_tensors
from tbptt.nn.transplant import exchange
from tbptt_torch import exporting


class View(torch.nn.Module):
    """A module of ours, whose parameters are torch's, as a `torch.nn.Module`: ``outputs, state = view(inputs, state)``.

    Parameters are registered under the names they have in our module, other tensors among its attributes as buffers that are not
    saved. Exchanged here (`torch.func.functional_call`, `torch.export`), they are exchanged for the forward pass.

    >>> import torch, tbptt
    >>> view = tbptt.nn.Sequential(tbptt.nn.Linear(2, 3), tbptt.ops.tanh).to_torch()
    >>> tuple(view(torch.zeros(4, 2)).shape), list(view.state_dict())
    ((4, 3), ['0.weight', '0.bias'])
    """

    def __init__(self, module: Module) -> None:
        super().__init__()
        self._neutral = module
        self._places: list[tuple[torch.nn.Module, str, torch.Tensor]] = []
        seen: set[int] = set()
        for prefix, part in module.named_modules():
            if not isinstance(part, Module):
                self._register(prefix, part)
                seen |= {id(value) for _, value, _ in own_tensors(part)}
                continue
            for name, value, _ in own_tensors(part):
                if id(value) not in seen:  # a shared parameter has one name, as in our weight files
                    seen.add(id(value))
                    self._register(f"{prefix}.{name}" if prefix else name, value)
            for name, value in _constants(part):
                if id(value) not in seen:
                    seen.add(id(value))
                    self._register(f"{prefix}.{name}" if prefix else name, value)
        self.training = module.training

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module's ``forward`` computes."""
        in_onnx = torch.onnx.is_in_onnx_export()
        with self._registered(), exporting.onnx_engine() if in_onnx else _torch_engine():
            return self._neutral(*inputs, **options)

    def train(self, mode: bool = True) -> View:
        """Switch to training mode (dropout drops), everything below included."""
        super().train(mode)
        self._neutral.train(mode)
        return self

    def extra_repr(self) -> str:
        """The module's own text."""
        return repr(self._neutral)

    def _register(self, path: str, value: Any) -> None:
        *parents, name = path.split(".")
        node: torch.nn.Module = self
        for parent in parents:
            if parent not in node._modules:
                _check_free(node, parent, path)
                node.add_module(parent, torch.nn.Module())
            node = node._modules[parent]  # type: ignore[assignment]
        _check_free(node, name, path)
        if isinstance(value, torch.nn.Module):
            node.add_module(name, value)
            return
        if isinstance(value, torch.nn.Parameter):
            node.register_parameter(name, value)
        else:
            node.register_buffer(name, value, persistent=False)
        self._places.append((node, name, value))

    @contextmanager
    def _registered(self) -> Iterator[None]:
        """Inside the block the module computes with what is registered now."""
        now = [(old, getattr(node, name)) for node, name, old in self._places]
        pairs = [(old, new) for old, new in now if new is not old]
        if not pairs:
            yield
            return
        exchange(self._neutral, pairs)
        try:
            yield
        finally:
            exchange(self._neutral, [(new, old) for old, new in pairs])


def _constants(module: Module) -> list[tuple[str, torch.Tensor]]:
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, torch.Tensor) and not isinstance(value, torch.nn.Parameter)
    ]


def _check_free(node: torch.nn.Module, name: str, path: str) -> None:
    if hasattr(node, name):
        raise ModuleProtocolError(
            f"A torch.nn.Module has something of its own under the name {name!r}, so a view cannot have {path!r}. "
            f"Give the attribute of the tbptt module another name."
        )


def _torch_engine() -> Any:
    # What ``forward`` creates goes to the current engine, which may be another.
    return nullcontext() if backends.current_backend().name == "torch" else backends.use_backend("torch")
