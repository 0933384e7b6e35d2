"""Operations: a function of arrays, and for each operand its vector-Jacobian product.

A vector-Jacobian product (vjp) takes g, the gradient of the loss with respect to the answer, to the gradient with respect to one
operand. Each is written by hand, as a function ``(g, y, *x, **options)`` of g, the answer y and the operands x.

    >>> import numpy as np
    >>> from tbptt_numpy.tensor import Tensor
    >>> multiply = primitive(np.multiply, lambda g, y, x1, x2: g * x2, lambda g, y, x1, x2: g * x1)
    >>> multiply(Tensor([1.0, 2.0]), 3.0)
    Tensor([3., 6.], dtype=float64)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np

from tbptt.types import Array
from tbptt_numpy.tensor import Tensor, value_of


class Step(NamedTuple):
    """One operation, as a tape records it."""

    name: str
    """NumPy's function, or the place of ours."""
    answer: Tensor
    routes: list[tuple[Any, Callable[[Array], Array]]]
    """Operands that may have a gradient, and what takes the answer's gradient to theirs."""


class Recorder(Protocol):
    """What is told of operations (`tbptt_numpy.autodiff`)."""

    def record(self, step: Step) -> None:
        """Keep it, if it has to do with something the gradient will be asked of."""
        ...


open_tapes: list[Recorder] = []


def primitive(
    function: Callable[..., Any],
    *vjps: Callable[..., Any] | None,
    each: Callable[[int], Callable[..., Any]] | None = None,
) -> Callable[..., Tensor]:
    """An operation on tensors out of a function of arrays, which open tapes get told of.

    Args:
        function: of arrays, given by position, and of options, given by name.
        vjps: one for each operand; None, or none at all, where there is no gradient.
        each: instead of `vjps`, for any number of operands: the place of one gives its vjp.
    """
    code = getattr(function, "__code__", None)
    name = f"{function.__module__}:{code.co_firstlineno}" if code is not None else function.__name__

    def operation(*operands: Any, **options: Any) -> Tensor:
        values = [value_of(x) for x in operands]
        with np.errstate(all="ignore"):  # infinities and NaN are values like others
            answer = Tensor(function(*values, **options))
        if open_tapes:
            rules: Iterable[Any] = vjps if each is None else map(each, range(len(operands)))
            routes = [
                (x, _route(vjp, answer.value, i, values, options))
                for i, (x, vjp) in enumerate(zip(operands, rules, strict=False))
                if vjp is not None
            ]
            for tape in open_tapes:
                tape.record(Step(name, answer, routes))
        return answer

    return operation


def arrangement(function: Callable[..., Array]) -> Callable[..., Tensor]:
    """An operation that moves, leaves out and repeats elements of its first operand, and does nothing else.

    All of these have the same vjp: where the elements came from is seen by arranging their numbers, and each of them gets the
    sum of what its copies got.
    """

    def vjp(g: Array, y: Array, x: Array, *arguments: Any, **options: Any) -> Array:
        places = function(np.arange(x.size).reshape(x.shape), *arguments, **options)
        return np.bincount(places.ravel(), g.ravel(), x.size).reshape(x.shape)

    return primitive(function, vjp)


def _route(vjp: Callable[..., Any], answer: Array, i: int, values: list[Any], options: Any) -> Callable[[Array], Array]:
    return lambda g: fit(vjp(g, answer, *values, **options), values[i])


def fit(gradient: Any, operand: Array) -> Array:
    """The gradient of an operand that may have been broadcast: summed over its repetitions, in its dtype."""
    gradient = np.asarray(gradient)
    new = gradient.ndim - operand.ndim
    repeated = tuple(i for i, n in enumerate(gradient.shape) if i < new or n != operand.shape[i - new])
    return np.sum(gradient, axis=repeated).reshape(operand.shape).astype(operand.dtype, copy=False)
