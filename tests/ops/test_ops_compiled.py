"""Every function of `tbptt.ops` answers as NumPy: as it is, and traced by `tf.function`, with XLA, and by `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt.backends
from tbptt import ops
from tbptt.protocols import Backend
from tbptt.testing.conformance.tensor_calls import Call
from tbptt.testing.conformance.tensor_checks import check, to_tensors
from tbptt.testing.conformance.tensor_table import TABLE

# values leave the graph, or never were in one
NOT_TRACED = {
    "assign": "an effect: tbptt.testing.conformance.tensor_parameters",
    "convert_parameter": "makes a variable, which a graph does not",
    "dtype": "answers without a tensor",
    "empty": "no values to compare",
    "finfo": "answers without a tensor",
    "from_dlpack": "shares memory, which a graph has none of",
    "iinfo": "answers without a tensor",
    "is_parameter": "answers without a tensor",
    "is_tensor": "answers without a tensor",
    "isdtype": "answers without a tensor",
    "parameter": "makes a variable, which a graph does not",
    "result_type": "answers without a tensor",
    "shape": "answers without a tensor",
    "size": "answers without a tensor",
    "to_numpy": "reads values",
}


def sample(name: str) -> list[Call]:
    """One call of an entry, that with most elements, of float64 or else of int32; without either, of each dtype."""
    best: dict[str, tuple[int, Call]] = {}
    with np.errstate(all="ignore"):
        for call in TABLE[name]():
            arrays = [x for x in call.arguments if isinstance(x, np.ndarray)]
            dtype = arrays[-1].dtype.name if arrays else ""
            size = sum(x.size for x in arrays)
            if dtype not in best or size > best[dtype][0]:
                best[dtype] = (size, call)
    chosen = next((dtype for dtype in ("float64", "int32") if dtype in best), None)
    return [best[dtype][1] for dtype in ([chosen] if chosen else best)]


def run(engine: str, names: list[str], compiled: Callable[..., Any]) -> None:
    """Call all of them in one compiled function; arrays, and lists of arrays, come in as its inputs."""
    with tbptt.backends.use_backend(engine) as backend:
        calls = [(name, call) for name in names for call in sample(name)]
        given = [[to_tensors(backend, x) for x in call.arguments] for _, call in calls]
        constants = [
            [old if new is old else None for old, new in zip(call.arguments, arguments, strict=True)]
            for (_, call), arguments in zip(calls, given, strict=True)
        ]
        inputs = [
            [None if new is old else new for old, new in zip(call.arguments, arguments, strict=True)]
            for (_, call), arguments in zip(calls, given, strict=True)
        ]

        def body(inputs: Any) -> Any:
            answers = []
            for (name, call), tensors, others in zip(calls, inputs, constants, strict=True):
                arguments = [other if x is None else x for x, other in zip(tensors, others, strict=True)]
                answers.append(getattr(ops, name)(*arguments, **call.options))
            return answers

        for (name, call), answer in zip(calls, compiled(body)(inputs), strict=True):
            try:
                check(backend, answer, call)
            except AssertionError as error:
                error.add_note(f"{name}({call.arguments}, {call.options})")
                raise


TRACED = sorted(set(TABLE) - set(NOT_TRACED))


def test_every_function_answers_as_numpy_run_as_it_is(backend: Backend) -> None:
    run(backend.name, sorted(TABLE), lambda body: body)


def test_every_function_is_traced_and_answers_as_numpy() -> None:
    run("tensorflow", TRACED, lambda body: tf.function(body, autograph=False))


def test_autograph_leaves_the_answers_as_they_are() -> None:
    run("tensorflow", ["add", "take", "sum", "where", "clip"], tf.function)


@pytest.mark.parametrize("part", range(4))
def test_every_function_answers_as_numpy_under_xla(part: int) -> None:
    run("tensorflow", TRACED[part::4], lambda body: tf.function(body, autograph=False, jit_compile=True))


def test_torch_compile_captures_the_functions_whole() -> None:
    ops.is_tensor(torch.zeros(1))  # whose engine is found outside, once, as any model has done by then
    names = [
        "add",
        "clip",
        "concat",
        "log_softmax",
        "logical_right_shift",
        "matmul",
        "one_hot",
        "split",
        "take",
        "var",
        "where",
    ]
    run("torch", names, lambda body: torch.compile(body, fullgraph=True, backend="eager"))


def test_lengths_that_are_not_known_while_tracing_are_scalar_tensors() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)], autograph=False)
    def lengths(x: Any) -> Any:
        batch, features = ops.shape(x)
        assert features == 3
        assert ops.is_tensor(batch)
        return ops.reshape(x, (features, batch)), ops.size(x), ops.var(x, axis=0, correction=1)

    reshaped, size, variance = lengths(tf.reshape(tf.range(6.0), (2, 3)))
    assert reshaped.shape == (3, 2)
    assert int(size) == 6
    np.testing.assert_allclose(variance, [4.5, 4.5, 4.5])
