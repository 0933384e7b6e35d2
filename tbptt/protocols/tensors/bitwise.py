"""Integers as rows of bits. A counter-based random generator is written in these, on every engine alike."""

from __future__ import annotations

from typing import Protocol

from tbptt.types import Tensor


class Bitwise(Protocol):
    """Bit operations on integers (``and``, ``or``, ``xor`` and ``invert`` on bool too), in two's complement.

    Shifts by less than 0 or by at least the width of the dtype are undefined.
    """

    def bitwise_and(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Bits that are set in both."""
        ...

    def bitwise_or(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Bits that are set in either."""
        ...

    def bitwise_xor(self, x1: Tensor, x2: Tensor) -> Tensor:
        """Bits that are set in exactly one."""
        ...

    def bitwise_invert(self, x: Tensor) -> Tensor:
        """Every bit turned over."""
        ...

    def bitwise_left_shift(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The bits of x1 moved up by x2 places; what leaves at the top is lost."""
        ...

    def bitwise_right_shift(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The bits of x1 moved down by x2 places; copies of the sign fill the top (⌊x1 / 2^x2⌋)."""
        ...

    def logical_right_shift(self, x1: Tensor, x2: Tensor) -> Tensor:
        """The bits of x1, an int32 or int64 tensor, moved down by x2 places; zeros fill the top (``>>>`` of Java).

        >>> from tbptt import ops
        >>> int(ops.logical_right_shift(ops.asarray(-1, dtype="int32"), 28))
        15
        """
        ...
