"""The promises of `tbptt.protocols.Autodiff`: gradients that are right, pure, and cut exactly where they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbptt.errors import GradientError
from tbptt.testing.conformance.base import Conformance
from tbptt.testing.conformance.tensor_checks import array, tensor
from tbptt.testing.conformance.tensor_gradients import CASES, TIES, differences, gradients, weights_for

VALUES = np.array([1.0, 2.0, 3.0])


class AutodiffConformance(Conformance):
    """Tapes, and what they do not record."""

    def _weight(self, values: Any = VALUES) -> Any:
        return self.engine.tensors.parameter(np.array(values, "float64"))

    def _found(self, tape: Any, targets: list[Any], sources: list[Any], cotangents: Any = None, **options: Any) -> Any:
        """The gradients as arrays, where there are any."""
        found = tape.gradient(targets, sources, cotangents or [None] * len(targets), **options)
        assert found is not None, "the tape answers that no target depends on anything that was recorded"
        assert len(found) == len(sources), (
            f"expected a gradient for each of {len(sources)} sources, received {len(found)}"
        )
        return [None if gradient is None else array(self.engine, gradient) for gradient in found]

    # --- right -------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("name", sorted(CASES))
    def test_gradients(self, name: str) -> None:
        """Of every floating function of the tensors: its central differences in float64."""
        function, arrays = CASES[name]
        weights = weights_for(self.engine, function, arrays)
        found = gradients(self.engine, function, arrays, weights)
        for index, expected in enumerate(differences(self.engine, function, arrays, weights)):
            message = f"d {name} / d argument {index}: the differences of its values are desired"
            np.testing.assert_allclose(found[index], expected, rtol=1e-8, atol=1e-8, err_msg=message)

    @pytest.mark.parametrize("name", sorted(TIES))
    def test_gradients_at_ties(self, name: str) -> None:
        """Where a function has a corner, the promised choice."""
        function, arrays, expected = TIES[name]
        weights = np.ones_like(weights_for(self.engine, function, arrays))
        for gradient, right in zip(gradients(self.engine, function, arrays, weights), expected, strict=True):
            np.testing.assert_allclose(gradient, right, atol=1e-15)

    def test_gradients_of_parameters_need_no_watching(self) -> None:
        """The slope of Σ w² is 2 w, in the parameter's dtype."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            target = t.sum(t.square(weight))
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_allclose(gradient, 2 * VALUES, rtol=1e-14)
        assert gradient.dtype.name == "float64", f"expected float64 as the source, received {gradient.dtype.name}"

    def test_a_gradient_has_the_dtype_of_its_source_single_precision(self) -> None:
        """Although the target is float64."""
        t, narrow, wide = self.engine.tensors, self.engine.tensors.parameter(np.array([0.5], "float32")), self._weight()
        with self.engine.autodiff.tape() as tape:
            target = t.add(t.multiply(t.astype(t.sum(narrow), "float64"), 4.0), t.sum(wide))
        for gradient, expected, dtype in zip(
            self._found(tape, [target], [narrow, wide]), ([4.0], [1.0] * 3), ("float32", "float64"), strict=True
        ):
            np.testing.assert_array_equal(gradient, np.array(expected, dtype), strict=True)

    def test_a_chain_of_steps_has_the_gradient_of_the_whole(self) -> None:
        """Three times h ← tanh(w h), by hand."""
        t, weight, w = self.engine.tensors, self._weight(0.7), 0.7
        with self.engine.autodiff.tape() as tape:
            state = tensor(self.engine, 0.9)
            for _ in range(3):
                state = t.tanh(t.multiply(weight, state))
        (gradient,) = self._found(tape, [state], [weight])
        h, slope = 0.9, 0.0
        for _ in range(3):
            new = np.tanh(w * h)
            h, slope = new, (1 - new**2) * (h + w * slope)
        np.testing.assert_allclose(gradient, slope, rtol=1e-14)

    def test_repeated_rows_of_an_embedding_are_summed_into_a_dense_gradient(self) -> None:
        """As NumPy's ``add.at`` sums them."""
        t, tokens = self.engine.tensors, np.array([[1, 4, 1], [1, 0, 4]])
        cotangent = np.random.default_rng(2).normal(size=(2, 3, 3))
        expected = np.zeros((5, 3))
        np.add.at(expected, tokens, cotangent)
        for kind in ("int32", "int64"):
            weight = self._weight(np.random.default_rng(1).normal(size=(5, 3)))
            with self.engine.autodiff.tape() as tape:
                rows = t.take(weight, tensor(self.engine, tokens, kind), axis=0)
            found: Any = tape.gradient([rows], [weight], [tensor(self.engine, cotangent)])
            assert t.is_tensor(found[0]), f"a dense tensor is promised; received a {type(found[0]).__name__}"
            assert tuple(t.shape(found[0])) == (5, 3)
            np.testing.assert_allclose(array(self.engine, found[0]), expected, rtol=1e-14)

    # --- targets and sources -----------------------------------------------------------------------------------------

    def test_output_gradients_weight_the_targets_and_several_targets_add_up(self) -> None:
        """Σ ⟨target, output gradient⟩, where None stands for ones."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            first, second = t.multiply(weight, 2.0), t.square(weight)
        (gradient,) = self._found(tape, [first, second], [weight], [tensor(self.engine, [1.0, 0.0, -1.0]), None])
        np.testing.assert_allclose(gradient, [2.0 + 2.0, 4.0, -2.0 + 6.0], rtol=1e-14)

    def test_a_target_that_is_no_scalar_counts_as_its_sum(self) -> None:
        """Not as its mean."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            target = t.multiply(t.expand_dims(weight, axis=0), t.ones((4, 1), dtype="float64"))
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_allclose(gradient, [4.0, 4.0, 4.0], rtol=1e-14)

    def test_a_source_that_no_target_depends_on_gives_none(self) -> None:
        """None, not zeros: "no path" and "a slope of 0" are different things."""
        t, weight, unused, zero = self.engine.tensors, self._weight(), self._weight([1.0]), self._weight()
        with self.engine.autodiff.tape() as tape:
            target = t.sum(t.add(weight, t.multiply(zero, 0.0)))
        used, none, slope = self._found(tape, [target], [weight, unused, zero])
        assert none is None, f"expected None for a source the target does not depend on, received {none}"
        np.testing.assert_array_equal(used, [1.0, 1.0, 1.0])
        np.testing.assert_array_equal(slope, [0.0, 0.0, 0.0])

    def test_other_sources_than_the_recorded_ones_give_none_each(self) -> None:
        """The target depends on something, only not on what is asked for."""
        weight, unused = self._weight(), self._weight()
        with self.engine.autodiff.tape() as tape:
            target = self.engine.tensors.sum(weight)
        found = self._found(tape, [target], [unused])
        assert found == [None], f"expected [None], received {found}"

    def test_targets_that_depend_on_nothing_give_none_instead_of_a_list(self) -> None:
        """A constant; and what has been cut off from its past."""
        t, weight = self.engine.tensors, self._weight()
        for is_constant in (True, False):
            with self.engine.autodiff.tape() as tape:
                target = t.sum(
                    t.ones(3, dtype="float64") if is_constant else self.engine.autodiff.stop_gradient(weight)
                )
            found = tape.gradient([target], [weight], [None])
            assert found is None, f"expected None, received {found}"

    # --- watching ----------------------------------------------------------------------------------------------------

    def test_watched_constants_have_gradients(self) -> None:
        """And one that is not watched has none."""
        t, x, other = self.engine.tensors, tensor(self.engine, [1.0, 2.0]), tensor(self.engine, [3.0, 4.0])
        with self.engine.autodiff.tape() as tape:
            tape.watch([x])
            target = t.sum(t.multiply(t.exp(x), other))
        gradient, none = self._found(tape, [target], [x, other])
        np.testing.assert_allclose(gradient, np.exp([1.0, 2.0]) * [3.0, 4.0], rtol=1e-14)
        assert none is None, f"expected None for a constant that was not watched, received {none}"

    def test_a_watched_target_has_itself_as_a_source(self) -> None:
        """With the slope 1: a state that a window only hands on."""
        x = tensor(self.engine, VALUES)
        with self.engine.autodiff.tape() as tape:
            tape.watch([x])
        (gradient,) = self._found(tape, [x], [x], [tensor(self.engine, [3.0, 4.0, 5.0])])
        np.testing.assert_array_equal(gradient, [3.0, 4.0, 5.0])

    def test_a_watched_tensor_is_as_before_when_the_block_ends(self) -> None:
        """A later tape does not record it unless it is asked to."""
        t, x, weight = self.engine.tensors, tensor(self.engine, VALUES), self._weight()
        with self.engine.autodiff.tape() as tape:
            tape.watch([x])
            t.sum(x)
        del tape
        with self.engine.autodiff.tape() as later:
            target = t.sum(t.multiply(x, weight))
        none, gradient = self._found(later, [target], [x, weight])
        assert none is None, f"watching must end with the block; received the gradient {none}"
        np.testing.assert_array_equal(gradient, VALUES)
        np.testing.assert_array_equal(array(self.engine, x), VALUES)

    def test_two_windows_are_joined_by_an_output_gradient(self) -> None:
        """d/dw of w·(w·(w·h)) in one piece equals the two pieces, the state's gradient handed over between them."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as first:
            middle = t.multiply(weight, t.multiply(weight, tensor(self.engine, [0.9, 0.8, 0.7])))
        boundary = self.engine.autodiff.stop_gradient(middle)
        with self.engine.autodiff.tape() as second:
            second.watch([boundary])
            end = t.sum(t.multiply(weight, boundary))
        late, cotangent = self._found(second, [end], [weight, boundary])
        (early,) = self._found(first, [middle], [weight], [tensor(self.engine, cotangent)])
        np.testing.assert_allclose(late + early, 3 * VALUES**2 * [0.9, 0.8, 0.7], rtol=1e-14)

    # --- pure --------------------------------------------------------------------------------------------------------

    def test_nothing_accumulates_from_tape_to_tape(self) -> None:
        """Three tapes give the same gradient each, not its multiples."""
        t, weight = self.engine.tensors, self._weight()
        for count in range(1, 4):
            with self.engine.autodiff.tape() as tape:
                target = t.sum(t.square(weight))
            (gradient,) = self._found(tape, [target], [weight])
            np.testing.assert_array_equal(gradient, 2 * VALUES, err_msg=f"the gradient of tape number {count}")

    def test_a_persistent_tape_answers_the_same_again(self) -> None:
        """And about other targets, sources and output gradients too; `retain` False lets go at the last time."""
        t, weight, other = self.engine.tensors, self._weight(), self._weight([1.0, 1.0, 1.0])
        with self.engine.autodiff.tape(persistent=True) as tape:
            first = t.sum(t.square(weight))
            second = t.sum(t.multiply(weight, other))
        for retain in (None, True, True):
            (gradient,) = self._found(tape, [first], [weight], retain=retain)
            np.testing.assert_array_equal(gradient, 2 * VALUES, err_msg="the answers must not add up")
        both = self._found(tape, [second], [weight, other], [tensor(self.engine, 2.0)], retain=True)
        np.testing.assert_array_equal(both, [[2.0, 2.0, 2.0], 2 * VALUES])
        (gradient,) = self._found(tape, [first], [weight], retain=False)
        np.testing.assert_array_equal(gradient, 2 * VALUES)

    def test_a_gradient_is_no_part_of_a_later_record(self) -> None:
        """It is a constant to what is computed from it."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            target = t.sum(t.square(weight))
        found: Any = tape.gradient([target], [weight], [None])
        with self.engine.autodiff.tape() as later:
            target = t.sum(t.multiply(found[0], weight))
        (gradient,) = self._found(later, [target], [weight])
        np.testing.assert_array_equal(gradient, 2 * VALUES)

    def test_a_past_window_is_not_reached_again(self) -> None:
        """A state that was carried over uncut is an error, or a constant: its window's record has been answered from."""
        t, weight = self.engine.tensors, self._weight([0.5])
        with self.engine.autodiff.tape() as tape:
            state = t.exp(weight)
        self._found(tape, [state], [weight])
        with self.engine.autodiff.tape() as later:
            target = t.sum(t.multiply(weight, state))
        try:
            (gradient,) = self._found(later, [target], [weight])
        except GradientError:
            return
        np.testing.assert_allclose(gradient, np.exp([0.5]), rtol=1e-14)

    # --- cut ---------------------------------------------------------------------------------------------------------

    def test_stop_gradient_keeps_the_values(self) -> None:
        """To the bit, and the dtype."""
        x = self.engine.tensors.square(self._weight([0.1, -0.7]))
        expected = array(self.engine, x)
        np.testing.assert_array_equal(array(self.engine, self.engine.autodiff.stop_gradient(x)), expected, strict=True)

    def test_stop_gradient_cuts_one_path_exactly(self) -> None:
        """The gradient of x · stop(x) is x, where x² would have 2 x."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            target = t.sum(t.multiply(weight, self.engine.autodiff.stop_gradient(weight)))
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_array_equal(gradient, VALUES)

    def test_stop_gradient_leaves_its_argument_as_it_was(self) -> None:
        """The other path goes on through it."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            hidden = t.square(weight)
            self.engine.autodiff.stop_gradient(hidden)
            target = t.sum(hidden)
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_array_equal(gradient, 2 * VALUES)

    def test_no_grad_records_nothing(self) -> None:
        """What is computed inside is a constant, and recording goes on afterwards."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            with self.engine.autodiff.no_grad():
                hidden = t.square(weight)
            target = t.sum(t.multiply(hidden, weight))
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_array_equal(gradient, VALUES**2)

    def test_recording_goes_on_after_an_error_in_no_grad(self) -> None:
        """The scope ends by whatever way it is left."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.tape() as tape:
            with pytest.raises(RuntimeError, match="on purpose"), self.engine.autodiff.no_grad():
                raise RuntimeError("on purpose")
            target = t.sum(t.square(weight))
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_array_equal(gradient, 2 * VALUES)

    # --- anomalies ---------------------------------------------------------------------------------------------------

    def test_detect_anomaly_tells_a_nan_in_a_backward_pass(self) -> None:
        """By an error of the engine's own; outside of the scope the NaN is the gradient."""
        t, weight = self.engine.tensors, self._weight([0.0])

        def gradient() -> Any:
            with self.engine.autodiff.tape() as tape:
                # a finite loss whose gradient is 0 · (0 / 0)
                target = t.sum(t.where(t.equal(weight, 0), 0.0, t.divide(weight, weight)))
            return self._found(tape, [target], [weight])

        with np.errstate(all="ignore"):
            with pytest.raises(Exception) as caught, self.engine.autodiff.detect_anomaly():
                gradient()
            assert not isinstance(caught.value, AssertionError), caught.value
            assert np.isnan(gradient()[0]).all(), "outside of the scope nothing is looked at"

    def test_detect_anomaly_lets_sound_steps_pass(self) -> None:
        """The same numbers as without it."""
        t, weight = self.engine.tensors, self._weight()
        with self.engine.autodiff.detect_anomaly(), self.engine.autodiff.tape() as tape:
            target = t.sum(t.square(weight))
        (gradient,) = self._found(tape, [target], [weight])
        np.testing.assert_array_equal(gradient, 2 * VALUES)
