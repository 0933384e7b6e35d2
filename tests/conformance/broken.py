"""Doubles of an adapter, and schedules, with one mistake each, and the suite for each of them.

No test module by its name: `test_broken_backends` runs it in a pytest of its own and looks at what fails.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from conformance import test_torch
from tbptt import backends
from tbptt.errors import DataError, ScheduleError
from tbptt.protocols import Backend, LayerWeights
from tbptt.schedules import Window
from tbptt.testing import BackendConformance, InteropConformance, OptimizersConformance, ScheduleConformance


class Replaced:
    """A module in which some functions are others."""

    def __init__(self, module: Any, **functions: Any) -> None:
        self._module = module
        vars(self).update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


# --- backends ---------------------------------------------------------------------------------------------------------


def forgets_to_detach(sound: Backend) -> Backend:
    """What is to be cut is handed on as it is."""
    return dataclasses.replace(sound, autodiff=Replaced(sound.autodiff, stop_gradient=lambda x: x))


def detaches_too_early(sound: Backend) -> Backend:
    """The state is cut where it enters a window, and not by the loop between windows."""

    def cut(state: Any) -> Any:
        stop = sound.autodiff.stop_gradient
        return tuple(map(stop, state)) if isinstance(state, tuple) else stop(state)

    def kernel(name: str) -> Callable[..., Any]:
        function = getattr(sound.recurrence, name)
        return lambda inputs, state, *rest: function(inputs, cut(state), *rest)

    kernels = {name: kernel(name) for name in ("lstm", "gru", "rnn")}
    return dataclasses.replace(sound, recurrence=Replaced(sound.recurrence, **kernels))


def accumulates_gradients(sound: Backend) -> Backend:
    """As an engine that keeps gradients beside the parameters, and a loop that forgets to zero them."""
    kept: list[tuple[Any, Any]] = []

    class Tape(Replaced):
        def __enter__(self) -> Tape:
            self._module.__enter__()
            return self

        def __exit__(self, *exception: Any) -> None:
            self._module.__exit__(*exception)

        def gradient(self, targets: Any, sources: Any, *rest: Any, **options: Any) -> Any:
            answers = self._module.gradient(targets, sources, *rest, **options)
            return answers and [added(source, answer) for source, answer in zip(sources, answers, strict=True)]

    def added(source: Any, answer: Any) -> Any:
        if answer is None:
            return None
        for i, (held, before) in enumerate(kept):
            if held is source:
                answer = sound.tensors.add(before, answer)
                del kept[i]
                break
        kept.append((source, answer))
        return answer

    def tape(persistent: bool = False) -> Tape:
        return Tape(sound.autodiff.tape(persistent))

    return dataclasses.replace(sound, autodiff=Replaced(sound.autodiff, tape=tape))


def sums_where_it_should_average(sound: Backend) -> Backend:
    """The gradient is larger by the number of elements, which a learning rate hides."""
    tensors = sound.tensors

    def mean(x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        average = tensors.mean(x, axis=axis, keepdims=keepdims)
        return tensors.multiply(average, float(tensors.size(x) // max(tensors.size(average), 1)))

    return dataclasses.replace(sound, tensors=Replaced(tensors, mean=mean))


def swaps_two_gates(sound: Backend) -> Backend:
    """The LSTM takes f, i, g, o where i, f, g, o is promised: it trains, and weights of another engine mean something else."""

    def swapped(each: LayerWeights) -> LayerWeights:
        def turn(blocks: Any) -> Any:
            if blocks is None:
                return None
            i, f, g, o = sound.tensors.split(blocks, 4)
            return sound.tensors.concat([f, i, g, o])

        return each._replace(input=turn(each.input), recurrent=turn(each.recurrent), bias=turn(each.bias))

    def lstm(inputs: Any, state: Any, weights: Any, *rest: Any) -> Any:
        return sound.recurrence.lstm(inputs, state, [swapped(each) for each in weights], *rest)

    return dataclasses.replace(sound, recurrence=Replaced(sound.recurrence, lstm=lstm))


def adds_epsilon_in_the_wrong_place(sound: Backend) -> Backend:
    """Adam adds ε to the uncorrected root, whatever it is told: Keras' Adam where torch's was asked for."""

    def adam(*arguments: Any, **options: Any) -> None:
        sound.optimizers.adam(*arguments, **options | {"epsilon_hat": True})

    return dataclasses.replace(sound, optimizers=Replaced(sound.optimizers, adam=adam))


SOUND = backends.load(os.environ.get("BROKEN_ENGINE", "torch"))
LACKS = test_torch.TestTorch.lacks if SOUND.name == "torch" else {}


class TestForgetsToDetach(BackendConformance):
    backend, lacks = forgets_to_detach(SOUND), LACKS


class TestDetachesTooEarly(BackendConformance):
    backend, lacks = detaches_too_early(SOUND), LACKS


class TestAccumulatesGradients(BackendConformance):
    backend, lacks = accumulates_gradients(SOUND), LACKS


class TestSumsWhereItShouldAverage(BackendConformance):
    backend, lacks = sums_where_it_should_average(SOUND), LACKS


class TestSwapsTwoGates(BackendConformance):
    backend, lacks = swaps_two_gates(SOUND), LACKS


class TestAddsEpsilonInTheWrongPlace(BackendConformance):
    backend, lacks = adds_epsilon_in_the_wrong_place(SOUND), LACKS


class TestIsExcused(OptimizersConformance):
    """Which of the cases are excused is written down, and they are the ones that fail: nothing is left that does."""

    backend = adds_epsilon_in_the_wrong_place(SOUND)
    lacks: ClassVar[Mapping[str, str]] = {
        f"test_epsilon_is_added_where_the_rule_says[{case}]": "Adam adds epsilon to the uncorrected root"
        for case in ("adam", "adam-amsgrad", "adam-decoupled")
    }


class TestIsExcusedForNothing(InteropConformance):
    """The excuse was right once, and the adapter has been mended since."""

    backend = SOUND
    lacks: ClassVar[Mapping[str, str]] = {"test_a_parameter_has_no_shell": "parameters come in a shell"}


# --- schedules --------------------------------------------------------------------------------------------------------


class ByFours:
    """A sound schedule of a third party: windows of four steps."""

    def __init__(self) -> None:
        self.position = 0
        self.reached = 0

    def window(self, start: int, length: int) -> tuple[Window, int]:
        """The window from there, and where the next one starts."""
        stop = min(start + 4, length)
        return Window(start, stop), stop

    def plan(self, length: int) -> Iterator[Window]:
        if length < 1:
            raise DataError(f"There is nothing to cut in {length} steps.")
        start, self.position = self.position, 0
        return self._windows(start, length)

    def _windows(self, start: int, length: int) -> Iterator[Window]:
        goes_on = True
        while goes_on:
            window, start = self.window(start, length)
            goes_on = max(window.stop, start) < length
            self.reached = start if goes_on else 0
            yield window

    def state_dict(self) -> dict[str, Any]:
        return {"kind": "by fours", "reached": self.reached}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("kind") != "by fours":
            raise ScheduleError(f"This is no state of windows by fours: {dict(state)}.")
        self.position = self.reached = state["reached"]


class OneStepShort(ByFours):
    """Windows stop a step before the next one starts."""

    def window(self, start: int, length: int) -> tuple[Window, int]:
        return Window(start, min(start + 3, length)), start + 4


class OneStepOverlapping(ByFours):
    """Windows start a step before the last one stopped."""

    def window(self, start: int, length: int) -> tuple[Window, int]:
        stop = min(start + 4, length)
        return Window(start, stop), stop - 1


class ReachesOneStepTooFar(ByFours):
    """The gradient is to flow into the step before the run."""

    def window(self, start: int, length: int) -> tuple[Window, int]:
        stop = min(start + 4, length)
        return Window(start, stop, reach=max(start - 1, 0), losses=start), stop


class RunsFromOneStepTooEarly(ByFours):
    """An overlap of one step, whose state nobody kept."""

    def window(self, start: int, length: int) -> tuple[Window, int]:
        stop = min(start + 4, length)
        return Window(start, stop, run_from=max(start - 1, 0)), stop


class OneStepBeyondTheEnd(ByFours):
    """Every window has four steps, the last one too."""

    def window(self, start: int, length: int) -> tuple[Window, int]:
        return Window(start, start + 4), start + 4


class TestByFours(ScheduleConformance):
    schedule = ByFours()


class TestOneStepShort(ScheduleConformance):
    schedule = OneStepShort()


class TestOneStepOverlapping(ScheduleConformance):
    schedule = OneStepOverlapping()


class TestReachesOneStepTooFar(ScheduleConformance):
    schedule = ReachesOneStepTooFar()


class TestRunsFromOneStepTooEarly(ScheduleConformance):
    schedule = RunsFromOneStepTooEarly()


class TestOneStepBeyondTheEnd(ScheduleConformance):
    schedule = OneStepBeyondTheEnd()
