"""A module's step as pure functions of one window, which the engine may compile.

Three cuts of one thing, so that a hook can stand between any two of its parts and the numbers stay the same:

    whole       forward, gradient, clipping and update in one program; validation is forward alone
    gradients   forward and gradient in one program, clipping and update in another
    forward     forward in one program, the gradient through a tape held open around it, clipping and update in another
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from tbptt import autodiff, clock, counting, ops, precision, state, tree
from tbptt.clock import Origin
from tbptt.data.lengths import lengths_in
from tbptt.errors import ModuleProtocolError
from tbptt.protocols import Backend, Compiled
from tbptt.pullback import Cotangent, Gradients, Recording
from tbptt.trainer import logs
from tbptt.trainer.dispatch import places_of
from tbptt.trainer.entering import Beginning
from tbptt.types import Tensor, Tree


class Result(NamedTuple):
    """What a step answers with."""

    hiddens: Tree
    """The state to carry to the next window, cut from its past."""
    loss: Tensor | None
    """None in an evaluation step that returns none."""
    logged: logs.Values
    extras: Tree
    """Whatever else the step returned, cut from its past; None unless it is wanted."""
    weight: Tensor | int
    """How many elements the loss is a mean over."""
    is_counted: bool = True
    """Whether the loss itself said so; else it is what a mean over rows and steps would be a mean over."""


class Call(NamedTuple):
    """One window's arguments of a step."""

    window: Tree
    hiddens: Tree
    numbers: Any
    """Epoch, row, time and batch_idx: Python's, or a tensor where the engine would make a new program of each."""


class Step:
    """A module's step, and how the engine runs it.

    Args:
        function: ``module.training_step``, ``module.validation_step``, ...
        end: ``module.training_step_end``, ..., which gets what the function returned; None if there is none.
        backend: the engine it runs on.
        compile: ``"auto"``, True or False (`tbptt.protocols.Compilation`).
        options: where the options of logged names are remembered.
        carries: whether there are several windows a batch or a state between batches, so that `hiddens` must be returned.
        time_axis: where the trainer was told that time is (`tbptt.windows`).
        several: whether there are several optimizers, so that a third argument is `optimizer_idx`.
        keeps_extras: whether anybody wants what the step returns besides loss and state.
        compute_dtype: what layers compute in where it is not the parameters' dtype.
        begins: makes the state as it enters of what comes from the window before (`tbptt.trainer.entering`).
        detach: cuts a state from its past.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        backend: Backend,
        compile: bool | str,
        options: dict[str, logs.Options],
        carries: bool,
        time_axis: Tree = 1,
        end: Callable[..., Any] | None = None,
        several: bool = False,
        keeps_extras: bool = False,
        compute_dtype: str | None = None,
        begins: Beginning | None = None,
        detach: Callable[[Tree], Tree] = state.detach,
    ) -> None:
        self.name = function.__name__
        self.backend = backend
        self._function = function
        self._end = end
        self._offered = ("batch", "batch_idx", *(("optimizer_idx",) if several else ()), "hiddens")
        places = places_of(function, self._offered)
        self._places = list(range(len(self._offered))) if places is None else places
        self.takes_hiddens = len(self._offered) - 1 in self._places
        self._mode = compile
        self.options = options
        self._carries = carries and self.takes_hiddens
        self._keeps_extras = keeps_extras
        self._compute_dtype = compute_dtype
        self._begins, self._detach = begins, detach
        self._time_axis = time_axis
        self._predicts = function.__name__ == "predict_step"
        self._programs: dict[tuple[str, int], Compiled] = {}
        self._probe = backend.compilation.compile(function, compile, self.name)

    @property
    def is_compiled(self) -> bool:
        """Whether the engine makes programs of it."""
        return self._probe.bakes_numbers

    @property
    def wants_previous(self) -> bool:
        """Whether the state it begins from is made of the final state of the batch before."""
        return self._begins is not None and self._begins.wants_previous

    @property
    def arguments(self) -> list[str]:
        """Names of what it is given."""
        return [self._offered[place] for place in self._places]

    def program(self, kind: str, function: Callable[..., Any], key: int = 0) -> Compiled:
        """The compiled form of a function, made once for each kind and key."""
        found = self._programs.get((kind, key))
        if found is None:
            found = self._programs[kind, key] = self.backend.compilation.compile(function, self._mode, self.name)
        return found

    @property
    def compiled(self) -> Compiled:
        """How it runs: that of its programs which was traced most often."""
        return max([self._probe, *self._programs.values()], key=lambda program: program.traces)

    def call(self, window: Tree, hiddens: Tree, origin: Origin, batch_idx: int) -> Call:
        """One window's arguments, as the programs want them."""
        numbers: Any = (*origin, batch_idx)
        return Call(window, hiddens, self.input(numbers, "int64"))

    def input(self, numbers: Any, dtype: str) -> Any:
        """Numbers as an argument of a program: a tensor where the engine would bake them in."""
        if self.is_compiled:
            return self.backend.tensors.asarray(np.array(numbers, dtype=dtype))
        return numbers

    def evaluate(self, call: Call) -> Result:
        """Forward without gradients."""
        return self.program("evaluate", self._without_gradients)(*call)  # type: ignore[no-any-return]

    def _without_gradients(self, window: Tree, hiddens: Tree, numbers: Any) -> Result:
        with self.backend.autodiff.no_grad():
            return self._cut(self.forward(window, hiddens, numbers, None, loss_needed=False))

    def advance(self, call: Call, optimizer_idx: int | None = None) -> Result:
        """Forward in training, without gradients: for steps that only bring the state on. The state that enters is left as it is,
        whatever the model writes into its own.
        """
        call = call._replace(hiddens=state.detach(call.hiddens, copy=True))

        def advance(window: Tree, hiddens: Tree, numbers: Any) -> Result:
            with self.backend.autodiff.no_grad():
                return self._cut(self.forward(window, hiddens, numbers, optimizer_idx))

        return self.program("advance", advance, optimizer_idx or 0)(*call)  # type: ignore[no-any-return]

    def recorded(self, call: Call, parameters: list[Any], optimizer_idx: int | None = None) -> Recording:
        """Forward with a record kept; its output is a `Result` whose loss and state are attached to their past."""

        def forward(window: Tree, hiddens: Tree, numbers: Any) -> Result:
            return self.forward(window, hiddens, numbers, optimizer_idx, attached=True)

        program = self.program("recorded", forward, optimizer_idx or 0)
        return Recording(
            lambda hiddens: program(call.window, hiddens, call.numbers), call.hiddens, parameters, self.backend
        )

    def there_and_back(
        self,
        call: Call,
        parameters: list[Any],
        optimizer_idx: int | None,
        loss_cotangent: Tensor | None,
        cotangent: Cotangent | None,
    ) -> tuple[Gradients, Cotangent]:
        """Forward and back in one program: gradients, and the cotangent of the state that entered.

        Args:
            call: the window's arguments.
            parameters: that gradients are wanted for.
            optimizer_idx: whose turn it is.
            loss_cotangent: a scalar; None where the loss does not count.
            cotangent: of the state that leaves; None where it is cut off.
        """

        def there_and_back(
            window: Tree, hiddens: Tree, numbers: Any, loss_cotangent: Tensor | None, cotangent: Cotangent | None
        ) -> Any:
            recording = Recording(
                lambda entering: self.forward(window, entering, numbers, optimizer_idx, attached=True),
                hiddens,
                parameters,
                self.backend,
            )
            result: Result = recording.output
            return recording.pullback((result.loss, loss_cotangent), (result.hiddens, cotangent))

        program = self.program("there and back", there_and_back, optimizer_idx or 0)
        return program(*call, loss_cotangent, cotangent)  # type: ignore[no-any-return]

    def cut(self, result: Result) -> Result:
        """The result, loss and state cut from their past."""
        return self._cut(result)._replace(hiddens=self._detach(result.hiddens))

    def with_gradients(
        self, parameters: list[Any], window: Tree, hiddens: Tree, numbers: Any, optimizer_idx: int | None, scale: Any
    ) -> tuple[Result, list[Tensor | None]]:
        """Forward and backward: the result, and the loss' gradient for each parameter."""
        with autodiff.GradientTape(backend=self.backend) as tape:
            result = self.forward(window, hiddens, numbers, optimizer_idx)
            scaled = result.loss if scale is None else ops.multiply(result.loss, scale)
        return self._cut(result), unscaled(tape.gradient(scaled, parameters), scale)

    def _cut(self, result: Result) -> Result:
        loss = None if result.loss is None else autodiff.stop_gradient(result.loss)
        return result._replace(loss=loss)

    def forward(
        self,
        window: Tree,
        hiddens: Tree,
        numbers: Any,
        optimizer_idx: int | None = None,
        loss_needed: bool = True,
        collect: bool = True,
        attached: bool = False,
    ) -> Result:
        """Call the module. The loss is still attached to its parameters, with `attached` the state too; everything else is cut.

        With `collect` False what is logged goes to the trainer as it comes, since a name may be logged many times.
        """
        origin, elements = Origin(numbers[0], numbers[1], numbers[2]), self.elements(window)
        if self._begins is not None:
            hiddens = self._begins(hiddens, window, origin)
        known = {"batch": window, "batch_idx": numbers[3], "optimizer_idx": optimizer_idx, "hiddens": hiddens}
        arguments = [known[self._offered[place]] for place in self._places]
        collecting: AbstractContextManager[logs.Values] = nullcontext({})
        if collect:
            collecting = logs.collecting(self.options, elements)
        with (
            clock.at(origin),
            counting.recording(),
            collecting as values,
            self.computing(),
        ):
            output = self._function(*arguments)
            if self._end:
                output = self._end(output)
            loss, hiddens, extras = self.parse(output, loss_needed)
            counted = None if loss is None else counting.count_of(loss)
        return Result(
            hiddens if attached else self._detach(hiddens),
            loss,
            values,
            state.detach(extras) if self._keeps_extras else None,
            elements if counted is None else counted,
            counted is not None,
        )

    def elements(self, window: Tree) -> int | Tensor:
        """What a loss weighs that nobody counted (`elements_of`)."""
        return elements_of(window, self._time_axis)

    def computing(self) -> AbstractContextManager[Any]:
        """In it layers compute in the trainer's precision."""
        return precision.computing_in(self._compute_dtype) if self._compute_dtype else nullcontext()

    def parse(self, output: Any, loss_needed: bool) -> tuple[Any, Tree, Tree]:
        """Loss, state and the rest of what the step returned: a loss, ``(loss, hiddens)``, or a dict of them."""
        loss, hiddens, extras, returned = output, None, None, False
        if self._predicts and not self.takes_hiddens:
            return None, None, output
        if isinstance(output, dict):
            loss, hiddens, returned = output.get("loss"), output.get("hiddens"), "hiddens" in output
            extras = {name: value for name, value in output.items() if name not in ("loss", "hiddens")}
        elif isinstance(output, tuple | list) and (loss_needed or self.takes_hiddens):
            if len(output) != 2:
                raise ModuleProtocolError(
                    f"{self.name} returned {len(output)} values; expected the loss, (loss, hiddens), or a dict with "
                    f"'loss' and 'hiddens'."
                )
            (loss, hiddens), returned = output, True
        if loss_needed:
            self._check_loss(loss)
        if self._carries and not returned:
            raise ModuleProtocolError(
                f"{self.name} takes hiddens but did not return them, so the next window would start from nothing. Return "
                f"{{'loss': loss, 'hiddens': hiddens}} or (loss, hiddens)."
            )
        if not loss_needed and (self._predicts or not _is_scalar(loss)):
            loss, extras = None, extras if isinstance(output, dict) else loss
        return loss, hiddens, extras

    def _check_loss(self, loss: Any) -> None:
        if not ops.is_tensor(loss):
            raise ModuleProtocolError(
                f"{self.name} must return a loss, a scalar tensor computed from the parameters; received "
                f"{type(loss).__name__}. Return the loss, (loss, hiddens), or {{'loss': loss, 'hiddens': hiddens}}."
            )
        if not _is_scalar(loss):
            raise ModuleProtocolError(
                f"{self.name} returned a loss of shape {tuple(loss.shape)}; expected a scalar. Take its mean or its sum."
            )


def unscaled(gradients: list[Tensor | None], scale: Any) -> list[Tensor | None]:
    """Gradients of the loss, from those of the loss times `scale`; None scales nothing."""
    if scale is None:
        return gradients
    return [None if g is None else ops.divide(g, ops.astype(ops.asarray(scale), ops.dtype(g))) for g in gradients]


def _is_scalar(value: Any) -> bool:
    return ops.is_tensor(value) and all(size == 1 for size in tuple(value.shape))


def elements_of(window: Tree, time_axis: Tree = 1) -> int | Tensor:
    """What a mean over a window is taken over if nobody says: the steps its rows have by their lengths, where it brings any; else
    rows times steps of the first leaf that has both.
    """
    lengths = lengths_in(window, time_axis)
    if lengths:
        return ops.sum(ops.asarray(lengths[0]))
    for leaf in tree.leaves(window):
        shape = tuple(getattr(leaf, "shape", ()))
        if len(shape) > 1:
            rows, steps = ops.shape(leaf)[:2] if None in shape[:2] else shape[:2]  # open in a program for any length
            return rows * steps
    return 1
