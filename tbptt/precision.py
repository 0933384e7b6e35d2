"""Mixed precision: weights of float32, arithmetic in half of it.

Inside `computing_in` the layers of `tbptt.nn` cast inputs, state and weights to the compute dtype, so their outputs and states are
of that dtype; gradients arrive in the parameters' own. What loses too much in sixteen bits is computed in float32 wherever its
inputs come from: losses and metrics (which answer in float32), and `LayerNorm` (which casts back). Native modules follow the rule
of their engine: torch's autocast; Keras layers the policy they were made with.

Functions of `tbptt.ops` compute in what they are given. (Under torch, autocast holds for them too.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tbptt import backends, dtypes, ops, tree
from tbptt.errors import ConfigurationError
from tbptt.types import DType, Tensor, Tree

HALVES = ("bfloat16", "float16")

_dtype: DType | None = None


def set_float32_matmul_precision(precision: str) -> None:
    """How the current engine multiplies matrices of float32 on devices that have a shorter format for it (TF32), from here on.

    ``"highest"``, in float32, is what holds on every engine until this is called; ``"high"`` is faster and differs from the third
    digit on. The name and the words are torch's (`torch.set_float32_matmul_precision`).

    >>> import tbptt
    >>> tbptt.set_float32_matmul_precision("highest")

    Raises:
        ConfigurationError: for any other word.
    """
    if precision not in ("highest", "high"):
        raise ConfigurationError(
            f"precision of matrix products must be 'highest' (float32) or 'high' (TF32 where a device has it); received "
            f"{precision!r}."
        )
    backends.current_backend().compilation.set_float32_matmul_precision(precision)


def compute_dtype() -> DType | None:
    """What layers compute in here; None: in what their inputs and weights are of."""
    return _dtype


@contextmanager
def computing_in(dtype: Any) -> Iterator[None]:
    """Inside the block, layers compute in ``"bfloat16"`` or ``"float16"``. None: in full, also within such a block.

    Around forward and loss; gradients and updates are none of its business. Where a step is compiled, inside the function that is:
    a program does not notice what is around its call.

    >>> import tbptt
    >>> from tbptt import nn, ops
    >>> from tbptt.precision import computing_in
    >>> layer = nn.Linear(2, 3)
    >>> with computing_in("bfloat16"):
    ...     outputs = layer(ops.ones((4, 2)))
    >>> ops.dtype(outputs), ops.dtype(layer.weight)
    ('bfloat16', 'float32')

    Raises:
        ConfigurationError: for any other dtype.
    """
    global _dtype
    name = None if dtype is None else dtypes.name_of(dtype)
    if name is not None and name not in HALVES:
        raise ConfigurationError(
            f"Layers compute in {' or '.join(HALVES)} with weights of float32; received {dtype!r}. "
            f"For another precision of weights and arithmetic alike, convert the module: module.to(dtype={name!r})."
        )
    if name == _dtype:
        yield
        return
    before, _dtype = _dtype, name
    try:
        with backends.current_backend().interop.autocast(name):
            yield
    finally:
        _dtype = before


def lowered(values: Tree) -> Tree:
    """Floating tensors in the compute dtype, whatever else as it is; outside `computing_in` the very same object."""
    return values if _dtype is None else tree.map(_lowered, values)


def raised(x: Tensor) -> Tensor:
    """A tensor of half precision in float32; everything else as it is. Inside `computing_in` and outside."""
    return ops.astype(x, "float32") if is_half(x) else x


def is_half(x: Tensor) -> bool:
    """Whether this is a tensor of sixteen-bit floats."""
    kind = getattr(x, "dtype", None)
    return kind is not None and dtypes.name_of(kind) in HALVES


def _lowered(leaf: Any) -> Any:
    if getattr(leaf, "dtype", None) is None or dtypes.name_of(leaf.dtype) not in dtypes.FLOATS:
        return leaf
    return ops.astype(leaf, _dtype)
