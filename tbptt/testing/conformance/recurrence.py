"""`tbptt.protocols.recurrence` as tests, against the NumPy oracle with its hand-written gradients, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.recurrence_gates import GATES, order_of_gates
from tbptt.testing.conformance.recurrence_problems import (
    KINDS,
    Problem,
    Tensors,
    assert_equal,
    call,
    on,
    problem,
    run,
    with_resets,
)
from tbptt.types import Array

STACKS = {
    "one-layer": (1, False),
    "two-layers": (2, False),
    "two-layers-between": (2, True),
    "three-layers": (3, False),
    "three-layers-between": (3, True),
}
"""Number of layers, and whether something is done between them."""

STEPS, ROWS = 6, 5
_some = np.zeros((STEPS, ROWS), bool)
_some[0, 1] = _some[2, 1] = _some[3, 1] = _some[5, 3] = _some[0, 4] = True
RESETS = {
    "some": _some,  # rows 0 and 2 never, row 4 before the first step
    "none": np.zeros_like(_some),
    "all": np.ones_like(_some),
    "first-step": np.arange(STEPS)[:, None] == np.zeros(ROWS),
    "one-a-row": np.arange(STEPS)[:, None] == np.arange(1, ROWS + 1),
}

each_kind = pytest.mark.parametrize("kind", KINDS)


class RecurrenceConformance(Conformance):
    """Outputs, states and gradients of `lstm`, `gru` and `rnn`, with and without resets.

    A kind of layer whose single step is not the formula fails in `test_one_step_is_the_formula_gate_by_gate` and nowhere else:
    nothing further can be said about it then, and the other tests of that kind are skipped.
    """

    # -------------------------------------------------------------------------------------------- forward

    @each_kind
    def test_one_step_is_the_formula_gate_by_gate(self, kind: str) -> None:
        """The blocks of the weights are i, f, g, o of an LSTM and r, z, n of a GRU, and make one step the formula."""
        found = order_of_gates(self.engine, kind)
        assert found == GATES[kind], (
            f"one step of {kind} is the formula of tbptt.protocols.recurrence with its gates in the order {found!r}; "
            f"promised is {GATES[kind]!r}"
            if found
            else f"one step of {kind} is not the formula of tbptt.protocols.recurrence, whatever the order of its gates"
        )

    @each_kind
    @pytest.mark.parametrize("stack", STACKS)
    @pytest.mark.parametrize("bias", ["bias", "no-bias"])
    def test_outputs_states_and_gradients_are_those_of_the_formulas(self, kind: str, stack: str, bias: str) -> None:
        """Of inputs, weights and biases; the gradient of the entering state has a test of its own."""
        layers, masked = STACKS[stack]
        self._assert_formulas(problem(kind, layers, bias == "bias", masked))

    @each_kind
    def test_a_window_without_steps_returns_the_state_unchanged(self, kind: str) -> None:
        """T = 0."""
        self._presume_one_step(kind)
        given = problem(kind, layers=2, steps=0)
        outputs, end = self._call(given)
        assert outputs.shape == (0, *given.state[0].shape[1:])
        assert outputs.dtype == given.inputs.dtype
        for part, kept in zip(end, given.state, strict=True):
            np.testing.assert_array_equal(part, kept)

    @each_kind
    def test_two_windows_with_the_state_carried_are_one_run(self, kind: str) -> None:
        """The state is all that a window hands on."""
        self._presume_one_step(kind)
        given = problem(kind, layers=2, steps=9)
        wanted = given.expected()
        held, tensor = on(self.engine, given), self.engine.tensors.asarray
        found, state = [], held.state
        for steps in (slice(0, 4), slice(4, 9)):
            outputs, state = call(self.engine.recurrence, kind, tensor(given.inputs[steps]), state, held.weights)
            found.append(self._numpy(outputs))
        np.testing.assert_allclose(np.concatenate(found), wanted["outputs"], rtol=0, atol=1e-12)
        for k, part in enumerate(state):
            np.testing.assert_allclose(self._numpy(part), wanted[f"state[{k}]"], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("layers", [1, 3])
    @each_kind
    def test_between_is_told_the_layer_it_follows(self, kind: str, layers: int) -> None:
        """Once a layer, in order, not after the last."""
        self._presume_one_step(kind)
        held, heard = on(self.engine, problem(kind, layers=layers)), list[int]()

        def between(layer: int, outputs: Any) -> Any:
            heard.append(layer)
            return outputs

        call(self.engine.recurrence, kind, held.inputs, held.state, held.weights, between)
        assert heard == list(range(layers - 1))

    @each_kind
    def test_float32_keeps_to_the_formulas_within_its_precision(self, kind: str) -> None:
        """And everything is float32 then."""
        self._presume_one_step(kind)
        for given in (
            problem(kind, layers=2, steps=12, units=16, dtype="float32"),
            with_resets(kind, _some, layers=2, units=16, dtype="float32"),
        ):
            found = run(self.engine, given)
            assert {each.dtype for each in found.values()} == {np.dtype("float32")}
            _assert_equal_but_for_the_state(found, given.expected(), 1e-5)

    # -------------------------------------------------------------------------------------------- gradients

    @each_kind
    @pytest.mark.parametrize("window", [*STACKS, "resets", "two-calls", "two-tapes"])
    def test_gradients_go_back_through_the_state_that_enters(self, kind: str, window: str) -> None:
        """Into the state given to a call, on to the call it comes from, and by cotangents to a tape of its own."""
        self._presume_one_step(kind)
        if window in STACKS:
            layers, masked = STACKS[window]
            problems = [problem(kind, layers, has_bias, masked) for has_bias in (True, False)]
        elif window == "resets":
            problems = [with_resets(kind, resets, layers=2) for resets in RESETS.values()]
        else:
            problems = [problem(kind, layers=2, steps=9)]
        for given in problems:
            halves = {"two-calls": self._in_two_calls, "two-tapes": self._in_two_tapes}
            found = halves[window](given) if window in halves else run(self.engine, given)
            wanted = given.expected()
            assert_equal(found, {name: wanted[name] for name in found}, 1e-11)

    @pytest.mark.parametrize("part", ["outputs", "hidden", "cell"])
    def test_a_loss_may_use_any_part_of_the_result(self, part: str) -> None:
        """What no loss uses needs no cotangent."""
        self._presume_one_step("lstm")
        given = problem("lstm")
        asked = ["outputs", "hidden", "cell"].index(part)
        cotangents = [given.d_outputs, *given.d_state]
        for k, each in enumerate(cotangents):
            if k != asked:
                each[:] = 0
        held, tape = on(self.engine, given), self.engine.autodiff.tape()
        with tape:
            tape.watch(held.watched)
            outputs, end = call(self.engine.recurrence, "lstm", *held.arguments())
        target = [outputs, *end][asked]
        found = tape.gradient([target], [held.inputs], [self.engine.tensors.asarray(cotangents[asked])])
        assert found is not None
        _assert_close(self._numpy(found[0]), given.expected()["gradient of inputs"], 1e-11, "gradient of inputs")

    @each_kind
    def test_saturated_gates_give_finite_gradients(self, kind: str) -> None:
        """Pre-activations of a few hundred."""
        self._presume_one_step(kind)
        given = problem(kind, steps=2)
        for key in ("input", "recurrent", "bias"):
            given.weights[0][key] *= 300
        found = run(self.engine, given)
        assert all(np.isfinite(each).all() for each in found.values())

    # -------------------------------------------------------------------------------------------- resets

    @each_kind
    @pytest.mark.parametrize("stack", ["one-layer", "two-layers", "two-layers-between"])
    def test_between_resets_a_row_is_a_run_of_its_own(self, kind: str, stack: str) -> None:
        """From the initial state, with the gradients that this run has."""
        layers, masked = STACKS[stack]
        self._assert_formulas(with_resets(kind, _some, layers=layers, masked=masked))

    @each_kind
    @pytest.mark.parametrize("where", RESETS)
    def test_resets_may_be_anywhere(self, kind: str, where: str) -> None:
        """In some rows, in none, at every step, before the first one only."""
        self._assert_formulas(with_resets(kind, RESETS[where]))

    @each_kind
    def test_a_row_begins_anew_from_zeros_unless_told_otherwise(self, kind: str) -> None:
        """`initial` None."""
        self._assert_formulas(with_resets(kind, _some, with_initial=False, has_bias=False, layers=2))

    @each_kind
    def test_an_initial_state_has_no_effect_without_resets(self, kind: str) -> None:
        """`resets` None."""
        self._presume_one_step(kind)
        given = problem(kind)
        given.initial = [np.full_like(part, np.nan) for part in given.state]
        outputs, _ = self._call(given)
        np.testing.assert_allclose(outputs, given.expected()["outputs"], rtol=0, atol=1e-12)

    @each_kind
    def test_nothing_crosses_a_reset(self, kind: str) -> None:
        """Row 1 is reset at 0, 2 and 3: what only its last segment's loss asks for asks nothing of what lies before."""
        self._presume_one_step(kind)
        given = with_resets(kind, _some, layers=2)
        for part in given.state:
            part[:, 1], part[:, 4] = np.nan, np.inf
        given.d_outputs[:] = 0
        given.d_outputs[4, 1] = 1
        for part in given.d_state:
            part[:] = 0
        found = run(self.engine, given)
        assert all(np.isfinite(each).all() for each in found.values())
        d_inputs = found["gradient of inputs"]
        assert d_inputs[3:5, 1].all() and np.count_nonzero(d_inputs) == d_inputs[3:5, 1].size
        assert not any(found[f"gradient of state[{k}]"].any() for k in range(len(given.state)))
        for k in range(len(given.state)):
            gradient = found[f"gradient of initial[{k}]"]
            assert gradient[:, 1].all(), "the initial state of a row that begins anew gets a gradient"
            assert not np.delete(gradient, 1, axis=1).any(), "no other row's does"

    @each_kind
    @pytest.mark.parametrize("huge", [-1e30, np.inf, np.nan], ids=["huge", "infinite", "nan"])
    def test_what_a_row_ran_into_is_gone_after_its_reset(self, kind: str, huge: float) -> None:
        """The initial state takes the place of the old one, whatever that is: nothing is multiplied by 0."""
        self._presume_one_step(kind)
        given = with_resets(kind, _some)
        wanted = given.expected()
        given.inputs[4, 3] = huge  # row 3 begins anew at step 5
        outputs, end = self._call(given)
        np.testing.assert_allclose(outputs[5], wanted["outputs"][5], rtol=0, atol=1e-12)
        for k, part in enumerate(end):
            np.testing.assert_allclose(part, wanted[f"state[{k}]"], rtol=0, atol=1e-12)

    # -------------------------------------------------------------------------------------------- helpers

    def _presume_one_step(self, kind: str) -> None:
        try:
            found = order_of_gates(self.engine, kind)
        except Exception:  # whatever stops it, the test of one step shows it
            found = None
        if found != GATES[kind]:
            pytest.skip(f"see test_one_step_is_the_formula_gate_by_gate[{kind}]")

    def _assert_formulas(self, given: Problem) -> None:
        self._presume_one_step(given.kind)
        _assert_equal_but_for_the_state(run(self.engine, given), given.expected(), 1e-11)

    def _numpy(self, tensor: Any) -> Array:
        return np.asarray(self.engine.tensors.to_numpy(tensor))

    def _call(self, given: Problem) -> tuple[Array, list[Array]]:
        outputs, end = call(self.engine.recurrence, given.kind, *on(self.engine, given).arguments())
        return self._numpy(outputs), [self._numpy(part) for part in end]

    def _in_two_calls(self, given: Problem) -> dict[str, Array]:
        """Gradients of the window cut in two, both halves on one tape."""
        (first, second), (d_first, d_second), held, d_end = self._halves(given)
        tape = self.engine.autodiff.tape()
        with tape:
            tape.watch([first, second, *held.state])
            outputs, middle = call(self.engine.recurrence, given.kind, first, held.state, held.weights)
            later, end = call(self.engine.recurrence, given.kind, second, middle, held.weights)
        answers = tape.gradient([outputs, later, *end], [first, second, *held.state], [d_first, d_second, *d_end])
        return self._joined(answers)

    def _in_two_tapes(self, given: Problem) -> dict[str, Array]:
        """The same, each half on a tape of its own: the second's answer is the cotangent of the first's final state."""
        (first, second), (d_first, d_second), held, d_end = self._halves(given)
        one, other = self.engine.autodiff.tape(), self.engine.autodiff.tape()
        with one:
            one.watch([first, *held.state])
            outputs, middle = call(self.engine.recurrence, given.kind, first, held.state, held.weights)
        entering = [self.engine.tensors.asarray(self._numpy(part)) for part in middle]
        with other:
            other.watch([second, *entering])
            later, end = call(self.engine.recurrence, given.kind, second, entering, held.weights)
        answers = other.gradient([later, *end], [second, *entering], [d_second, *d_end])
        assert answers is not None, "no gradient at all"
        into_second, *d_middle = answers
        answers = one.gradient([outputs, *middle], [first, *held.state], [d_first, *d_middle])
        assert answers is not None, "no gradient at all"
        return self._joined([answers[0], into_second, *answers[1:]])

    def _halves(self, given: Problem) -> tuple[list[Any], list[Any], Tensors, list[Any]]:
        """Inputs and their outputs' cotangents in two parts, the problem's other tensors, and the final state's cotangent."""
        tensor, cut = self.engine.tensors.asarray, 4
        inputs, d_outputs = ([tensor(array[:cut]), tensor(array[cut:])] for array in (given.inputs, given.d_outputs))
        return inputs, d_outputs, on(self.engine, given), [tensor(part) for part in given.d_state]

    def _joined(self, answers: list[Any] | None) -> dict[str, Array]:
        assert answers is not None and all(each is not None for each in answers), f"gradients are missing: {answers}"
        first, second, *d_state = [self._numpy(each) for each in answers]
        found = {"gradient of inputs": np.concatenate([first, second])}
        return found | {f"gradient of state[{k}]": part for k, part in enumerate(d_state)}


def _assert_close(found: Array, wanted: Array, tolerance: float, name: str) -> None:
    assert_equal({name: found}, {name: wanted}, tolerance)


def _assert_equal_but_for_the_state(found: dict[str, Array], wanted: dict[str, Array], tolerance: float) -> None:
    entering = "gradient of state"
    assert_equal(
        {name: array for name, array in found.items() if not name.startswith(entering)},
        {name: array for name, array in wanted.items() if not name.startswith(entering)},
        tolerance,
    )
