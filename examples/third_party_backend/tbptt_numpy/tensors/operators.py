"""What Python's operators do with tensors: ``a + b`` is ``add(a, b)``, ``a[b]`` picks elements as NumPy does."""

from __future__ import annotations

from typing import Any

from tbptt_numpy.primitives import arrangement
from tbptt_numpy.tensor import Tensor, value_of

BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
COMPARING = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
UNARY = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "bitwise_invert"}

pick = arrangement(lambda x, key: x[key])


def attach() -> None:
    """Give `Tensor` the operators."""
    from tbptt_numpy import tensors  # whole by the time this is called

    for operator, name in {**BINARY, **COMPARING, **UNARY}.items():
        setattr(Tensor, f"__{operator}__", getattr(tensors, name))
    for operator, name in BINARY.items():
        setattr(Tensor, f"__r{operator}__", _reflected(getattr(tensors, name)))
    Tensor.__getitem__ = _getitem


def _reflected(function: Any) -> Any:
    return lambda x, other: function(other, x)


def _getitem(x: Tensor, key: Any) -> Tensor:
    return pick(x, key=tuple(map(value_of, key)) if isinstance(key, tuple) else value_of(key))
