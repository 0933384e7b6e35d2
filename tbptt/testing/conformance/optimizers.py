"""`tbptt.protocols.optimizers` as tests: update rules against the NumPy oracle, clipping against closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.optimizers_table import CASES, EPSILONS, SHAPES, Case, assert_close, draw
from tbptt.types import Array

each_case = pytest.mark.parametrize("case", CASES)
each_change = pytest.mark.parametrize("change", ["scale", "clip", "clip_by_global_norm"])


class OptimizersConformance(Conformance):
    """The rules with their options over several updates, what they remember, and norms and clipping of gradients."""

    # -------------------------------------------------------------------------------------------- rules

    @each_case
    def test_updates_are_those_of_the_rule(self, case: str) -> None:
        """Fifty of them. ε is 0 here."""
        self._assert_rule(CASES[case])

    @pytest.mark.parametrize("case", EPSILONS)
    def test_epsilon_is_added_where_the_rule_says(self, case: str) -> None:
        """Outside the root or inside, before the correction of the second moment or after."""
        self._assert_rule(EPSILONS[case])

    @each_case
    def test_a_parameter_without_a_gradient_is_left_alone_with_its_slots(self, case: str) -> None:
        """Its count of updates is its own."""
        rule = CASES[case]
        starts, gradients = draw(updates=12)
        for step, update in enumerate(gradients):
            for i in range(len(update)):
                if (step + i) % 3 == 0 or (step < 4 and i == 1):
                    update[i] = None
        parameters, slots = self._begin(rule, starts)
        for update in gradients:
            before = self._everything(parameters, slots)
            rule.update(self.engine.optimizers, parameters, self._tensors(update), slots)
            after = self._everything(parameters, slots)
            for i, gradient in enumerate(update):
                if gradient is None:
                    assert all(np.array_equal(before[name][i], after[name][i]) for name in before), (before, after)
        self._assert_after(rule, parameters, starts, gradients)

    @each_case
    def test_the_rate_may_be_a_scalar_tensor(self, case: str) -> None:
        """As it is in a compiled step."""
        rule = CASES[case]
        starts, gradients = draw(updates=4)
        parameters, slots = self._begin(rule, starts)
        for update in gradients:
            rate = self.engine.tensors.asarray(np.float64(rule.lr))
            rule.update(self.engine.optimizers, parameters, self._tensors(update), slots, rate)
        self._assert_after(rule, parameters, starts, gradients)

    @each_case
    def test_gradients_lie_in_memory_as_they_like_and_are_left_alone(self, case: str) -> None:
        """Transposed, repeated along an axis, one and the same twice."""
        rule, tensors = CASES[case], self.engine.tensors
        table = np.arange(1.0, 13).reshape(4, 3) / 10
        repeated = tensors.broadcast_to(tensors.asarray(table[0]), (4, 3))
        turned = tensors.permute_dims(tensors.asarray(table), (1, 0))
        given, starts = [repeated, repeated, turned], [np.ones((4, 3)), np.ones((4, 3)), np.ones((3, 4))]
        values = [np.broadcast_to(table[0], (4, 3)), np.broadcast_to(table[0], (4, 3)), table.T]
        parameters, slots = self._begin(rule, starts)
        for _ in range(3):
            rule.update(self.engine.optimizers, parameters, given, slots)
        self._assert_after(rule, parameters, starts, [values] * 3)
        assert all(np.array_equal(a, b) for a, b in zip(self._arrays(given), values, strict=True))

    def test_float32_updates_keep_to_the_rules_within_their_precision(self) -> None:
        """Of every rule; parameters stay float32."""
        for name, rule in CASES.items():
            starts, gradients = draw(updates=10, dtype="float32")
            received = self._arrays(self._train(rule, starts, gradients))
            assert all(array.dtype == np.float32 for array in received), name
            expected = self._expected(rule, starts, gradients)
            assert_close(received, expected, 1e-5, f"{name}, parameter")

    def test_parameters_of_several_dtypes_share_a_call(self) -> None:
        """Each is updated in its own."""
        for name, rule in CASES.items():
            starts, gradients = draw(updates=10, shapes=[(3, 4), (3,)])
            starts[1] = starts[1].astype("float32")
            for update in gradients:
                update[1] = update[1].astype("float32")
            received, expected = (
                self._arrays(self._train(rule, starts, gradients)),
                self._expected(rule, starts, gradients),
            )
            assert [str(array.dtype) for array in received] == ["float64", "float32"], name
            assert_close(received[:1], expected[:1], 1e-12, f"{name}, parameter of float64")
            assert_close(received[1:], expected[1:], 1e-5, f"{name}, parameter of float32")

    # -------------------------------------------------------------------------------------------- slots

    def test_new_slots_are_filled_and_count_from_zero(self) -> None:
        """Shaped like their parameters."""
        starts, _ = draw(updates=0)
        slots = self.engine.optimizers.create_slots(self._parameters(starts), {"a": 0.0, "b": 0.25})
        values = self.engine.optimizers.slots_to_numpy(slots)
        assert set(slots) == set(values) == {"a", "b", "step"}
        for fill, name in ((0.0, "a"), (0.25, "b")):
            assert [array.shape for array in values[name]] == list(SHAPES)
            assert all((array == fill).all() for array in values[name])
        self._assert_counts(values["step"], [0] * len(SHAPES))

    @each_case
    def test_slots_hold_what_the_rule_remembers(self, case: str) -> None:
        """Under the promised names, so that another engine goes on with them."""
        rule = CASES[case]
        starts, gradients = draw(updates=6)
        gradients[2][1] = None
        parameters, slots = self._begin(rule, starts)
        for update in gradients:
            rule.update(self.engine.optimizers, parameters, self._tensors(update), slots)
        values = self.engine.optimizers.slots_to_numpy(slots)
        assert set(values) == {*rule.fills(), "step"}
        for i, start in enumerate(starts):
            expected: dict[str, Array] = {}
            rule.expected(start, [update[i] for update in gradients], expected)
            for name, array in values.items():
                assert_close([array[i]], [expected[name]], 1e-12, f"slot {name} of parameter")
        self._assert_counts(values["step"], [6, 5, 6])

    @each_case
    def test_updates_go_on_from_slots_that_went_through_numpy(self, case: str) -> None:
        """The arrays are copies."""
        rule, optimizers = CASES[case], self.engine.optimizers
        starts, gradients = draw(updates=14)
        gradients[3][1] = gradients[0][2] = None  # the parameters' own counts differ
        parameters, slots = self._begin(rule, starts)
        for update in gradients[:7]:
            rule.update(optimizers, parameters, self._tensors(update), slots)
        values = optimizers.slots_to_numpy(slots)
        rule.update(optimizers, parameters, self._tensors(gradients[0]), slots)
        others, further = self._begin(rule, self._expected(rule, starts, gradients[:7]))
        optimizers.slots_from_numpy(further, values)
        for update in gradients[7:]:
            rule.update(optimizers, others, self._tensors(update), further)
        self._assert_after(rule, others, starts, gradients)

    # -------------------------------------------------------------------------------------------- norms and clipping

    def test_the_global_norm_is_that_of_all_elements_together(self) -> None:
        """3 and 4 are 5; of nothing it is 0."""
        norm = self.engine.optimizers.global_norm
        assert self.engine.tensors.shape(norm(self._three_four())) == ()
        assert self._number(norm(self._three_four())) == 5.0
        assert self._number(norm([None, None])) == self._number(norm([])) == 0.0
        rows = self._tensors([np.full((2, 3), 2.0), np.full(5, -1.0)])
        assert abs(self._number(norm(rows)) - 29.0**0.5) < 1e-14

    def test_scaling_multiplies_every_gradient(self) -> None:
        """None stays None."""
        scaled = self.engine.optimizers.scale(self._three_four(), self.engine.tensors.asarray(np.float64(0.5)))
        self._assert_gradients(scaled, [np.array([1.5]), None, np.array([[0.0, 2.0]])])

    def test_clipping_by_the_global_norm_scales_by_the_ratio(self) -> None:
        """It answers with the norm before."""
        clipped, norm = self.engine.optimizers.clip_by_global_norm(self._three_four(), 1.0)
        assert self._number(norm) == 5.0
        self._assert_gradients(clipped, [np.array([0.6]), None, np.array([[0.0, 0.8]])], 1e-15)

    @pytest.mark.parametrize("limit", [5.0, 5.1, 1e30, float("inf")])
    def test_a_norm_of_exactly_the_limit_or_less_changes_no_bit(self, limit: float) -> None:
        """Nothing is added to the norm."""
        clipped, _ = self.engine.optimizers.clip_by_global_norm(self._three_four(), limit)
        self._assert_gradients(clipped, [np.array([3.0]), None, np.array([[0.0, 4.0]])])

    def test_a_float32_norm_of_exactly_the_limit_changes_no_bit(self) -> None:
        """And float32 it stays."""
        given = self._tensors([np.array([3.0], "float32"), np.array([[0.0, 4.0]], "float32")])
        clipped, _ = self.engine.optimizers.clip_by_global_norm(given, 5.0)
        self._assert_gradients(clipped, [np.array([3.0]), np.array([[0.0, 4.0]])])
        assert all(array.dtype == np.dtype("float32") for array in self._arrays(clipped))

    def test_a_norm_of_zero_is_safe(self) -> None:
        """0 stays 0."""
        clipped, norm = self.engine.optimizers.clip_by_global_norm(self._tensors([np.zeros(3)]), 1.0)
        assert self._number(norm) == 0.0
        self._assert_gradients(clipped, [np.zeros(3)])

    def test_a_norm_that_is_not_finite_goes_by_the_formula(self) -> None:
        """A NaN makes all NaN; an infinite element makes the factor 0."""
        clip = self.engine.optimizers.clip_by_global_norm
        clipped, norm = clip(self._tensors([np.array([1.0, np.nan]), np.array([2.0])]), 1.0)
        assert np.isnan(self._number(norm))
        self._assert_gradients(clipped, [np.array([np.nan, np.nan]), np.array([np.nan])])
        clipped, norm = clip(self._tensors([np.array([1.0, np.inf]), np.array([2.0])]), 1.0)
        assert np.isinf(self._number(norm))
        self._assert_gradients(clipped, [np.array([0.0, np.nan]), np.array([0.0])])

    def test_elements_are_cut_to_the_limit_on_both_sides(self) -> None:
        """NaN stays NaN, None stays None."""
        values = np.array([-3.0, -0.5, 0.0, 0.5, 3.0, np.nan])
        clipped = self.engine.optimizers.clip(self._tensors([values, None]), 1.0)
        self._assert_gradients(clipped, [np.array([-1.0, -0.5, 0.0, 0.5, 1.0, np.nan]), None])

    @each_change
    def test_gradients_that_are_not_donated_are_left_alone(self, change: str) -> None:
        """New tensors are returned."""
        given = self._three_four()
        self._change(change, given)
        self._assert_gradients(given, [np.array([3.0]), None, np.array([[0.0, 4.0]])])

    @each_change
    def test_donated_gradients_give_the_same_numbers_also_where_they_share_memory(self, change: str) -> None:
        """As the gradients of the two terms of a sum do: scaling such a tensor twice would be wrong."""
        for make in (self._three_four, self._twice_the_same, self._repeated):
            expected = [None if x is None else self._arrays([x])[0].copy() for x in self._change(change, make())]
            self._assert_gradients(self._change(change, make(), donate=True), expected)

    def test_gradients_of_several_dtypes_are_clipped_each_in_its_own(self) -> None:
        """The norm is one."""
        given = self._tensors([np.array([3.0], "float32"), np.array([4.0], "float64"), np.array(0.0, "float32")])
        clipped, norm = self.engine.optimizers.clip_by_global_norm(given, 2.5)
        assert self._number(norm) == 5.0
        arrays = self._arrays(clipped)
        assert [str(array.dtype) for array in arrays] == ["float32", "float64", "float32"]
        assert [float(array.sum()) for array in arrays] == [1.5, 2.0, 0.0]

    def test_the_norm_of_halves_does_not_overflow(self) -> None:
        """Squares of float16 do at 256."""
        given = [self.engine.tensors.asarray(np.full(4, 1000.0, "float32"), dtype="float16")]
        clipped, norm = self.engine.optimizers.clip_by_global_norm(given, 200.0)
        assert self._number(norm) == 2000.0
        self._assert_gradients(clipped, [np.full(4, 100.0, "float16")])

    # -------------------------------------------------------------------------------------------- helpers

    def _assert_rule(self, rule: Case) -> None:
        starts, gradients = draw(updates=50)
        self._assert_after(rule, self._train(rule, starts, gradients), starts, gradients)

    def _train(self, rule: Case, starts: Sequence[Array], gradients: Sequence[Sequence[Any]]) -> list[Any]:
        parameters, slots = self._begin(rule, starts)
        for update in gradients:
            rule.update(self.engine.optimizers, parameters, self._tensors(update), slots)
        return parameters

    def _begin(self, rule: Case, starts: Sequence[Array]) -> tuple[list[Any], dict[str, Any]]:
        parameters = self._parameters(starts)
        return parameters, self.engine.optimizers.create_slots(parameters, rule.fills())

    def _expected(self, rule: Case, starts: Sequence[Array], gradients: Sequence[Sequence[Any]]) -> list[Array]:
        return [rule.expected(start, [update[i] for update in gradients]) for i, start in enumerate(starts)]

    def _assert_after(
        self, rule: Case, parameters: list[Any], starts: Sequence[Array], gradients: Sequence[Sequence[Any]]
    ) -> None:
        assert_close(self._arrays(parameters), self._expected(rule, starts, gradients), 1e-12, "parameter")

    def _everything(self, parameters: list[Any], slots: Any) -> dict[str, list[Array]]:
        values = [array.copy() for array in self._arrays(parameters)]
        return {"parameter": values, **self.engine.optimizers.slots_to_numpy(slots)}

    def _parameters(self, arrays: Sequence[Array]) -> list[Any]:
        return [self.engine.tensors.parameter(array) for array in arrays]

    def _tensors(self, arrays: Sequence[Any]) -> list[Any]:
        # copies: an engine may share memory with what it is given, and write to what is donated
        return [None if array is None else self.engine.tensors.asarray(array, copy=True) for array in arrays]

    def _arrays(self, values: Sequence[Any]) -> list[Array]:
        return [np.asarray(self.engine.tensors.to_numpy(value)) for value in values]

    def _number(self, tensor: Any) -> float:
        return float(self.engine.tensors.to_numpy(tensor))

    def _three_four(self) -> list[Any]:
        return self._tensors([np.array([3.0]), None, np.array([[0.0, 4.0]])])

    def _twice_the_same(self) -> list[Any]:
        (shared,) = self._tensors([np.array([3.0, 4.0])])
        return [shared, shared, None]

    def _repeated(self) -> list[Any]:
        return [self.engine.tensors.broadcast_to(self._tensors([np.array([3.0, 4.0])])[0], (3, 2))]

    def _change(self, change: str, gradients: Any, donate: bool = False) -> list[Any]:
        if change == "scale":
            factor = self.engine.tensors.asarray(np.float64(0.25))
            return self.engine.optimizers.scale(gradients, factor, donate)
        if change == "clip":
            return self.engine.optimizers.clip(gradients, 1.5, donate)
        return self.engine.optimizers.clip_by_global_norm(gradients, 1.5, donate)[0]

    def _assert_counts(self, steps: Sequence[Array], expected: list[int]) -> None:
        assert all(step.shape == () and step.dtype == np.dtype("int64") for step in steps), steps
        assert [int(step) for step in steps] == expected

    def _assert_gradients(self, received: Sequence[Any], expected: Sequence[Any], tolerance: float = 0.0) -> None:
        assert [x is None for x in received] == [x is None for x in expected]
        for a, b in zip(received, expected, strict=True):
            if b is not None:
                np.testing.assert_allclose(self.engine.tensors.to_numpy(a), b, rtol=tolerance, atol=0)
