"""Gradients with TensorFlow's tape. Gradients of lookups arrive as slices with repeated rows and leave dense."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import tensorflow as tf

_open_tapes: list[_Tape] = []  # what no_grad has to silence: TensorFlow itself keeps no public list


class _Tape:
    """A `tf.GradientTape` which can also tell that a target depends on nothing at all."""

    def __init__(self, persistent: bool) -> None:
        self._tape = tf.GradientTape(persistent=persistent)
        self._watched: list[Any] = []

    def __enter__(self) -> _Tape:
        self._tape.__enter__()
        _open_tapes.append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        _open_tapes.remove(self)
        self._tape.__exit__(*exception)

    def watch(self, tensors: list[Any]) -> None:
        for tensor in tensors:
            if tensor.dtype.is_floating:
                self._tape.watch(tensor)
                self._watched.append(tensor)

    def gradient(
        self,
        targets: list[Any],
        sources: list[Any],
        output_gradients: list[Any | None],
        retain: bool | None = None,  # the record goes with the tape
    ) -> list[Any | None] | None:
        recorded = [i for i, target in enumerate(targets) if target.dtype.is_floating]
        asked = [i for i, source in enumerate(sources) if source.dtype.is_floating]
        known = {id(sources[i]) for i in asked}
        # Everything else on the record is asked along, so that "not these sources" and "nothing at all" differ.
        others = [x for x in (*self._tape.watched_variables(), *self._watched) if id(x) not in known]
        cotangents: Any = [_cotangent(targets[i], output_gradients[i]) for i in recorded]
        found: Any = self._tape.gradient(
            [targets[i] for i in recorded], [sources[i] for i in asked] + others, cotangents
        )
        if all(answer is None for answer in found):
            return None
        answers: list[Any | None] = [None] * len(sources)
        for i, answer in zip(asked, found, strict=False):
            answers[i] = answer if answer is None else tf.convert_to_tensor(answer)
        return answers


def _cotangent(target: Any, given: Any | None) -> Any | None:
    # a list of cotangents may not mix None and tensors here, so ones are written out
    return tf.ones_like(target) if given is None else given


def tape(persistent: bool = False) -> _Tape:
    """A fresh tape. A persistent one answers `gradient` more than once."""
    return _Tape(persistent)


def stop_gradient(x: Any) -> Any:
    """The same values with no past; shares memory."""
    return tf.stop_gradient(x)


def no_grad() -> AbstractContextManager[Any]:
    """A scope in which no tape records."""
    scopes = ExitStack()
    for opened in _open_tapes:
        scopes.enter_context(opened._tape.stop_recording())
    return scopes


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """`tf.debugging.enable_check_numerics`: a NaN or infinity that an operation makes raises InvalidArgumentError."""
    tf.debugging.enable_check_numerics()
    try:
        yield
    finally:
        tf.debugging.disable_check_numerics()
