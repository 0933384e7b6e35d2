"""Products of vectors and matrices."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tbptt_tensorflow.tensors._promotion import promote, promote_all, tensor


def matmul(x1: Any, x2: Any) -> Any:
    x1, x2 = promote(x1, x2)
    rank1, rank2 = x1.shape.rank, x2.shape.rank
    if rank1 > 1 and rank2 > 1:
        return tf.matmul(x1, x2)
    product = tf.matmul(x1[None] if rank1 == 1 else x1, x2[:, None] if rank2 == 1 else x2)
    return tf.squeeze(product, [axis for axis, rank in ((-2, rank1), (-1, rank2)) if rank == 1])


def matrix_transpose(x: Any) -> Any:
    return tf.linalg.matrix_transpose(tensor(x))


def tensordot(x1: Any, x2: Any, *, axes: Any = 2) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.tensordot(x1, x2, axes if isinstance(axes, int) else tuple(map(_list, axes)))


def vecdot(x1: Any, x2: Any, *, axis: int = -1) -> Any:
    x1, x2 = promote(x1, x2)
    return tf.reduce_sum(x1 * x2, axis=axis)


def einsum(subscripts: str, *operands: Any) -> Any:
    return tf.einsum(subscripts, *promote_all(operands))


def _list(axes: Any) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes)
