"""Products of vectors and matrices: all of them are Einstein's summation."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from tbptt_numpy.primitives import fit, primitive
from tbptt_numpy.tensors._operands import promote, tensor
from tbptt_numpy.tensors.reduction import sum
from tbptt_numpy.tensors.shaping import expand_dims, moveaxis, squeeze


def matmul(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    rows = x1 if x1.ndim > 1 else expand_dims(x1, axis=0)
    columns = x2 if x2.ndim > 1 else expand_dims(x2, axis=1)
    product = _matmul(rows, columns)
    return squeeze(product, tuple(axis for axis, x in ((-2, x1), (-1, x2)) if x.ndim == 1))


def matrix_transpose(x: Any) -> Any:
    return moveaxis(x, -1, -2)


def tensordot(x1: Any, x2: Any, *, axes: Any = 2) -> Any:
    x1, x2 = promote(x1, x2)
    if isinstance(axes, int):
        axes = range(x1.ndim - axes, x1.ndim), range(axes)
    pairs = [[one] if isinstance(one, int) else list(one) for one in axes]
    first, second = list(string.ascii_lowercase[: x1.ndim]), list(string.ascii_uppercase[: x2.ndim])
    for i, j in zip(*pairs, strict=True):
        second[j] = first[i]
    free = [letter for letter in first + second if not (letter in first and letter in second)]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(free)}", x1, x2)


def vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Any:
    x1, x2 = promote(x1, x2)
    return sum(x1 * x2, axis=axis, dtype=x1.dtype)


def einsum(subscripts: str, *operands: Any) -> Any:
    return _einsum(*promote(*map(tensor, operands)), subscripts=subscripts.replace(" ", ""))


def _einsum_vjp(i: int) -> Any:
    """A sum over everything but the operand's own letters; those that only it has are brought in by a factor of ones."""

    def vjp(g: Any, y: Any, *x: Any, subscripts: str) -> Any:
        inputs, _, output = subscripts.partition("->")
        letters = inputs.split(",")
        own = letters[i]
        once = "".join(dict.fromkeys(own.replace("...", "")))
        once = "..." + once if "..." in own else once
        others = [*letters[:i], *letters[i + 1 :]]
        formula = f"{','.join([output, *others, own])}->{once}"
        gradient = np.einsum(formula, g, *x[:i], *x[i + 1 :], np.ones_like(x[i]))
        whole = np.zeros_like(x[i])
        diagonal = np.einsum(f"{own}->{once}", whole)  # a view, of all of it unless a letter is there twice
        diagonal[...] = fit(gradient, diagonal)
        return whole

    return vjp


_einsum = primitive(lambda *x, subscripts: np.einsum(subscripts, *x), each=_einsum_vjp)
_matmul = primitive(
    np.matmul,
    lambda g, y, x1, x2: g @ np.swapaxes(x2, -1, -2),
    lambda g, y, x1, x2: np.swapaxes(x1, -1, -2) @ g,
)
