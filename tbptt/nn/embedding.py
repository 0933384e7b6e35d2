"""A table of vectors, looked up by token."""

from __future__ import annotations

from tbptt import ops, precision
from tbptt.nn import init as initial
from tbptt.nn.init import Init
from tbptt.nn.module import Module, parameter
from tbptt.types import Tensor


class Embedding(Module):
    """Rows of a matrix by integer index.

    Args:
        num_embeddings: how many tokens there are; indices run from 0 below it. Any integer dtype is taken.
        embedding_dim: F, the size of each vector.
        init: ``"torch"``: N(0, 1); ``"keras"``: U(±0.05).

    >>> import numpy as np, tbptt
    >>> table = tbptt.nn.Embedding(10, 4)
    >>> tuple(table(tbptt.ops.asarray(np.array([[1, 2, 3]]))).shape)
    (1, 3, 4)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, init: Init = "torch") -> None:
        initial.check(init)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        shape = (num_embeddings, embedding_dim)
        self.weight = parameter(initial.normal(shape) if init == "torch" else initial.uniform(shape, 0.05))

    def forward(self, tokens: Tensor) -> Tensor:
        """Integers (...) to vectors (..., embedding_dim)."""
        # the rows are cast, not the table: fewer, and rows met twice add up their gradients in float32
        return precision.lowered(ops.take(self.weight, tokens, axis=0))

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"
