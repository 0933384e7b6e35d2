"""What the schedules of this package share: options, random draws, saving and resuming, and pictures of the plan."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tbptt import random
from tbptt.errors import DataError, ScheduleError
from tbptt.schedules.base import check_length
from tbptt.schedules.window import Window

if TYPE_CHECKING:
    import os

    import numpy as np

Offset: TypeAlias = Literal["random", "staggered"] | int


class Scheme:
    """Base of all: a subclass says what its period is, and yields windows from a position on.

    Args:
        burn_in: so many steps at the front of every run without gradient and loss: they only warm the state up.
        offset: the steps of a sequence's first window: 0 for as many as of the others, ``"random"`` for a number drawn for every
            sequence, so that boundaries fall elsewhere in every epoch; ``"staggered"``: rows are cut at different places, each row
            being a little ahead of the one before. Its first steps (fewer than a window) are then left out, and the rows' ends.
        drop_last: leave out what is left at the end of a sequence when it is shorter than the others.
        seed: of the draws. None: a function of `tbptt.seed_everything`'s.

    Raises:
        ScheduleError: for options that cannot be.
    """

    def __init__(
        self, *, burn_in: int = 0, offset: Offset = 0, drop_last: bool = False, seed: int | None = None
    ) -> None:
        self.burn_in = whole("burn_in", burn_in, 0)
        if offset not in ("random", "staggered"):
            offset = whole("offset", offset, 0, "'random', 'staggered', or ")
        self.offset: Offset = offset
        if isinstance(offset, int) and offset > self.period:
            raise ScheduleError(
                f"offset is how many steps the first window of a sequence has, at most as many as the others, {self.period}; "
                f"received {offset}."
            )
        self.drop_last = bool(drop_last)
        self.seed = seed
        self._generator: np.random.Generator | None = None
        self._progress: dict[str, Any] = {}
        """Of the plan in progress: ``position``, ``first``, and what else the subclass needs to go on from there."""
        self._resumes = False

    @property
    def period(self) -> int:
        """Steps from one place where it may cut to the next, or their mean."""
        raise NotImplementedError

    @property
    def evaluation_steps(self) -> int:
        """Steps of the windows that validation runs in: about as many as a run has in training."""
        return self.period

    def windows(self, progress: dict[str, Any], length: int) -> Iterator[Window]:
        """The windows from ``progress["position"]`` on; the first of a sequence has ``progress["first"]`` steps."""
        raise NotImplementedError

    @property
    def position(self) -> int:
        """Where the next plan begins: 0, or where `load_state_dict` stopped."""
        return self._progress["position"] if self._resumes else 0

    def plan(self, length: int) -> Iterator[Window]:
        """The windows of a sequence of `length` steps.

        Raises:
            DataError: if there is no step to cut, or too few for one window where shorter ones are dropped.
            ScheduleError: if the plan to be resumed is of a longer sequence.
        """
        check_length(length)
        if self.position >= length:
            raise ScheduleError(
                f"{self!r} was saved at step {self.position} of a longer sequence than this one of {length} steps. Resume with the "
                f"data the state was saved with."
            )
        return self._plan(length)

    def _plan(self, length: int) -> Iterator[Window]:
        if not self._resumes:
            self._progress = {"position": 0, "first": self._first()}
        self._resumes = False
        progress, began, window = self._progress, self._progress["position"], None
        end = self._kept(length, progress["first"])
        for window in self.windows(progress, end):
            progress["position"] = window.stop if window.stop < end else 0  # what is saved at the last one goes on anew
            yield window.burned(self.burn_in)
        if window is None and not began:  # a plan that goes on may find that its last window was the last
            raise self._too_short(progress["first"], length)
        progress["position"] = 0

    def _kept(self, length: int, first: int) -> int:
        """Steps of a sequence that are used."""
        if not self.drop_last:
            return length
        if length < first:
            raise self._too_short(first, length)
        return first + (length - first) // self.period * self.period

    def _too_short(self, first: int, length: int) -> DataError:
        return DataError(
            f"{self!r} drops windows that are shorter than {first} steps, and the sequence has {length}: nothing would be left. "
            f"Use drop_last=False, or shorter windows."
        )

    def _first(self) -> int:
        if self.offset == "random":
            return int(self.generator.integers(1, self.period + 1))
        return self.offset if isinstance(self.offset, int) and self.offset else self.period

    def shifts(self, rows: int) -> list[int]:
        """How many steps each row is ahead of the first: evenly spread over a period where the offset is staggered, else 0."""
        return [row * self.period // rows if self.offset == "staggered" else 0 for row in range(rows)]

    @property
    def generator(self) -> np.random.Generator:
        """Where the draws come from."""
        if self._generator is None:
            self._generator = random.generator_of(type(self).__name__, self.seed)
        return self._generator

    def explain(self, length: int) -> str:
        """The plan for `length` steps as a table a person can read."""
        from tbptt.schedules.explaining import explain

        return explain(self, length)

    def plot(self, length: int, path: str | os.PathLike[str]) -> None:
        """Draw the plan for `length` steps into a picture: time across, updates down, and the weight of each lag.

        It needs matplotlib.
        """
        from tbptt.schedules.plot import plot

        plot(self, length, path)

    def parameters(self) -> dict[str, Any]:
        """The arguments that make an equal schedule, in their order."""
        raise NotImplementedError

    def _arguments(self) -> dict[str, Any]:
        options = {"burn_in": self.burn_in, "offset": self.offset, "drop_last": self.drop_last, "seed": self.seed}
        return {**self.parameters(), **options}

    def state_dict(self) -> dict[str, Any]:
        """Its arguments, where in a sequence its plan is, and its generator. Once loaded, the next plan goes on from there."""
        drawn = None if self._generator is None else self._generator.bit_generator.state
        progress = self._progress if self._progress.get("position") else {}
        return {"kind": type(self).__name__, **self._arguments(), "progress": dict(progress), "generator": drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become the schedule that was saved, in the middle of the sequence it was saved in.

        Raises:
            ScheduleError: if the state is not one of this kind of schedule; nothing has changed then.
        """
        kind = type(self).__name__
        names = list(self._arguments())
        if state.get("kind") != kind or not set(self.parameters()) <= set(state):
            raise ScheduleError(
                f"This is not the state of {'an' if kind[0] in 'A' else 'a'} {kind} schedule: {dict(state)!r}. "
                f"Load it into a schedule of the kind that saved it."
            )
        saved = type(self)(**{name: state[name] for name in names if name in state})
        if state.get("generator") is not None:
            saved.generator.bit_generator.state = state["generator"]
        saved._progress = dict(state.get("progress", {}))
        saved._resumes = bool(saved._progress)
        vars(self).update(vars(saved))

    def _defaults(self) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in inspect.signature(type(self)).parameters.items()}

    def __repr__(self) -> str:
        defaults, shown = self._defaults(), list[str]()
        for index, (name, value) in enumerate(self._arguments().items()):
            if value != defaults.get(name):
                by_place = len(shown) == index and name in self.parameters()
                shown.append(f"{value!r}" if by_place else f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().items()))


def whole(name: str, value: Any, least: int, alternatives: str = "") -> int:
    """The value, a whole number from `least`.

    Raises:
        ScheduleError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        hint = ". A window of 20 steps is Fixed(20)" if name == "k1" else ""
        raise ScheduleError(
            f"{name} is a number of time steps: {alternatives}a whole number of at least {least}; received {value!r} "
            f"({type(value).__name__}){hint}."
        )
    return int(value)


def check_burn_in(burn_in: int, run: int) -> None:
    """Nothing if a run of so many steps has any left after those that only warm the state up.

    Raises:
        ScheduleError: if it has none.
    """
    if burn_in >= run:
        raise ScheduleError(
            f"burn_in={burn_in} leaves nothing of runs of {run} steps to train on. Give fewer steps, or longer windows."
        )


def real(name: str, value: Any, expected: str, fits: Callable[[Any], bool]) -> float:
    """The value, a finite number that fits.

    Raises:
        ScheduleError: if it is no number, or does not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not (math.isfinite(value) and fits(value)):
        raise ScheduleError(f"{name} is {expected}; received {value!r} ({type(value).__name__}).")
    return value if isinstance(value, int) else float(value)
