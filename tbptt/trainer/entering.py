"""The state as it enters a step, and what is done to it there, inside what the engine records and compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tbptt import ops, state, tree
from tbptt.clock import Origin
from tbptt.errors import ConfigurationError, ShapeError, StructureError
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
        ShapeError: from calls, if nothing tells where the rows are that begin anew.
    """

    def __init__(
        self, initial: Callable[..., Tree] | None, reset: Callable[..., Tree] | None, time_axis: Tree = 1
    ) -> None:
        self._initial, self._reset, self._time_axis = initial, reset, time_axis
        self._wanted: tuple[str, ...] = ()
        if initial is not None:
            # calling a module takes anything, and hands it to its forward (torch), or call (Keras)
            function = getattr(initial, "forward", None) or getattr(initial, "call", None) or initial
            try:
                self._wanted = named(function, ARGUMENTS)
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
        if hiddens is None:
            return self._first(rows_of(window, self._time_axis), previous, origin)
        if resets is None:
            return hiddens
        if self._reset is not None:
            return self._reset(hiddens, resets)
        rows = rows_of(window, self._time_axis)
        first = self._first(rows, previous, origin)
        return state.reset_rows(hiddens, resets, first, self._axes(hiddens, first, rows, previous, origin))

    def _first(self, rows: int | Tensor, previous: Tree, origin: Origin) -> Tree:
        if self._initial is None:
            return None
        known = {"batch_size": rows, "previous": previous, "origin": origin}
        return self._initial(**{name: known[name] for name in self._wanted})

    def _axes(self, hiddens: Tree, first: Tree, rows: int | Tensor, previous: Tree, origin: Origin) -> Tree:
        """Where the state's rows are; None where its shapes tell. Where they do not, it is the axis that is longer in the initial
        state of one row more.
        """
        if not isinstance(rows, int) or not any(has_two_places(leaf, rows) for leaf in tree.leaves(hiddens)):
            return None
        if tree.structure(first) != tree.structure(hiddens):
            shapes = ", ".join(str(tuple(getattr(leaf, "shape", ()))) for leaf in tree.leaves(hiddens))
            raise ShapeError(
                f"Rows begin anew, and the state ({shapes}) could have its {rows} rows on axis 0 or on axis 1. Give the model an "
                f"initial_state, a tree like the state, which tells, such as tbptt.initial_states.Given of one row; or say which "
                f"with Trainer(reset_fn=lambda state, mask: tbptt.reset_rows(state, mask, batch_axis=1))."
            )
        longer = self._first(rows + 1, previous, origin)
        return tree.map(_longer_axis, first, longer)


def at_batch_start(hiddens: Tree, stretch: Stretch, step: Step) -> Tree:
    """The state that enters a batch, given the one that left the batch before.

    Raises:
        ShapeError: if it belongs to another number of rows.
        ConfigurationError: if rows are cut at different places and continue from the batch before, or begin anew inside the batch
            and have no state.
    """
    if not stretch.fresh and any(stretch.windowed.shifts):
        raise ConfigurationError(
            "offset='staggered' leaves out the first steps of rows, and here they continue from the batch before, so that their "
            "state would miss these. Read the rows in one batch (no block_steps=), or use offset='random'."
        )
    if stretch.resets is not None and stretch.resets.ndim == 2 and not step.takes_hiddens:
        raise ConfigurationError(
            f"The batch has a reset mask of rows and steps, and {step.name} takes no hiddens, so there is no state to begin anew. "
            f"Define {step.name}(self, batch, batch_idx, hiddens), or do what the mask says in the step itself and set "
            f"handles_resets = True in the model."
        )
    if step.wants_previous:
        stretch.previous = state.detach(hiddens, copy=True)  # the model may write into the other
    if stretch.fresh:
        return Entering(previous=hiddens) if step.wants_previous and hiddens is not None else None
    state.check_batch(hiddens, stretch.windowed.batch_size)
    return hiddens


def rows_of(window: Tree, time_axis: Tree = 1) -> int | Tensor:
    """Rows of a window: of its first leaf that has rows and time. A tensor in a program for any number of rows.

    A window that a hook has rebuilt need not look like `time_axis`; then rows are on axis 0.
    """
    leaves = tree.leaves(window)
    axes: list[Any] = [time_axis] * len(leaves)
    if tree.is_node(time_axis):
        try:
            axes = tree.broadcast(time_axis, window, ("time_axis", "the window"))
        except StructureError:
            axes = [1] * len(leaves)
    for leaf, time in zip(leaves, axes, strict=True):
        shape = tuple(getattr(leaf, "shape", ()))
        if len(shape) > 1 and isinstance(time, int):
            rows = 1 if time == 0 else 0
            return ops.shape(leaf)[rows] if shape[rows] is None else int(shape[rows])
    return 1


def has_two_places(leaf: Any, rows: int) -> bool:
    """Whether the rows of a leaf could be on axis 0 as well as on axis 1."""
    shape = tuple(getattr(leaf, "shape", ()))
    return rows > 1 and len(shape) > 2 and shape[:2] == (rows, rows)


def _longer_axis(leaf: Any, longer: Any) -> int | None:
    pairs = zip(getattr(leaf, "shape", ()), getattr(longer, "shape", ()), strict=False)
    return next((axis for axis, (here, there) in enumerate(pairs) if here != there), None)
