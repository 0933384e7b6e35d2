"""Modules of ours as `tf.Module`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import tensorflow as tf

from tbptt import backends
from tbptt.errors import ModuleProtocolError
from tbptt.nn.module import Module, own_tensors
from tbptt_tensorflow import exporting


class View(tf.Module):
    """A module of ours, whose parameters are TensorFlow's, as a `tf.Module`: ``outputs, state = view(inputs, state)``.

    Variables are attributes under the names they have in our module, ``view.lstm.bias_l0``. Unlike torch's, variables cannot be
    exchanged, so the module computes with its own.

    >>> import tensorflow as tf, tbptt
    >>> view = tbptt.nn.Linear(2, 3).to_tensorflow()
    >>> tuple(view(tf.zeros((4, 2))).shape), tuple(view.weight.shape)
    ((4, 3), (3, 2))
    """

    def __init__(self, module: Module) -> None:
        super().__init__(name=None)
        self._neutral = module
        seen: set[int] = set()
        for prefix, part in module.named_modules():
            if isinstance(part, tf.Module):
                self._register(prefix, part)
                seen |= {id(value) for _, value, _ in own_tensors(part)}
                continue
            # a Keras layer's too: a tf.Module looks for variables in tf.Modules alone
            for name, value, _ in own_tensors(part):
                if id(value) not in seen:  # a shared parameter has one name, as in our weight files
                    seen.add(id(value))
                    self._register(f"{prefix}.{name}" if prefix else name, value)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """What the module's ``forward`` computes."""
        with _tensorflow_engine():
            return self._neutral(*inputs, **options)

    @property
    def training(self) -> bool:
        """Whether it is in training mode."""
        return self._neutral.training

    def train(self, mode: bool = True) -> View:
        """Switch to training mode (dropout drops), everything below included; what is traced already stays as it was traced."""
        self._neutral.train(mode)
        return self

    def eval(self) -> View:
        """Switch to evaluation mode."""
        return self.train(False)

    def signature(self, inputs: Any, state: Any = None) -> Any:
        """A function for ``tf.saved_model.save(view, path, signatures=...)``, whose inputs and outputs include the state.

        In the mode the view is in when it is made. Names and arguments are those of `tbptt.export`.

        >>> import numpy as np, tensorflow as tf, tbptt
        >>> function = tbptt.nn.GRU(3, 5).to_tensorflow().signature(np.zeros((2, 7, 3)))
        >>> [spec.name for spec in function.input_signature], sorted(function(tf.zeros((2, 7, 3)), tf.zeros((1, 2, 5))))
        (['inputs_0', 'state_0'], ['next_state_0', 'outputs_0'])
        """
        from tbptt.export.program import Program  # here: nothing else needs it

        return exporting.signature(self, Program(self._neutral, backends.load("tensorflow"), inputs, state))

    def _register(self, path: str, value: Any) -> None:
        *parents, name = path.split(".")
        node: tf.Module = self
        for parent in parents:
            if not isinstance(vars(node).get(parent), tf.Module):
                _check_free(node, parent, path)
                setattr(node, parent, tf.Module())
            node = getattr(node, parent)
        _check_free(node, name, path)
        setattr(node, name, value)


def _check_free(node: tf.Module, name: str, path: str) -> None:
    if hasattr(node, name):
        raise ModuleProtocolError(
            f"A tf.Module has something of its own under the name {name!r}, so a view cannot have {path!r}. "
            f"Give the attribute of the tbptt module another name."
        )


def _tensorflow_engine() -> Any:
    # What ``forward`` creates goes to the current engine, which may be another.
    here = backends.current_backend().name == "tensorflow"
    return nullcontext() if here else backends.use_backend("tensorflow")
