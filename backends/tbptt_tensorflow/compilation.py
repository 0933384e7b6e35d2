"""Compiling under TensorFlow: one `tf.function` per structure and shape of the arguments, through XLA where it can."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tbptt import tree
from tbptt_tensorflow import devices


class _Eager:
    """The function itself."""

    road = "eager"
    traces = 0
    bakes_numbers = False

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


class _Compiled:
    """Programs by signature. `tf.function` alone would not do: it knows only its own kinds of trees, and it would
    trace anew for every Python number among the results of the last call.
    """

    bakes_numbers = True

    def __init__(self, function: Callable[..., Any], name: str, xla: bool) -> None:
        self._function = function
        self._name = name
        self._xla = xla
        self._programs: dict[Any, _Program] = {}

    @property
    def road(self) -> str:
        return "tf.function with XLA" if self._xla else "tf.function"

    @property
    def traces(self) -> int:
        return len(self._programs)

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = tree.flatten(arguments)
        leaves = [tf.constant(x) if isinstance(x, np.ndarray) and x.dtype.kind in "biuf" else x for x in leaves]
        key = (structure, *[_signature(leaf) for leaf in leaves])
        program = self._programs.get(key)
        if program is not None:
            return program(leaves)
        program = self._programs[key] = _Program(self._function, leaves, structure, self._xla)
        try:
            return program(leaves)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError) as error:
            if not self._xla:
                raise
            # XLA fails before anything has run, so no variable has changed yet.
            reason = str(error).strip().splitlines()[0][:300]
            warnings.warn(
                f"XLA cannot compile {self._name}, which runs as a plain tf.function instead: {reason}", stacklevel=2
            )
            self._xla = False
            program = self._programs[key] = _Program(self._function, leaves, structure, xla=False)
            return program(leaves)


def _signature(leaf: Any) -> Any:
    """What of a leaf decides the program: kind and shape of a tensor, the value of anything else."""
    if isinstance(leaf, tf.Tensor):
        return leaf.shape, leaf.dtype
    if isinstance(leaf, np.ndarray):  # names and other things that are no numbers
        return leaf.dtype.str, leaf.shape, leaf.tobytes()
    return type(leaf), leaf  # True and 1 are equal, and two programs


class _Program:
    """One signature: tensors go in and come out as a flat list, everything else is part of the program."""

    def __init__(self, function: Callable[..., Any], leaves: list[Any], structure: Any, xla: bool) -> None:
        self._slots = [i for i, leaf in enumerate(leaves) if isinstance(leaf, tf.Tensor)]
        fixed = [None if isinstance(leaf, tf.Tensor) else leaf for leaf in leaves]
        # written while the first call traces
        self._results: list[Any] = []
        self._outputs: list[int] = []
        self._structure: Any = None

        def flat(*tensors: Any) -> list[Any]:
            filled = list(fixed)
            for slot, tensor in zip(self._slots, tensors, strict=True):
                filled[slot] = tensor
            answer = function(*tree.unflatten(structure, filled))
            results, self._structure = tree.flatten(answer)
            self._results = [None if isinstance(x, tf.Tensor | tf.Variable) else x for x in results]
            self._outputs = [i for i, x in enumerate(results) if isinstance(x, tf.Tensor | tf.Variable)]
            return [tf.convert_to_tensor(results[i]) for i in self._outputs]

        # As a partial each program is a function of its own: TensorFlow counts traces by code, and would warn of the programs of
        # other signatures as if this one were traced again and again.
        self._run = tf.function(functools.partial(flat), jit_compile=xla, autograph=False)

    def __call__(self, leaves: list[Any]) -> Any:
        tensors = self._run(*[leaves[i] for i in self._slots])
        results = list(self._results)
        for slot, tensor in zip(self._outputs, tensors, strict=True):
            results[slot] = tensor
        return tree.unflatten(self._structure, results)


def compile(function: Callable[..., Any], mode: bool | str, name: str) -> _Eager | _Compiled:
    """Turn a function of trees of tensors into a compiled one: ``"auto"`` and True compile, False stays eager.

    XLA is left out on a GPU, where the recurrent layers are cuDNN's, which XLA does not have.
    """
    if mode is False:
        return _Eager(function)
    return _Compiled(function, name, xla=devices.available() == ["cpu"])


def set_deterministic(enabled: bool, warn_only: bool = False) -> None:
    """`tf.config.experimental.enable_op_determinism`, which cannot be taken back and does not warn: what would is an error.

    TensorFlow's own random operations then need a seed (`tbptt.seed_everything`).
    """
    if enabled:
        tf.config.experimental.enable_op_determinism()


def is_tracing() -> bool:
    """Whether Python is being traced now, so that values cannot be read."""
    return not tf.executing_eagerly()
