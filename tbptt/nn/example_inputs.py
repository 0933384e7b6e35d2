"""What a model's ``forward`` is called with while it is trained: the example that exporting it needs, if nobody gives another."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import numpy as np

from tbptt import ops, tree
from tbptt.nn import module as modules

_NAME = "_called_with"


class Remembering(AbstractContextManager["Remembering"]):
    """Notes, of a model's first call in the block, shapes and dtypes of what it was called with before the state.

    >>> import numpy as np, tbptt
    >>> from tbptt.nn.example_inputs import Remembering, example_of
    >>> layer = tbptt.nn.LSTM(3, 5)
    >>> with Remembering(layer):
    ...     _ = layer(tbptt.ops.zeros((2, 7, 3)), None)
    >>> [example.shape for example in example_of(layer)]
    [(2, 7, 3)]
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __enter__(self) -> Remembering:
        modules.watchers.append(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _note(self, module: Any, inputs: tuple[Any, ...], options: dict[str, Any], answer: Any) -> None:
        if module is not self._model:
            return
        self.end()
        given = list(inputs)
        while given and given[-1] is None:  # the state, of which there is none yet
            given.pop()
        leaves, structure = tree.flatten(tuple(given))
        if leaves and all(ops.is_tensor(leaf) for leaf in leaves):
            vars(module)[_NAME] = tree.unflatten(structure, [_zeros_like(leaf) for leaf in leaves])

    def end(self) -> None:
        """Stop waiting for a call."""
        if self._note in modules.watchers:
            modules.watchers.remove(self._note)


def example_of(model: Any) -> Any:
    """The model's ``example_input_array``, or zeros like what it was called with first in training; None if there is neither."""
    own = getattr(model, "example_input_array", None)
    return own if own is not None else vars(model).get(_NAME)


def _zeros_like(leaf: Any) -> Any:
    shape = [
        2 if length is None else int(length) for length in tuple(leaf.shape)
    ]  # a program for any length knows none
    dtype = ops.dtype(leaf)
    return np.zeros(shape, "float32" if dtype == "bfloat16" else dtype)
