"""Gradients of the floating functions, on both engines, against central differences in NumPy's float64."""

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

generator = np.random.default_rng(7)
ANY = generator.uniform(-2, 2, (3, 4))
OTHER = generator.uniform(-2, 2, (3, 4))
ROW = generator.uniform(0.5, 2, (4,))
POSITIVE = generator.uniform(0.5, 2, (3, 4))
OPEN = generator.uniform(-0.9, 0.9, (3, 4))
CUBE = generator.uniform(-2, 2, (2, 3, 4))
PLACES = np.array([[0, 2, 2], [1, 0, 2]])

CASES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    **{
        name: (getattr(ops, name), (ANY, ROW))
        for name in ("add", "subtract", "multiply", "divide", "remainder", "hypot")
    },
    **{name: (getattr(ops, name), (ANY, OTHER)) for name in ("maximum", "minimum", "atan2", "logaddexp", "vecdot")},
    **{
        name: (getattr(ops, name), (ANY,))
        for name in (
            *(
                "negative",
                "positive",
                "abs",
                "square",
                "exp",
                "expm1",
                "sin",
                "cos",
                "sinh",
                "cosh",
                "tanh",
                "asinh",
                "atan",
            ),
            *("erf", "sigmoid", "relu", "elu", "gelu", "silu", "softplus", "softmax", "log_softmax", "logsumexp"),
            *("sum", "prod", "mean", "var", "std", "max", "min", "flip", "sort", "tril", "triu", "matrix_transpose"),
        )
    },
    **{
        name: (getattr(ops, name), (POSITIVE,))
        for name in ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal")
    },
    **{name: (getattr(ops, name), (OPEN,)) for name in ("asin", "acos", "atanh", "tan")},
    "acosh": (ops.acosh, (POSITIVE + 1,)),
    "pow": (ops.pow, (POSITIVE, ROW)),
    "pow, number": (lambda x: ops.pow(x, 3), (ANY,)),
    "reflected number": (lambda x: ops.divide(2.0, ops.subtract(1, x)), (POSITIVE + 1,)),
    "gelu, tanh": (lambda x: ops.gelu(x, "tanh"), (ANY,)),
    "clip": (lambda x, low: ops.clip(x, low, 1.0), (ANY, -ROW)),
    "where": (lambda x, y: ops.where(ops.greater(x, 0), ops.square(x), y), (ANY, ROW)),
    "softmax, axis": (lambda x: ops.softmax(x, axis=0), (ANY,)),
    "var, axis": (lambda x: ops.var(x, axis=(0, 2), correction=1, keepdims=True), (CUBE,)),
    "mean, axis": (lambda x: ops.mean(x, axis=-1), (CUBE,)),
    "max, axis": (lambda x: ops.max(x, axis=1), (CUBE,)),
    "cumulative_sum": (lambda x: ops.cumulative_sum(x, axis=1, include_initial=True), (CUBE,)),
    "cumulative_prod": (lambda x: ops.cumulative_prod(x, axis=0), (ANY,)),
    "concat": (lambda x, y: ops.concat([x, y], axis=1), (ANY, OTHER)),
    "stack": (lambda x, y: ops.stack([x, y], axis=1), (ANY, OTHER)),
    "unstack": (lambda x: ops.unstack(x, axis=1)[2], (ANY,)),
    "split": (lambda x: ops.split(x, [1, 3], axis=1)[1], (ANY,)),
    "reshape": (lambda x: ops.reshape(x, (2, -1)), (ANY,)),
    "permute_dims": (lambda x: ops.permute_dims(x, (2, 0, 1)), (CUBE,)),
    "moveaxis": (lambda x: ops.moveaxis(x, 0, -1), (CUBE,)),
    "expand_dims": (lambda x: ops.squeeze(ops.expand_dims(x, axis=1), 1), (ANY,)),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), (ROW,)),
    "roll": (lambda x: ops.roll(x, 1, axis=1), (ANY,)),
    "tile": (lambda x: ops.tile(x, (2, 1, 2)), (ANY,)),
    "repeat": (lambda x: ops.repeat(x, 2, axis=0), (ANY,)),
    "take, rows": (lambda x: ops.take(x, ops.asarray(PLACES), axis=0), (ANY,)),
    "take, cube": (lambda x: ops.take(x, ops.asarray(PLACES % 2), axis=0), (CUBE,)),
    "take, axis": (lambda x: ops.take(x, ops.asarray(PLACES), axis=1), (ANY,)),
    "take_along_axis": (lambda x: ops.take_along_axis(x, ops.asarray(PLACES), axis=0), (ANY[:, :3],)),
    "astype": (lambda x: ops.astype(x, "float64"), (ANY,)),
    "matmul": (ops.matmul, (ANY, OTHER.T)),
    "matmul, vector": (ops.matmul, (ANY, ROW)),
    "matmul, batch": (ops.matmul, (CUBE, OTHER.T)),
    "tensordot": (lambda x, y: ops.tensordot(x, y, axes=((0, 1), (1, 0))), (ANY, OTHER.T)),
    "einsum": (lambda x, y: ops.einsum("bij,kj->bik", x, y), (CUBE, OTHER)),
}


def gradients(
    backend: Backend, function: Callable[..., Any], arrays: tuple[np.ndarray, ...], weights: Any
) -> list[Any]:
    """Of Σ weights · function(arrays), by the engine itself."""
    if backend.name == "torch":
        inputs = [torch.tensor(x, requires_grad=True) for x in arrays]
        loss = (function(*inputs) * torch.tensor(weights)).sum()
        return [x.numpy() for x in torch.autograd.grad(loss, inputs)]
    tensors = [tf.constant(x) for x in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = tf.reduce_sum(function(*tensors) * tf.constant(weights))
    answers = tape.gradient(loss, tensors)
    return [np.asarray(tf.convert_to_tensor(answer)) for answer in answers]


def differences(function: Callable[..., Any], arrays: tuple[np.ndarray, ...], weights: Any) -> list[np.ndarray]:
    """The same by central differences of the fourth order, error about h⁴ + 1e-16 / h."""
    step = 1e-3

    def value(index: int, place: tuple[int, ...], change: float) -> float:
        moved = [x.copy() for x in arrays]
        moved[index][place] += change
        return float(np.sum(weights * ops.to_numpy(function(*map(ops.asarray, moved)))))

    answers = []
    for index, x in enumerate(arrays):
        answer = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            near = value(index, place, step) - value(index, place, -step)
            far = value(index, place, 2 * step) - value(index, place, -2 * step)
            answer[place] = (8 * near - far) / (12 * step)
        answers.append(answer)
    return answers


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_central_differences(name: str) -> None:
    function, arrays = CASES[name]
    with tbptt.backends.use_backend("torch"):  # its values are NumPy's: test_ops_numpy
        weights = np.random.default_rng(3).uniform(0.5, 1.5, ops.shape(function(*map(ops.asarray, arrays))))
        expected = differences(function, arrays, weights)
    for engine in ("torch", "tensorflow"):
        with tbptt.backends.use_backend(engine) as backend:
            for answer, difference in zip(gradients(backend, function, arrays, weights), expected, strict=True):
                np.testing.assert_allclose(answer, difference, rtol=1e-8, atol=1e-8, err_msg=engine)


TIED = np.array([1.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("function", "arrays", "expected"),
    [
        (ops.maximum, (TIED, np.full(3, 2.0)), ([0, 0.5, 0.5], [1, 0.5, 0.5])),
        (ops.minimum, (TIED, np.full(3, 2.0)), ([1, 0.5, 0.5], [0, 0.5, 0.5])),
        (lambda x: ops.maximum(x, 2.0), (TIED,), ([0, 0.5, 0.5],)),
        (ops.max, (TIED,), ([0, 0.5, 0.5],)),
        (lambda x: ops.max(x, axis=0), (TIED,), ([0, 0.5, 0.5],)),
        (ops.min, (-TIED,), ([0, 0.5, 0.5],)),
        (lambda x: ops.clip(x, 1.0, 2.0), (TIED,), ([1, 1, 1],)),
        (lambda x: ops.clip(x, 1.5, 1.9), (TIED,), ([0, 0, 0],)),
        (ops.relu, (TIED - 2,), ([0, 0, 0],)),
        (ops.abs, (TIED - 2,), ([-1, 0, 0],)),
        (ops.logaddexp, (TIED, TIED), ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])),
        (lambda x: ops.where(ops.isnan(x), 0.0, x), (np.array([np.nan, 1.0, np.inf]),), ([0, 1, 1],)),
    ],
)
def test_gradients_at_ties_are_the_same_on_both_engines(
    backend: Backend, function: Any, arrays: Any, expected: Any
) -> None:
    weights = np.ones(np.shape(ops.to_numpy(function(*map(ops.asarray, arrays)))))
    for answer, right in zip(gradients(backend, function, arrays, weights), expected, strict=True):
        np.testing.assert_allclose(answer, right, atol=1e-15)
