"""Windows of random length, so that boundaries fall elsewhere in every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tbptt.errors import ScheduleError
from tbptt.schedules.scheme import Offset, Scheme, check_burn_in, real, whole
from tbptt.schedules.window import Window


class RandomLength(Scheme):
    """Each window's length is drawn: max(min, int(Normal(base, std))), where base is `mean`, or half of it every 20th time.

    Merity, Keskar & Socher 2017 (arXiv:1708.02182, section 5). The update of a window uses the learning rate times length/mean, so
    that with a loss that is a mean over steps every step of the data has one influence. The defaults give lengths of 67.75 on
    average, with a deviation of 9.13.

    >>> from tbptt import schedules
    >>> [window.steps for window in schedules.RandomLength(70, seed=0).plan(300)]
    [82, 67, 73, 74, 4]

    Args:
        mean: the usual length in time steps.
        p: probability that the base is `mean`.
        std: standard deviation of the normal distribution, in steps.
        min, max: bounds of the length; None for no upper one.
        rescale_lr: whether the learning rate is multiplied by length/mean for the update.
        burn_in, offset, drop_last, seed: as `Scheme`.

    Raises:
        ScheduleError: for lengths that are no whole numbers, a `min` above `max`, or a `p` that is no probability.
    """

    def __init__(
        self,
        mean: int = 70,
        p: float = 0.95,
        std: float = 5,
        min: int = 5,
        max: int | None = None,
        rescale_lr: bool = True,
        *,
        burn_in: int = 0,
        offset: Offset = 0,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.mean, self.min = whole("mean", mean, 1), whole("min", min, 1)
        self.max = None if max is None else whole("max", max, 1)
        self.p = real("p", p, "a probability, a number from 0 to 1", lambda p: 0 <= p <= 1)
        self.std = real("std", std, "a standard deviation in time steps, a number from 0", lambda std: std >= 0)
        if self.max is not None and self.min > self.max:
            raise ScheduleError(f"min is at most max; received min={min} and max={max}.")
        self.rescale_lr = bool(rescale_lr)
        super().__init__(burn_in=burn_in, offset=offset, drop_last=drop_last, seed=seed)
        check_burn_in(self.burn_in, self.mean)

    @property
    def period(self) -> int:
        """The usual length."""
        return self.mean

    def windows(self, progress: dict[str, Any], length: int) -> Iterator[Window]:
        """Windows until the sequence ends."""
        start = progress["position"]
        while start < length:
            steps = progress["first"] if start == 0 and self.offset else self.draw()
            if self.drop_last and start + steps > length:
                return
            stop = min(start + steps, length)
            yield Window(start, stop, rate=(stop - start) / self.mean if self.rescale_lr else 1.0)
            start = stop

    def draw(self) -> int:
        """One length."""
        base = self.mean if self.generator.random() < self.p else self.mean / 2
        steps = max(self.min, int(self.generator.normal(base, self.std)))
        return steps if self.max is None else min(steps, self.max)

    def _kept(self, length: int, first: int) -> int:
        return length  # which windows are too short is known when they are drawn

    def parameters(self) -> dict[str, Any]:
        """All that decides the lengths and rates."""
        return {name: getattr(self, name) for name in ("mean", "p", "std", "min", "max", "rescale_lr")}
