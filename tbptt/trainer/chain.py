"""A window of a schedule that is more than one plain run: forward piece by piece, then back through the pieces.

The state's cotangent that comes out of one piece goes into the piece before it: untouched, multiplied by a factor, or not at all
(`tbptt.pullback`). Where the window stores states and computes again (`Window.segment`), a piece's pullback runs it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tbptt import memory, ops, state, tree
from tbptt.clock import Origin
from tbptt.errors import GradientError, ScheduleError
from tbptt.pullback import Cotangent, Gradients, Recording, added, as_cotangent, scaled
from tbptt.schedules import Window
from tbptt.schedules.revolve import Action, Advance, Backward, Restore, Store, reversal
from tbptt.trainer import logs
from tbptt.trainer.combination import Combination
from tbptt.trainer.effects import Effects
from tbptt.trainer.step import Call, Result, Step
from tbptt.trainer.walk import Stretch
from tbptt.types import Tree


class Share(NamedTuple):
    """A window and how to get at its data, for runs in pieces."""

    window: Window
    hiddens: Tree
    """The state that enters at the first new step."""
    batch_idx: int
    rows: int
    steps: int
    """Of the whole batch."""
    fetch: Callable[[int, int], Tree]
    """The steps from one to another, on the device."""
    origin: Callable[[int], Origin]
    entering: Callable[[Window, Tree], Tree]
    """The state as it enters some steps, with the rows that begin anew there."""
    cuts: tuple[int, ...]
    """Steps before which a row begins anew."""


def share_of(stretch: Stretch, window: Window, hiddens: Tree, fetch: Callable[[int, int], Tree]) -> Share:
    """A window of a batch as the chain runs it."""
    return Share(
        window,
        hiddens,
        stretch.batch_idx,
        stretch.windowed.batch_size,
        stretch.windowed.length,
        fetch,
        stretch.origin_at,
        stretch.entering,
        tuple(stretch.reset_steps(window.run_from, window.stop)),
    )


class Kept(NamedTuple):
    """A state of an earlier moment."""

    hiddens: Tree
    effects: Any


class Chain:
    """Runs shares. It keeps the states that later windows of a sequence begin from.

    Args:
        step: runs a piece.
        effects: what a forward pass changes besides its state.
        combination: how the losses of pieces make one.
    """

    def __init__(self, step: Step, effects: Effects, combination: Combination) -> None:
        self.step, self.effects, self.combination = step, effects, combination
        self._kept: dict[int, Kept] = {}

    def begin(self) -> None:
        """A new sequence begins: nothing is kept of the one before."""
        self._kept.clear()

    def run(self, share: Share, parameters: list[Any], optimizer_idx: int | None) -> Pass:
        """Forward through a window."""
        window = share.window
        if window.run_from < window.start:
            if window.run_from not in self._kept:
                raise ScheduleError(
                    f"{window} runs from step {window.run_from}, and the state there is not at hand: nothing before step "
                    f"{window.start} has run. Begin with a sequence's first window."
                )
            start = self._kept[window.run_from]
            self.effects.restore(start.effects)
        else:
            start = Kept(share.hiddens, None)
        for step in [step for step in self._kept if step < window.run_from]:
            del self._kept[step]
        kind = Recomputed if window.segment is not None and window.trains else Pass
        return kind(self, share, start.hiddens, parameters, optimizer_idx, self.combination)

    def keep(self, step: int, hiddens: Tree) -> None:
        """Keep a state for a later window; the first one of its step stays, also where a window is computed twice."""
        if step not in self._kept:
            self._kept[step] = self.snapshot(hiddens)

    def snapshot(self, hiddens: Tree) -> Kept:
        """A copy of a state and of what else the pass from it on depends on."""
        return Kept(state.detach(hiddens, copy=True), self.effects.save())


class Pass:
    """One window, gone forward; `backward` brings the gradients."""

    def __init__(
        self,
        chain: Chain,
        share: Share,
        hiddens: Tree,
        parameters: list[Any],
        optimizer_idx: int | None,
        combination: Combination,
    ) -> None:
        self._chain, self._step, self._share = chain, chain.step, share
        self._parameters, self._index = parameters, optimizer_idx
        self._pieces = share.window.pieces(share.cuts)
        self._results: list[Result] = []
        self._leaves: list[int] = []
        """Of the state that leaves each piece."""
        self._recordings: dict[int, Recording] = {}
        self._gradients: Gradients | None = None
        self._cotangent: Cotangent | None = None
        self.hiddens = self._forward(hiddens)
        """The state that leaves the window."""
        counted = [result for result, piece in zip(self._results, self._pieces, strict=True) if piece.counts]
        cotangents = iter(combination.cotangents(share, counted))
        self._loss_cotangents = [next(cotangents) if piece.counts else None for piece in self._pieces]
        self.trains = bool(counted)
        """Whether there is anything to go back from."""
        loss, weight = combination.total(share, counted or self._results)
        new = [result.logged for result, piece in zip(self._results, self._pieces, strict=True) if not piece.again]
        extras = self._results[-1].extras
        per = share.window.per
        self.weight = weight if per is None else per * share.rows
        """What the gradient weighs where several windows make one update: the elements its loss is divided by."""
        self.result = Result(self.hiddens, loss, logs.merged(new, self._step.options), extras, weight)

    def _forward(self, hiddens: Tree) -> Tree:
        for number, piece in enumerate(self._pieces):
            hiddens = self._run(number, hiddens, records=piece.recorded)
        return hiddens

    def _run(self, number: int, hiddens: Tree, records: bool) -> Tree:
        """A piece for the first time in this pass."""
        piece = self._pieces[number]
        if piece.keeps and not piece.again:
            self._chain.keep(piece.start, hiddens)
        call = self._call(number, hiddens)
        if records:
            recording = self._recordings[number] = self._step.recorded(call, self._parameters, self._index)
            result = self._step.cut(recording.output)
        else:
            result = self._step.advance(call, self._index)
        self._results.append(result._replace(hiddens=None))
        self._leaves.append(len(tree.leaves(result.hiddens)))
        return result.hiddens

    def _call(self, number: int, hiddens: Tree) -> Call:
        share, piece = self._share, self._pieces[number]
        entering = share.entering(Window(piece.start, piece.stop), hiddens)
        window = share.fetch(piece.start, piece.stop)
        return self._step.call(window, entering, share.origin(piece.start), share.batch_idx)

    def backward(self, boundary: Tree = None, scale: float | None = None) -> Gradients:
        """Gradients of the window's loss, and of the state that leaves it where `boundary` is that state's cotangent.

        Args:
            boundary: a tree like the state, None anywhere in it for no gradient.
            scale: of the loss, and so of the gradients.
        """
        self._cotangent = as_cotangent(boundary, self.hiddens, "What on_window_boundary returned")
        if self._cotangent is not None and scale is not None:
            self._cotangent = scaled(self._cotangent, scale)
        if scale is not None:
            self._loss_cotangents = [None if each is None else each * scale for each in self._loss_cotangents]
        self._backward()
        if self._gradients is None or all(gradient is None for gradient in self._gradients):
            raise GradientError(
                f"The loss depends on no parameter in any of the {len(self._pieces)} pieces of the window, so there is nothing to "
                f"differentiate. Return a loss that is computed from the model's parameters inside training_step."
            )
        return self._gradients

    def _backward(self) -> None:
        for number in sorted(self._recordings, reverse=True):
            recording = self._recordings.pop(number)
            result: Result = recording.output
            self._take(
                number,
                *recording.pullback((result.loss, self._loss_cotangents[number]), (result.hiddens, self._cotangent)),
            )

    def _take(self, number: int, gradients: Gradients, entering: Cotangent) -> None:
        """Add what came out of a piece at its front, and pass the state's cotangent on to the piece before."""
        self._gradients = added(self._gradients, gradients)
        if number:
            self._cotangent = scaled(entering[: self._leaves[number - 1]], self._pieces[number].factor)


class Recomputed(Pass):
    """A window that stores states at the front of some of its pieces and runs them again on the way back."""

    def _forward(self, hiddens: Tree) -> Tree:
        self._first = next(number for number, piece in enumerate(self._pieces) if piece.recorded)
        self._stored: dict[int, Kept] = {}
        for number in range(self._first):
            hiddens = self._run(number, hiddens, records=False)
        self._actions: Iterator[Action] = reversal(len(self._pieces) - self._first, self._share.window.slots)
        for action in self._actions:
            if isinstance(action, Backward):
                break
            if isinstance(action, Store):
                self._stored[action.segment] = self._chain.snapshot(hiddens)
            elif isinstance(action, Advance):
                for number in self._numbers(action):
                    hiddens = self._run(number, hiddens, records=False)
                    memory.give_back()
        hiddens = self._run(len(self._pieces) - 1, hiddens, records=True)
        self._after = self._chain.effects.save()
        return hiddens

    def _numbers(self, action: Advance) -> range:
        return range(action.start + self._first, action.stop + self._first)

    def _backward(self) -> None:
        super()._backward()
        hiddens: Tree = None
        for action in self._actions:
            if isinstance(action, Restore):
                hiddens = self._stored[action.segment].hiddens
                self._chain.effects.restore(self._stored[action.segment].effects)
            elif isinstance(action, Store):
                self._stored[action.segment] = self._chain.snapshot(hiddens)
            elif isinstance(action, Advance):
                for number in self._numbers(action):
                    hiddens = self._step.advance(self._call(number, hiddens), self._index).hiddens
            elif isinstance(action, Backward):
                number = action.segment + self._first
                self._take(number, *self._again(number, hiddens))
                memory.give_back()
            else:
                del self._stored[action.segment]
        self._chain.effects.restore(self._after)

    def _again(self, number: int, hiddens: Tree) -> tuple[Gradients, Cotangent]:
        cotangent = self._loss_cotangents[number]
        if cotangent is not None and not ops.is_tensor(cotangent):
            cotangent = self._step.backend.tensors.asarray(np.array(cotangent, dtype="float64"))
        call = self._call(number, hiddens)
        return self._step.there_and_back(call, self._parameters, self._index, cotangent, self._cotangent)
