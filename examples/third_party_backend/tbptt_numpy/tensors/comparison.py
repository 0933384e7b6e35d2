"""Element by element: questions answered by bool, and the choice by such an answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from tbptt_numpy.primitives import primitive
from tbptt_numpy.tensors._operands import promote, tensor
from tbptt_numpy.tensors.arithmetic import of_one, of_two

equal = of_two(np.equal)
not_equal = of_two(np.not_equal)
less = of_two(np.less)
less_equal = of_two(np.less_equal)
greater = of_two(np.greater)
greater_equal = of_two(np.greater_equal)
isfinite = of_one(np.isfinite)
isnan = of_one(np.isnan)
isinf = of_one(np.isinf)
logical_and = of_two(np.logical_and)
logical_or = of_two(np.logical_or)
logical_xor = of_two(np.logical_xor)
logical_not = of_one(np.logical_not)


def where(condition: Any, x1: Any, x2: Any) -> Any:
    return _where(tensor(condition), *promote(x1, x2))


_where = primitive(
    lambda c, x1, x2: np.where(c != 0, x1, x2),
    None,
    lambda g, y, c, x1, x2: np.where(c != 0, g, 0),
    lambda g, y, c, x1, x2: np.where(c != 0, 0, g),
)
