"""`tbptt.protocols.interop` as tests: what can be asked of a backend by somebody who does not know its framework."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbptt import tree
from tbptt.testing.conformance.base import Conformance
from tbptt.types import Array


class _Mine:
    """A class of nobody's framework."""


class InteropConformance(Conformance):
    """Parameters, what is no object of the framework, and the framework's random generators.

    What happens to native modules is for the adapter's own tests: only it knows how to make one.
    """

    def test_a_parameter_is_trainable_unless_it_was_made_otherwise(self) -> None:
        """As `Parameters.parameter` was told."""
        assert self.engine.interop.is_trainable(self._parameter())
        assert not self.engine.interop.is_trainable(self._parameter(trainable=False))

    @pytest.mark.parametrize("made", [True, False], ids=["made-trainable", "made-fixed"])
    def test_a_parameter_can_be_stopped_and_let_go_again(self, made: bool) -> None:
        """Tapes that begin afterwards know."""
        for trainable in (True, False):
            parameter = self._parameter(trainable=made)
            for change in (trainable, not trainable, trainable):
                self.engine.interop.set_trainable(parameter, change)
                assert self.engine.interop.is_trainable(parameter) is change
            gradient = self._gradient_of_square(parameter)
            says = f"set_trainable({trainable}), and a tape says {gradient}"
            assert (gradient is not None) is trainable, says
            assert gradient is None or np.array_equal(gradient, 2 * np.arange(3.0)), says

    def test_a_stopped_parameter_keeps_its_values(self) -> None:
        """It is the same object, too."""
        parameter = self._parameter()
        self.engine.interop.set_trainable(parameter, False)
        assert self.engine.tensors.is_parameter(parameter)
        np.testing.assert_array_equal(self._read(parameter), np.arange(3.0))

    @pytest.mark.parametrize("trainable", [True, False], ids=["trainable", "fixed"])
    def test_values_are_written_into_a_parameter(self, trainable: bool) -> None:
        """In its dtype, and it is as trainable as before."""
        parameter = self._parameter(trainable=trainable)
        self.engine.interop.write(parameter, np.array([5.0, -1.0, 0.25]))
        np.testing.assert_array_equal(self._read(parameter), [5.0, -1.0, 0.25])
        assert self._read(parameter).dtype == np.dtype("float64")
        assert self.engine.interop.is_trainable(parameter) is trainable

    def test_a_parameter_has_no_shell(self) -> None:
        """`unwrap_parameter` gives back the very object, and everything else as it is."""
        parameter = self._parameter()
        assert self.engine.interop.unwrap_parameter(parameter) is parameter
        for value in (None, 3, "weight", _Mine(), np.ones(2)):
            assert self.engine.interop.unwrap_parameter(value) is value

    @pytest.mark.parametrize(
        "value", [None, 3, "module", _Mine(), _Mine], ids=["none", "number", "text", "object", "class"]
    )
    def test_what_is_no_native_module_is_told_apart(self, value: Any) -> None:
        """Parameters are none either."""
        assert not self.engine.interop.is_native_module(value)
        assert not self.engine.interop.is_native_module(self._parameter())

    def test_classes_of_other_people_are_told_apart(self) -> None:
        """Python's, NumPy's and a user's."""
        for cls in (int, object, np.ndarray, _Mine):
            assert not self.engine.interop.is_native_class(cls), cls

    def test_what_is_no_native_optimizer_is_none(self) -> None:
        """The library then goes on looking."""
        for value in (None, object(), _Mine(), "sgd"):
            assert self.engine.interop.native_optimizer(value, [self._parameter()]) is None

    def test_there_are_no_gradients_beside_parameters_unless_somebody_put_them_there(self) -> None:
        """Tapes do not."""
        parameters = [self._parameter(), self._parameter(trainable=False)]
        assert self.engine.interop.take_gradients(parameters) is None
        self._gradient_of_square(parameters[0])
        assert self.engine.interop.take_gradients(parameters) is None
        assert self.engine.interop.take_gradients([]) is None

    def test_what_is_no_container_of_sequences_is_not_padded(self) -> None:
        """Tensors and arrays stay what they are."""
        for value in (None, 3, [1, 2], np.ones((2, 3)), self.engine.tensors.asarray(np.ones((2, 3)))):
            assert self.engine.interop.as_padded(value) is None

    def test_a_scope_without_autocast_changes_nothing(self) -> None:
        """Products are computed in the dtype of their factors."""
        x = self.engine.tensors.asarray(np.arange(6.0).reshape(2, 3) / 7)
        with self.engine.interop.autocast(None):
            inside = self._read(self.engine.tensors.matmul(x, self.engine.tensors.matrix_transpose(x)))
        outside = self._read(self.engine.tensors.matmul(x, self.engine.tensors.matrix_transpose(x)))
        assert inside.dtype == outside.dtype == np.dtype("float64")
        np.testing.assert_array_equal(inside, outside)

    def test_random_generators_go_back_to_where_they_stood(self) -> None:
        """To a state that was asked for, and by a seed."""
        interop = self.engine.interop
        interop.seed(1)
        first = self._values(interop.random_state())
        state = interop.random_state()
        interop.seed(2)
        interop.set_random_state(state)
        assert _same(self._values(interop.random_state()), first)
        interop.seed(2)
        interop.seed(1)
        assert _same(self._values(interop.random_state()), first)

    def _parameter(self, trainable: bool = True) -> Any:
        return self.engine.tensors.parameter(np.arange(3.0), trainable=trainable)

    def _read(self, tensor: Any) -> Array:
        return np.asarray(self.engine.tensors.to_numpy(tensor))

    def _gradient_of_square(self, parameter: Any) -> Array | None:
        tape = self.engine.autodiff.tape()
        with tape:
            loss = self.engine.tensors.sum(self.engine.tensors.multiply(parameter, parameter))
        answers = tape.gradient([loss], [parameter], [None])
        return None if answers is None or answers[0] is None else self._read(answers[0])

    def _values(self, state: Any) -> list[Array]:
        """Copies of what an opaque state holds."""
        is_tensor = self.engine.tensors.is_tensor
        return [(self._read(leaf) if is_tensor(leaf) else np.asarray(leaf)).copy() for leaf in tree.leaves(state)]


def _same(received: list[Array], expected: list[Array]) -> bool:
    pairs = zip(received, expected, strict=True)
    return len(received) == len(expected) and all(np.array_equal(a, b) for a, b in pairs)
