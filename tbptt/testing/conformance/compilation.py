"""The promises of `tbptt.protocols.Compilation`: compiled or not, a step gives the same numbers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tbptt.protocols import Compiled
from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_checks import array, tensor
from tbptt.testing.conformance.tensor_integers import COUNTERS, mix, mix_in_python

MODES = [False, True, "auto"]
HANDFUL = 10
"""More programs than this for arguments that differ in their lengths alone are too many."""


class CompilationConformance(Conformance):
    """Compiled functions of trees of tensors."""

    def _compiled(self, function: Any, mode: bool | str) -> Compiled:
        return self.engine.compilation.compile(function, mode, "step")

    @pytest.fixture
    def _compilers_may_warn(self) -> Iterator[None]:
        """They may say that the best form cannot be had, and some use what their own libraries have deprecated."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    @pytest.mark.usefixtures("_compilers_may_warn")
    @pytest.mark.parametrize("mode", MODES, ids=str)
    def test_trees_go_in_and_come_out(self, mode: bool | str) -> None:
        """Dictionaries, lists and tuples; the numbers are NumPy's, and traces are counted."""
        t = self.engine.tensors

        def step(batch: Any, state: Any) -> Any:
            h, c = state
            h = t.tanh(t.add(t.matmul(batch["x"], batch["w"]), h))
            return {"loss": t.sum(h), "state": (h, [t.add(c, 1)])}

        program = self._compiled(step, mode)
        generator = np.random.default_rng(5)
        w, h, c = generator.normal(size=(3, 2)), np.zeros((4, 2)), np.array([1, 2])
        state: Any = (tensor(self.engine, h), tensor(self.engine, c, "int64"))
        for _ in range(3):
            x = generator.normal(size=(4, 3))
            answer = program({"x": tensor(self.engine, x), "w": tensor(self.engine, w)}, state)
            h, c = np.tanh(x @ w + h), c + 1
            assert set(answer) == {"loss", "state"} and isinstance(answer["state"], tuple), (
                f"the tree came out as {answer}"
            )
            np.testing.assert_allclose(array(self.engine, answer["loss"]), h.sum(), rtol=1e-12)
            state = (answer["state"][0], answer["state"][1][0])
            np.testing.assert_allclose(array(self.engine, state[0]), h, rtol=1e-12)
            np.testing.assert_array_equal(array(self.engine, state[1]), c, strict=True)
        assert isinstance(program.road, str) and program.road, "the road must say how the function runs"
        assert isinstance(program.traces, int), f"traces is a count; received {program.traces!r}"
        if mode is False:
            assert program.traces == 0, f"False runs the function as it is, without a trace; received {program.traces}"
        assert program.traces <= 1, f"three calls alike need one trace; received {program.traces}"

    @pytest.mark.usefixtures("_compilers_may_warn")
    @pytest.mark.parametrize("mode", MODES, ids=str)
    def test_is_tracing_holds_while_a_function_is_traced(self, mode: bool | str) -> None:
        """And only then: not where it runs as it is, not before, not afterwards."""
        seen = []

        def step(x: Any) -> Any:
            seen.append(self.engine.compilation.is_tracing())
            return self.engine.tensors.multiply(x, 2.0)

        program = self._compiled(step, mode)
        np.testing.assert_array_equal(array(self.engine, program(tensor(self.engine, [1.0, 2.0]))), [2.0, 4.0])
        expected = [program.traces > 0]
        assert seen == expected, f"with {program.traces} traces is_tracing should say {expected}; received {seen}"
        assert self.engine.compilation.is_tracing() is False

    @pytest.mark.parametrize("mode", [False, "auto"], ids=str)
    def test_a_tape_and_a_parameter_work_in_what_is_compiled(self, mode: bool | str) -> None:
        """A step of gradient descent, its gradient by closed form, the parameter written once a call."""
        t, weight = self.engine.tensors, self.engine.tensors.parameter(np.array([1.0, 2.0, 3.0]))

        def step(x: Any) -> Any:
            with self.engine.autodiff.tape() as tape:
                tape.watch([x])
                loss = t.sum(t.multiply(t.square(weight), x))
            found: Any = tape.gradient([loss], [weight, x], [None])
            t.assign(weight, t.subtract(weight, t.multiply(found[0], 0.125)))
            return found

        program, w, x = self._compiled(step, mode), np.array([1.0, 2.0, 3.0]), np.array([1.0, 10.0, 0.5])
        for call in range(3):
            of_weight, of_x = program(tensor(self.engine, x))
            np.testing.assert_allclose(array(self.engine, of_weight), 2 * w * x, rtol=1e-13, err_msg=f"call {call}")
            np.testing.assert_allclose(array(self.engine, of_x), w**2, rtol=1e-13, err_msg=f"call {call}")
            w = w - 0.125 * 2 * w * x
            np.testing.assert_allclose(array(self.engine, weight), w, rtol=1e-13, err_msg=f"call {call}")

    @pytest.mark.parametrize("mode", [False, "auto"], ids=str)
    def test_integers_wrap_around_in_what_is_compiled(self, mode: bool | str) -> None:
        """Random numbers are made of these bits."""
        expected = np.array([mix_in_python(x) for x in COUNTERS], np.uint32).astype(np.int32)
        x = self.engine.tensors.asarray(np.array(COUNTERS, np.uint32).astype(np.int32))
        program = self._compiled(lambda counters: mix(self.engine.tensors, counters), mode)
        np.testing.assert_array_equal(array(self.engine, program(x)), expected, strict=True)

    def test_many_lengths_take_a_handful_of_programs(self) -> None:
        """Windows of random lengths do not compile for ever."""
        t = self.engine.tensors
        program = self._compiled(lambda x: t.sum(t.multiply(x, x)), "auto")
        for length in (*range(1, 25), *range(24, 0, -1)):
            answer = array(self.engine, program(tensor(self.engine, np.full((2, length), 0.5))))
            np.testing.assert_allclose(answer, 0.5 * length, rtol=1e-13, err_msg=f"length {length}")
        assert program.traces <= HANDFUL, f"24 lengths should take at most {HANDFUL} traces; received {program.traces}"

    def test_a_python_number_among_the_arguments_is_never_stale(self) -> None:
        """It may be part of the program (`bakes_numbers`): then a new one means a new trace."""
        program = self._compiled(lambda x, rate: self.engine.tensors.multiply(x, rate), "auto")
        x, traces = tensor(self.engine, [1.0, 2.0]), []
        for rate in (0.5, 2.0, 0.5):
            np.testing.assert_array_equal(array(self.engine, program(x, rate)), np.array([1.0, 2.0]) * rate)
            traces.append(program.traces)
        if not program.bakes_numbers:
            assert traces[0] == traces[-1], f"numbers that are not baked in need no new trace; received {traces} traces"
        elif traces[0]:
            assert traces == [1, 2, 2], f"each number that is baked in means one trace; received {traces}"

    def test_an_error_of_the_function_comes_out(self) -> None:
        """A compiled step does not hide what went wrong in it."""

        def step(x: Any) -> Any:
            raise ZeroDivisionError("on purpose")

        for mode in (False, "auto"):
            with pytest.raises(ZeroDivisionError, match="on purpose"):
                self._compiled(step, mode)(tensor(self.engine, [1.0]))

    @pytest.mark.parametrize("warn_only", [False, True])
    def test_deterministic_operations_give_the_same_bits(self, warn_only: bool) -> None:
        """It can be asked for, and an end of it too; not every engine can go back."""
        t, environment = self.engine.tensors, set(os.environ)
        generator = np.random.default_rng(1)
        weight = t.parameter(generator.normal(size=(5, 3)))
        tokens = tensor(self.engine, generator.integers(0, 5, (200,)), "int64")
        answers = []
        try:
            self.engine.compilation.set_deterministic(True, warn_only=warn_only)
            for _ in range(3):
                with self.engine.autodiff.tape() as tape:
                    target = t.sum(t.square(t.take(weight, tokens, axis=0)))
                found: Any = tape.gradient([target], [weight], [None])
                answers.append(array(self.engine, found[0]))
        finally:
            self.engine.compilation.set_deterministic(False)
            for name in set(os.environ) - environment:  # what an engine's libraries have been told there
                del os.environ[name]
        for answer in answers[1:]:
            np.testing.assert_array_equal(answer, answers[0])
