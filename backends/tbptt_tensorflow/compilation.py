"""Compiling under TensorFlow: a `tf.function` for each structure and shape of the arguments, through XLA where it can.

XLA makes a program for one shape, and takes seconds for it. Windows whose lengths are drawn at random would have it make
programs without end, so arguments alike in all but the lengths of their axes, a *kind*, get only so many:

- the first `FIRST` shapes of a kind get an exact program each;
- other shapes share one program whose axes are open: of unknown length, wherever lengths of this kind have differed. It is a plain
  `tf.function`. When one more axis differs the open program is made again, with that axis open too;
- a shape that the open program meets `REPEATED` times in a row gets an exact program after all, as the last stage of windows
  that grow should, and each further one has to be met twice as often as the one before;
- there are never more than `MOST` programs of a kind. What fits none of them then runs eagerly.

Code that needs the length of an axis as a number cannot be traced where it is open; then each shape gets an exact program.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tbptt import tree
from tbptt_tensorflow import devices

FIRST, REPEATED, MOST = 3, 8, 8
_KEPT_OPEN = 2  # programs that repeated shapes leave for open axes: those of time, and those of rows

_Shape: TypeAlias = tuple[int | None, ...]
_Failures = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError)


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
    """Programs by kind and shape. `tf.function` alone would not do: it knows only its own kinds of trees, and it would
    trace anew for every Python number among the results of the last call.
    """

    bakes_numbers = True

    def __init__(self, function: Callable[..., Any], name: str, xla: bool) -> None:
        self._function = function
        self._name = name
        self._xla = xla
        self._opens = True
        self._kinds: dict[Any, _Kind] = {}

    @property
    def road(self) -> str:
        road = "tf.function with XLA" if self._xla else "tf.function"
        if not self._opens:
            return f"{road}, a program for each shape: no axis can be left open"
        if not any(kind.open for kind in self._kinds.values()):
            return road
        reason = "XLA would compile" if self._xla else "it would be traced for"
        return f"{road}; windows of other lengths: tf.function with open axes ({reason} each length anew)"

    @property
    def traces(self) -> int:
        return sum(kind.made for kind in self._kinds.values())

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = tree.flatten(arguments)
        leaves = [tf.constant(x) if isinstance(x, np.ndarray) and x.dtype.kind in "biuf" else x for x in leaves]
        key = (structure, *[_kind_of(leaf) for leaf in leaves])
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind()
        shapes = tuple([leaf.shape for leaf in leaves if isinstance(leaf, tf.Tensor)])
        program = kind.exact.get(shapes)
        if program is not None:
            return program(leaves)
        if self._opens and not kind.deserves_exact(shapes):
            return self._call_open(kind, shapes, leaves, structure, arguments)
        return self._call_exact(kind, shapes, leaves, structure)

    def _call_exact(self, kind: _Kind, shapes: Any, leaves: list[Any], structure: Any) -> Any:
        program = kind.exact[shapes] = _Program(self._function, leaves, structure, self._xla)
        kind.made += 1
        try:
            return program(leaves)
        except _Failures as error:
            if not self._xla:
                raise
            # XLA fails before anything has run, so no variable has changed yet.
            reason = str(error).strip().splitlines()[0][:300]
            warnings.warn(
                f"XLA cannot compile {self._name}, which runs as a plain tf.function instead: {reason}", stacklevel=3
            )
            self._xla = False
            program = kind.exact[shapes] = _Program(self._function, leaves, structure, xla=False)
            return program(leaves)

    def _call_open(self, kind: _Kind, shapes: Any, leaves: list[Any], structure: Any, arguments: Any) -> Any:
        """The program with open axes, made or made again first if it does not take these shapes."""
        lengths = [tuple(shape) for shape in shapes]
        if kind.open is not None and _fits(lengths, kind.lengths):
            return kind.open(leaves)
        if kind.made == MOST:
            if not kind.is_full:
                kind.is_full = True
                warnings.warn(
                    f"{self._name} has {MOST} programs for arguments that differ in the lengths of many axes, and these shapes fit "
                    f"none of them: {[*map(list, lengths)]}. Such calls run uncompiled, which is slow. Give batches whose axes "
                    f"other than time stay as long as they are, or pass compile=False.",
                    stacklevel=3,
                )
            return self._function(*arguments)
        known = kind.lengths or [tuple(shape) for shape in next(iter(kind.exact))]
        for met in [*kind.exact, shapes]:
            known = [_opened(*pair) for pair in zip(known, met, strict=True)]
        program = _Program(self._function, leaves, structure, xla=False)
        try:
            program.trace(known)
        except Exception as error:  # whatever the user's code raises about a length that is None
            # If it is about anything else it is raised here again.
            _Program(self._function, leaves, structure, xla=False).trace(shapes)
            self._opens = False
            reason = (str(error).strip().splitlines() or [""])[0][:300].rstrip(".")
            warnings.warn(
                f"{self._name} met more than {FIRST} shapes and could not be compiled for windows of any length, so each further "
                f"length is compiled by itself, which takes long. While tracing it with axes of unknown length, "
                f"{type(error).__name__}: {reason}. Where its code reads a length, x.shape[1], let it ask tbptt.ops.shape(x)[1] "
                f"and use no Python loop over it; or pass compile=False to the trainer, or windows of a fixed length.",
                stacklevel=3,
            )
            return self._call_exact(kind, shapes, leaves, structure)
        kind.open, kind.lengths, kind.made = program, known, kind.made + 1
        return program(leaves)


class _Kind:
    """The programs for arguments that differ in nothing but the lengths of their axes."""

    def __init__(self) -> None:
        self.made = 0
        self.is_full = False  # whether it was said that what fits no program runs eagerly
        self.exact: dict[Any, _Program] = {}
        self.open: _Program | None = None
        self.lengths: list[_Shape] = []  # of the open program's arguments, None where they have differed
        self._repeated = self._latest = None
        self._count = 0

    def deserves_exact(self, shapes: Any) -> bool:
        """Whether these shapes, which have no exact program, should get one. To be asked once a call."""
        if len(self.exact) < FIRST:
            return True
        if shapes == self._repeated:
            self._count += 1
        elif self._latest != self._repeated:  # one other shape, like the rest of a sequence, does not end a run; two do
            self._repeated, self._count = shapes, 1 + (shapes == self._latest)
        self._latest = shapes
        is_earned = shapes == self._repeated and self._count >= REPEATED * 2 ** (len(self.exact) - FIRST)
        return is_earned and len(self.exact) < MOST - _KEPT_OPEN and self.made < MOST


def _kind_of(leaf: Any) -> Any:
    """What of a leaf decides the program apart from lengths: dtype and rank of a tensor, the value of anything else."""
    if isinstance(leaf, tf.Tensor):
        return leaf.shape.rank, leaf.dtype
    if isinstance(leaf, np.ndarray):  # names and other things that are no numbers
        return leaf.dtype.str, leaf.shape, leaf.tobytes()
    return type(leaf), leaf  # True and 1 are equal, and two programs


def _opened(known: _Shape, met: Any) -> _Shape:
    """The lengths on which both agree, None elsewhere."""
    return tuple(a if a == b else None for a, b in zip(known, met, strict=True))


def _fits(lengths: list[_Shape], known: list[_Shape]) -> bool:
    return all(_opened(a, b) == a for a, b in zip(known, lengths, strict=True))


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

        self._dtypes = [leaves[i].dtype for i in self._slots]
        # As a partial each program is a function of its own: TensorFlow counts traces by code, and would warn of the programs of
        # other signatures as if this one were traced again and again.
        self._run: Any = tf.function(functools.partial(flat), jit_compile=xla, autograph=False)

    def trace(self, shapes: Any) -> None:
        """Trace for tensors of these shapes, where None takes any length, and run nothing, so that an error changes nothing."""
        specs = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, self._dtypes, strict=True)]
        self._run = self._run.get_concrete_function(*specs)

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


def set_float32_matmul_precision(precision: str) -> None:
    """`tf.config.experimental.enable_tensor_float_32_execution`, which is on unless it is told otherwise."""
    tf.config.experimental.enable_tensor_float_32_execution(precision != "highest")


def is_tracing() -> bool:
    """Whether Python is being traced now, so that values cannot be read."""
    return not tf.executing_eagerly()
