"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tbptt.nn.module import Module
from tbptt.types import Tensor


class Sequential(Module):
    """Modules one after the other, each fed the output of the one before. Stateless ones only: state needs a `forward`.

    >>> import tbptt
    >>> from tbptt import nn
    >>> tuple(nn.Sequential(nn.Linear(4, 8), tbptt.ops.tanh, nn.Linear(8, 1))(tbptt.ops.ones((2, 4))).shape)
    (2, 1)
    """

    def __init__(self, *modules: Any) -> None:
        for index, module in enumerate(modules):
            setattr(self, str(index), module)
        self._count = len(modules)

    def forward(self, inputs: Tensor) -> Tensor:
        """The last module's output."""
        for module in self:
            inputs = module(inputs)
        return inputs

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(self._count))

    def __getitem__(self, index: int) -> Any:
        return getattr(self, str(range(self._count)[index]))
