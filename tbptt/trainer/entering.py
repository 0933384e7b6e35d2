"""The state as it enters a step, and what is done to it there, inside what the engine records and compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tbptt import state, tree
from tbptt.clock import Origin
from tbptt.errors import ConfigurationError
from tbptt.trainer.dispatch import named
from tbptt.types import Tensor, Tree

if TYPE_CHECKING:
    from tbptt.trainer.step import Step
    from tbptt.trainer.walk import Stretch

ARGUMENTS = ("batch_size", "previous", "origin")
"""Of a model's ``initial_state``, by name."""


class Entering(NamedTuple):
    """A state with rows that begin anew, or with the end of the sequence before, which the new one begins from."""

    hiddens: Tree = None
    resets: Tensor | None = None
    """(rows,) of booleans: which begin anew."""
    previous: Tree = None
    """The final state of the batch before, for initial states that ask for it."""

    @classmethod
    def of(cls, hiddens: Any) -> Entering:
        """The state, wrapped unless it is."""
        return hiddens if isinstance(hiddens, cls) else cls(hiddens)


class Beginning:
    """Makes the state that a step is given: the one that came, rows that begin anew set to the model's initial state.

    Args:
        initial: the model's ``initial_state``: a function of ``batch_size``, ``previous`` and ``origin``, as many of them as it
            names; None where the model begins from no state.
        reset: ``reset(state, mask)``, in place of `tbptt.reset_rows`.
        time_axis: where the trainer was told that time is.

    Raises:
        ConfigurationError: if `initial` wants something else.
    """

    def __init__(
        self, initial: Callable[..., Tree] | None, reset: Callable[..., Tree] | None, time_axis: Tree = 1
    ) -> None:
        self._initial, self._reset, self._time_axis = initial, reset, time_axis
        self._wanted: tuple[str, ...] = ()
        if initial is not None:
            try:
                self._wanted = named(initial, ARGUMENTS)
            except TypeError as error:
                raise ConfigurationError(
                    f"initial_state is called with what it names out of {', '.join(ARGUMENTS)}, and {error}. Define it with some "
                    f"of these, as in def initial_state(self, batch_size)."
                ) from None

    @property
    def wants_previous(self) -> bool:
        """Whether it asks for the final state of the batch before."""
        return "previous" in self._wanted

    def __call__(self, given: Any, window: Tree, origin: Origin) -> Tree:
        """The state for a window."""
        hiddens, resets, previous = Entering.of(given)
        begins = hiddens is None
        if begins:
            return self._first(window, previous, origin)
        if resets is None:
            return hiddens
        if self._reset is not None:
            return self._reset(hiddens, resets)
        return state.reset_rows(hiddens, resets, self._first(window, previous, origin))

    def _first(self, window: Tree, previous: Tree, origin: Origin) -> Tree:
        if self._initial is None:
            return None
        known = {"batch_size": rows_of(window, self._time_axis), "previous": previous, "origin": origin}
        return self._initial(**{name: known[name] for name in self._wanted})


def at_batch_start(hiddens: Tree, stretch: Stretch, step: Step) -> Tree:
    """The state that enters a batch, given the one that left the batch before.

    Raises:
        ShapeError: if it belongs to another number of rows.
        ConfigurationError: if rows are cut at different places and continue from the batch before.
    """
    if not stretch.fresh and any(stretch.windowed.shifts):
        raise ConfigurationError(
            "offset='staggered' leaves out the first steps of rows, and here they continue from the batch before, so that their "
            "state would miss these. Read the rows in one batch (no block_steps=), or use offset='random'."
        )
    if stretch.fresh:
        return Entering(previous=hiddens) if step.wants_previous and hiddens is not None else None
    state.check_batch(hiddens, stretch.windowed.batch_size)
    return hiddens


def rows_of(window: Tree, time_axis: Tree = 1) -> int:
    """Rows of a window: of its first leaf that has rows and time."""
    axis = 1 if time_axis == 0 else 0
    for leaf in tree.leaves(window):
        shape = tuple(getattr(leaf, "shape", ()))
        if len(shape) > 1:
            return int(shape[axis])
    return 1
