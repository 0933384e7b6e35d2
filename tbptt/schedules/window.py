"""One update's share of time, as integers: what runs, how far the gradient reaches, which losses count.

A window in full, on the axis of time:

    run_from ........ start ........ stop
                ^reach      ^losses

Steps from `start` to `stop` are new: they have never run, and the windows of a plan tile time with them. Steps from `run_from` to
`start` run again, from a state that was kept when they were new. The gradient flows through the steps from `reach` on, and the
losses of the steps from `losses` on are what it is the gradient of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple


class Piece(NamedTuple):
    """Part of a window that runs in one go."""

    start: int
    stop: int
    recorded: bool
    """Whether the gradient flows through it."""
    counts: bool
    """Whether its losses enter the gradient."""
    again: bool
    """Whether its steps ran before, so that nothing they do besides (logging) happens a second time."""
    factor: float
    """What the gradient is multiplied by where it leaves this piece for the one before."""
    keeps: bool
    """Whether the state that enters it is needed by a later window."""

    @property
    def steps(self) -> int:
        """How many time steps it holds."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Window:
    """New time steps ``start`` to ``stop - 1`` of a sequence, and what is done with them. Given only these, all of it is trained
    on.

    >>> from tbptt.schedules import Window
    >>> window = Window(6, 9, run_from=2)  # three new losses, whose gradient reaches back to step 2
    >>> [(piece.start, piece.stop, piece.counts) for piece in window.pieces()]
    [(2, 6, False), (6, 9, True)]

    Args:
        start, stop: the new steps.
        run_from: where the run begins, at `start` or at a step an earlier window had in `keep`.
        reach: first step the gradient flows through; `run_from` if not given.
        losses: first step whose loss counts; the later one of `start` and `reach` if not given, `stop` for none.
        keep: steps from `start` to ``stop - 1`` before which the state is stored, for `run_from` of later windows.
        factors: pairs (step, factor): there the gradient is multiplied on its way back across the front of that step.
        per: the losses are summed over time and divided by this number of steps, instead of by how many steps there are. It matters
            for losses that are means; sums stay sums.
        rate: factor on the learning rates of this update.
        segment: cut into so many steps at a time, from `reach` on; each is computed again on the way back.
        slots: states held at once between these segments; None for all.
    """

    start: int
    stop: int
    run_from: int = None  # type: ignore[assignment]  # filled in below
    reach: int = None  # type: ignore[assignment]
    losses: int = None  # type: ignore[assignment]
    keep: tuple[int, ...] = ()
    factors: tuple[tuple[int, float], ...] = ()
    per: float | None = None
    rate: float = 1.0
    segment: int | None = None
    slots: int | None = None

    def __post_init__(self) -> None:
        def default(name: str, value: int) -> None:
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

        default("run_from", self.start)
        default("reach", self.run_from)
        default("losses", max(self.start, self.reach))

    @property
    def steps(self) -> int:
        """How many new time steps the window holds."""
        return self.stop - self.start

    @property
    def trains(self) -> bool:
        """Whether any loss counts."""
        return self.losses < self.stop

    @property
    def is_plain(self) -> bool:
        """Whether it is one run from start to stop with every loss counting: what a `Fixed(k)` window is."""
        whole = self.run_from == self.start == self.reach == self.losses
        return whole and not self.keep and not self.factors and self.per is None and self.segment is None

    def burned(self, steps: int) -> Window:
        """The same, with so many steps at the front of the run without gradient and loss.

        >>> from tbptt.schedules import Window
        >>> window = Window(0, 10).burned(4)
        >>> window.reach, window.losses
        (4, 4)
        """
        reach = min(self.stop, max(self.reach, self.run_from + steps))
        return replace(self, reach=reach, losses=max(self.losses, reach)) if steps else self

    def pieces(self, cuts: Iterable[int] = ()) -> list[Piece]:
        """The parts it runs in, in the order of time; those of a window with `segment` end at segments.

        Args:
            cuts: further steps before which a part ends.
        """
        factors = dict(self.factors)
        edges = {
            self.run_from,
            self.start,
            self.reach,
            self.losses,
            self.stop,
            *self.keep,
            *factors,
            *self._grid(),
            *cuts,
        }
        return [
            Piece(
                start,
                stop,
                recorded=self.reach <= start and self.trains,
                counts=self.losses <= start,
                again=start < self.start,
                factor=factors.get(start, 1.0),
                keeps=start in self.keep,
            )
            for start, stop in pairwise(sorted(edge for edge in edges if self.run_from <= edge <= self.stop))
        ]

    def tiles(self) -> list[tuple[int, int]]:
        """Start and stop of the parts its new steps run in.

        >>> from tbptt.schedules import Window
        >>> Window(0, 10, segment=4).tiles()
        [(0, 4), (4, 8), (8, 10)]
        """
        return [(piece.start, piece.stop) for piece in self.pieces() if not piece.again]

    def _grid(self) -> range:
        return range(0) if self.segment is None else range(self.reach, self.stop, self.segment)
