"""Random cuts whose gradient is that of the whole sequence on average."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tbptt.errors import ScheduleError
from tbptt.schedules.scheme import Offset, Scheme, check_burn_in, real, whole
from tbptt.schedules.window import Window


class ARTBP(Scheme):
    """Anticipated reweighted truncated backpropagation: windows end by chance, and what is not cut is weighted up for it.

    Tallec & Ollivier 2017 (arXiv:1705.08209). At each boundary the sequence is cut with probability c; where it is not, the
    gradient that flows back across is multiplied by 1/(1 − c), so that its expectation over the cuts is the full gradient. With a
    the number of boundaries since the last cut (1, 2, ...), c = (α − 1)/((α − 2)·L + a), which gives windows of L blocks on
    average.

    A window's losses count as a sum over its steps: those that are means, times the steps they are means over and divided by the
    mean length, never by the window's own.

    >>> from tbptt import schedules
    >>> schedule = schedules.ARTBP(16)
    >>> round(schedule.probability(1), 6), round(schedule.probability(100), 6)
    (0.076923, 0.030488)

    Args:
        mean_length: L, in blocks, above 1.
        alpha: how fast the probability falls with age: about (1 + a/((α − 2)·L))^(1 − α) of the windows are longer than a blocks,
            so that they have a mean for α above 2. None: the probability is 1/L always.
        block: time steps from one boundary to the next; whole blocks run through the fused kernels.
        c: a constant probability of a cut, in place of `mean_length`.
        burn_in, offset, drop_last, seed: as `Scheme`. `offset` moves the boundaries of blocks. With `burn_in` steps without
            gradient the expectation is no longer that of the full gradient.

    Raises:
        ScheduleError: if a number is out of its range.
    """

    def __init__(
        self,
        mean_length: float | None = None,
        alpha: float | None = 6,
        block: int = 1,
        c: float | None = None,
        *,
        burn_in: int = 0,
        offset: Offset = 0,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.block = whole("block", block, 1)
        if (mean_length is None) == (c is None):
            raise ScheduleError(
                f"ARTBP takes the mean length of its windows, as in ARTBP(16), or a constant probability of a cut, as in "
                f"ARTBP(c=0.0625); received mean_length={mean_length!r} and c={c!r}."
            )
        self.c = None if c is None else real("c", c, "a probability above 0 and below 1", lambda c: 0 < c < 1)
        expected = "the mean length of windows in blocks, a number above 1"
        length = 1 / self.c if self.c is not None else mean_length
        self.mean_length = real("mean_length", length, expected, lambda length: length > 1)
        self.alpha = (
            None if alpha is None else real("alpha", alpha, "a number above 2, or None", lambda alpha: alpha > 2)
        )
        if self.c is not None:
            self.alpha = None
        super().__init__(burn_in=burn_in, offset=offset, drop_last=drop_last, seed=seed)
        check_burn_in(self.burn_in, self.evaluation_steps)

    @property
    def period(self) -> int:
        """Steps of a block."""
        return self.block

    @property
    def evaluation_steps(self) -> int:
        """Steps of a window on average."""
        return round(self.mean_length * self.block)

    def probability(self, age: int) -> float:
        """Of a cut at the boundary that is the `age`-th since the last cut, from 1."""
        if self.alpha is None:
            return 1 / self.mean_length
        return min(1.0, (self.alpha - 1) / ((self.alpha - 2) * self.mean_length + age))

    def windows(self, progress: dict[str, Any], length: int) -> Iterator[Window]:
        """Windows from cut to cut, with the factors of the boundaries in between."""
        start, first = progress["position"], progress["first"]
        while start < length:
            stop, age, factors = start, 0, []
            while True:
                stop = stop + self.block - (stop - first) % self.block
                age += 1
                if stop >= length:
                    stop = length
                    break
                probability = self.probability(age)
                if self.generator.random() < probability:
                    break
                factors.append((stop, 1 / (1 - probability)))
            yield Window(start, stop, factors=tuple(factors), per=self.mean_length * self.block)
            start = stop

    def parameters(self) -> dict[str, Any]:
        """Mean length (or constant probability), alpha, block."""
        mean_length = self.mean_length if self.c is None else None
        return {"mean_length": mean_length, "alpha": self.alpha, "block": self.block, "c": self.c}

    def _defaults(self) -> dict[str, Any]:
        return {**super()._defaults(), "alpha": 6 if self.c is None else None}
