"""Functions of tensors whose gradients are compared with central differences, and those at ties with closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tbptt.protocols import Backend, Tensors
from tbptt.testing.conformance.tensor_checks import array

Case = tuple[Callable[..., Any], tuple[np.ndarray, ...]]  # a function of the engine's tensors module and of tensors

generator = np.random.default_rng(7)
ANY = generator.uniform(-2, 2, (3, 4))
OTHER = generator.uniform(-2, 2, (3, 4))
ROW = generator.uniform(0.5, 2, (4,))
POSITIVE = generator.uniform(0.5, 2, (3, 4))
OPEN = generator.uniform(-0.9, 0.9, (3, 4))
CUBE = generator.uniform(-2, 2, (2, 3, 4))
PLACES = np.array([[0, 2, 2], [1, 0, 2]])
TIED = np.array([1.0, 2.0, 2.0])
NOT_A_NUMBER = np.array([np.nan, 1.0, np.inf])


def plain(name: str, *arrays: np.ndarray) -> dict[str, Case]:
    """The function of that name of these arrays."""
    return {name: (lambda t, *tensors: getattr(t, name)(*tensors), arrays)}


def plainly(names: str, *arrays: np.ndarray) -> dict[str, Case]:
    """Several functions of the same arrays."""
    return {key: case for name in names.split() for key, case in plain(name, *arrays).items()}


CASES: dict[str, Case] = {
    **plainly("add subtract multiply divide remainder hypot", ANY, ROW),
    **plainly("maximum minimum atan2 logaddexp vecdot", ANY, OTHER),
    **plainly("negative positive abs square exp expm1 sin cos sinh cosh tanh asinh atan", ANY),
    **plainly("erf sigmoid relu elu gelu silu softplus softmax log_softmax logsumexp", ANY),
    **plainly("sum prod mean var std max min flip sort tril triu matrix_transpose", ANY),
    **plainly("log log1p log2 log10 sqrt rsqrt reciprocal", POSITIVE),
    **plainly("asin acos atanh tan", OPEN),
    **plain("acosh", POSITIVE + 1),
    **plain("pow", POSITIVE, ROW),
    "pow-number": (lambda t, x: t.pow(x, 3), (ANY,)),
    "divide-reflected_number": (lambda t, x: t.divide(2.0, t.subtract(1, x)), (POSITIVE + 1,)),
    "gelu-tanh": (lambda t, x: t.gelu(x, "tanh"), (ANY,)),
    "clip": (lambda t, x, low: t.clip(x, low, 1.0), (ANY, -ROW)),
    "where": (lambda t, x, y: t.where(t.greater(x, 0), t.square(x), y), (ANY, ROW)),
    "softmax-axis": (lambda t, x: t.softmax(x, axis=0), (ANY,)),
    "var-axis": (lambda t, x: t.var(x, axis=(0, 2), correction=1, keepdims=True), (CUBE,)),
    "mean-axis": (lambda t, x: t.mean(x, axis=-1), (CUBE,)),
    "max-axis": (lambda t, x: t.max(x, axis=1), (CUBE,)),
    "cumulative_sum": (lambda t, x: t.cumulative_sum(x, axis=1, include_initial=True), (CUBE,)),
    "cumulative_prod": (lambda t, x: t.cumulative_prod(x, axis=0), (ANY,)),
    "concat": (lambda t, x, y: t.concat([x, y], axis=1), (ANY, OTHER)),
    "stack": (lambda t, x, y: t.stack([x, y], axis=1), (ANY, OTHER)),
    "unstack": (lambda t, x: t.unstack(x, axis=1)[2], (ANY,)),
    "split": (lambda t, x: t.split(x, [1, 3], axis=1)[1], (ANY,)),
    "reshape": (lambda t, x: t.reshape(x, (2, -1)), (ANY,)),
    "permute_dims": (lambda t, x: t.permute_dims(x, (2, 0, 1)), (CUBE,)),
    "moveaxis": (lambda t, x: t.moveaxis(x, 0, -1), (CUBE,)),
    "expand_dims": (lambda t, x: t.expand_dims(x, axis=1), (ANY,)),
    "squeeze": (lambda t, x: t.squeeze(x, 1), (ANY[:, None],)),
    "broadcast_to": (lambda t, x: t.broadcast_to(x, (2, 3, 4)), (ROW,)),
    "roll": (lambda t, x: t.roll(x, 1, axis=1), (ANY,)),
    "tile": (lambda t, x: t.tile(x, (2, 1, 2)), (ANY,)),
    "repeat": (lambda t, x: t.repeat(x, 2, axis=0), (ANY,)),
    "take-rows": (lambda t, x: t.take(x, t.asarray(PLACES), axis=0), (ANY,)),
    "take-cube": (lambda t, x: t.take(x, t.asarray(PLACES % 2), axis=0), (CUBE,)),
    "take-axis": (lambda t, x: t.take(x, t.asarray(PLACES), axis=1), (ANY,)),
    "take_along_axis": (lambda t, x: t.take_along_axis(x, t.asarray(PLACES), axis=0), (ANY[:, :3],)),
    "astype": (lambda t, x: t.astype(x, "float64"), (ANY,)),
    "matmul": (lambda t, x, y: t.matmul(x, y), (ANY, OTHER.T)),
    "matmul-vector": (lambda t, x, y: t.matmul(x, y), (ANY, ROW)),
    "matmul-batch": (lambda t, x, y: t.matmul(x, y), (CUBE, OTHER.T)),
    "tensordot": (lambda t, x, y: t.tensordot(x, y, axes=((0, 1), (1, 0))), (ANY, OTHER.T)),
    "einsum": (lambda t, x, y: t.einsum("bij,kj->bik", x, y), (CUBE, OTHER)),
}
"""Each name begins with that of the function; what follows a hyphen is the case."""

TIES: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...], tuple[list[float], ...]]] = {
    "maximum": (lambda t, x, y: t.maximum(x, y), (TIED, np.full(3, 2.0)), ([0, 0.5, 0.5], [1, 0.5, 0.5])),
    "minimum": (lambda t, x, y: t.minimum(x, y), (TIED, np.full(3, 2.0)), ([1, 0.5, 0.5], [0, 0.5, 0.5])),
    "maximum-number": (lambda t, x: t.maximum(x, 2.0), (TIED,), ([0, 0.5, 0.5],)),
    "max": (lambda t, x: t.max(x), (TIED,), ([0, 0.5, 0.5],)),
    "max-axis": (lambda t, x: t.max(x, axis=0), (TIED,), ([0, 0.5, 0.5],)),
    "min": (lambda t, x: t.min(x), (-TIED,), ([0, 0.5, 0.5],)),
    "clip-at_bounds": (lambda t, x: t.clip(x, 1.0, 2.0), (TIED,), ([1, 1, 1],)),
    "clip-outside": (lambda t, x: t.clip(x, 1.5, 1.9), (TIED,), ([0, 0, 0],)),
    "relu": (lambda t, x: t.relu(x), (TIED - 2,), ([0, 0, 0],)),
    "abs": (lambda t, x: t.abs(x), (TIED - 2,), ([-1, 0, 0],)),
    "logaddexp": (lambda t, x, y: t.logaddexp(x, y), (TIED, TIED), ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])),
    "where": (lambda t, x: t.where(t.isnan(x), 0.0, x), (NOT_A_NUMBER,), ([0, 1, 1],)),
}

_CREATION = "asarray from_dlpack zeros ones empty full zeros_like ones_like full_like arange linspace eye one_hot"
_ABOUT_TENSORS = "to_numpy is_tensor dtype isdtype result_type finfo iinfo shape size"
_PARAMETERS = "parameter is_parameter assign convert_parameter"
_CONSTANT_PIECE_BY_PIECE = "floor_divide sign round floor ceil trunc"
_ANSWER_BOOLS = (
    "equal not_equal less less_equal greater greater_equal isfinite isnan isinf "
    "logical_and logical_or logical_xor logical_not any all"
)
_ANSWER_INTEGERS = (
    "bitwise_and bitwise_or bitwise_xor bitwise_invert bitwise_left_shift bitwise_right_shift logical_right_shift "
    "count_nonzero argmax argmin argsort searchsorted nonzero"
)
_LENGTH_DEPENDS_ON_VALUES = "unique_values"
NOT_DIFFERENTIABLE = frozenset(
    " ".join(
        (
            _CREATION,
            _ABOUT_TENSORS,
            _PARAMETERS,
            _CONSTANT_PIECE_BY_PIECE,
            _ANSWER_BOOLS,
            _ANSWER_INTEGERS,
            _LENGTH_DEPENDS_ON_VALUES,
        )
    ).split()
)
"""Functions of `tbptt.protocols.Tensors` that no gradient flows through."""


def weights_for(backend: Backend, function: Callable[..., Any], arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    """Different weights for the elements of the function's answer, so that no two of them can stand for each other."""
    tensors: Tensors = backend.tensors
    shape = tensors.shape(function(tensors, *map(tensors.asarray, arrays)))
    return np.random.default_rng(3).uniform(0.5, 1.5, tuple(shape))


def gradients(
    backend: Backend, function: Callable[..., Any], arrays: tuple[np.ndarray, ...], weights: np.ndarray
) -> list[np.ndarray]:
    """Of Σ weights · function(arrays), by the engine's tape."""
    inputs = [backend.tensors.asarray(x, copy=True) for x in arrays]
    with backend.autodiff.tape() as tape:
        tape.watch(inputs)
        answer = function(backend.tensors, *inputs)
        target = backend.tensors.sum(backend.tensors.multiply(answer, backend.tensors.asarray(weights)))
    found = tape.gradient([target], inputs, [None])
    assert found is not None, "the gradient is None: nothing that was watched has been recorded"
    missing = [index for index, gradient in enumerate(found) if gradient is None]
    assert not missing, f"no gradient reaches the arguments {missing}"
    return [array(backend, gradient) for gradient in found]


def differences(
    backend: Backend, function: Callable[..., Any], arrays: tuple[np.ndarray, ...], weights: np.ndarray
) -> list[np.ndarray]:
    """The same by central differences of the fourth order, error about h⁴ + 1e-16 / h."""
    tensors, step = backend.tensors, 1e-3
    inputs = [tensors.asarray(x) for x in arrays]

    def value(index: int, place: tuple[int, ...], change: float) -> float:
        moved = arrays[index].copy()
        moved[place] += change
        given = [*inputs[:index], tensors.asarray(moved), *inputs[index + 1 :]]
        return float(np.sum(weights * array(backend, function(tensors, *given))))

    answers = []
    for index, x in enumerate(arrays):
        answer = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            near = value(index, place, step) - value(index, place, -step)
            far = value(index, place, 2 * step) - value(index, place, -2 * step)
            answer[place] = (8 * near - far) / (12 * step)
        answers.append(answer)
    return answers
