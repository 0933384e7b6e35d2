"""Integers as rows of bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt_numpy.tensors.arithmetic import of_one, of_two


def _with_zeros(x1: Any, x2: Any) -> Any:
    unsigned = f"uint{8 * x1.dtype.itemsize}"
    return (x1.astype(unsigned) >> x2.astype(unsigned)).astype(x1.dtype)


bitwise_and = of_two(np.bitwise_and)
bitwise_or = of_two(np.bitwise_or)
bitwise_xor = of_two(np.bitwise_xor)
bitwise_invert = of_one(np.invert)
bitwise_left_shift = of_two(np.left_shift)
bitwise_right_shift = of_two(np.right_shift)
logical_right_shift = of_two(_with_zeros)
