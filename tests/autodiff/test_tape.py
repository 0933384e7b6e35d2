"""The tape keeps its promises on both engines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops
from tbptt.errors import ConfigurationError, GradientError, StructureError
from tbptt.protocols import Backend


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.to_numpy(x))


@pytest.fixture
def weight(backend: Backend) -> Any:
    with tbptt.dtypes.dtype_scope("float64"):
        return nn.Parameter(np.array([1.0, 2.0, 3.0]))


def test_gradient_of_a_tree_of_sources_has_the_trees_structure(weight: Any) -> None:
    bias = nn.Parameter(np.array([0.5], dtype="float32"))
    with tbptt.GradientTape() as tape:
        loss = ops.sum(ops.square(weight)) + ops.astype(ops.sum(bias), "float64") * 4.0
    gradient = tape.gradient(loss, {"w": weight, "rest": [bias, None]})
    assert set(gradient) == {"w", "rest"} and gradient["rest"][1] is None
    np.testing.assert_allclose(array(gradient["w"]), [2.0, 4.0, 6.0])
    np.testing.assert_allclose(array(gradient["rest"][0]), [4.0])
    assert ops.dtype(gradient["rest"][0]) == "float32"


def test_several_targets_add_up_with_their_cotangents(weight: Any) -> None:
    with tbptt.GradientTape() as tape:
        first, second = ops.multiply(weight, 2.0), ops.square(weight)
    cotangents = [ops.asarray(np.array([1.0, 0.0, -1.0])), None]
    gradient = tape.gradient([first, second], weight, output_gradients=cotangents)
    np.testing.assert_allclose(array(gradient), [2.0 + 2.0, 4.0, -2.0 + 6.0])


def test_a_target_that_is_no_scalar_counts_as_its_sum(weight: Any) -> None:
    with tbptt.GradientTape() as tape:
        target = ops.multiply(ops.expand_dims(weight, axis=0), ops.ones((4, 1), dtype="float64"))
    np.testing.assert_allclose(array(tape.gradient(target, weight)), [4.0, 4.0, 4.0])


def test_state_gradients_chain_between_windows(weight: Any) -> None:
    """d/dw of w·(w·(w·h)) in one piece equals the two pieces joined by a cotangent."""
    start = ops.asarray(np.array([0.9, 0.8, 0.7]))
    with tbptt.GradientTape() as first:
        middle = ops.multiply(weight, ops.multiply(weight, start))
    boundary = tbptt.stop_gradient(middle)
    with tbptt.GradientTape() as second:
        second.watch(boundary)
        end = ops.sum(ops.multiply(weight, boundary))
    late, cotangent = second.gradient(end, [weight, boundary])
    early = first.gradient(middle, weight, output_gradients=cotangent)
    np.testing.assert_allclose(array(late) + array(early), 3 * array(weight) ** 2 * array(start), rtol=1e-14)


def test_unused_sources_give_none_or_zeros_on_request(weight: Any) -> None:
    unused = nn.Parameter(np.ones((2, 2)))
    for choice, expected in (("none", None), ("zero", np.zeros((2, 2)))):
        with tbptt.GradientTape() as tape:
            loss = ops.sum(weight)
        answer = tape.gradient(loss, [weight, unused], unconnected_gradients=choice)[1]
        assert answer is None if expected is None else np.array_equal(array(answer), expected)


def test_a_loss_that_depends_on_something_but_not_on_these_gives_none(weight: Any) -> None:
    unused = nn.Parameter(np.ones(2))
    with tbptt.GradientTape() as tape:
        loss = ops.sum(weight)
    assert tape.gradient(loss, unused) is None


def test_constants_are_watched_and_left_as_they_were(backend: Backend) -> None:
    x = ops.asarray(np.array([1.0, 2.0]))
    with tbptt.GradientTape() as tape:
        tape.watch({"x": x})
        y = ops.sum(ops.exp(x))
    np.testing.assert_allclose(array(tape.gradient(y, x)), np.exp([1.0, 2.0]))
    assert not getattr(x, "requires_grad", False)


def test_nothing_accumulates(weight: Any) -> None:
    answers = []
    for _ in range(3):
        with tbptt.GradientTape() as tape:
            loss = ops.sum(ops.square(weight))
        answers.append(array(tape.gradient(loss, weight)))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert getattr(weight, "grad", None) is None


def test_a_persistent_tape_answers_again_and_another_says_why_not(weight: Any) -> None:
    with tbptt.GradientTape(persistent=True) as tape:
        loss = ops.sum(ops.square(weight))
    first, second = tape.gradient(loss, weight), tape.gradient(loss, weight)
    assert np.array_equal(array(first), array(second))
    with tbptt.GradientTape() as once:
        loss = ops.sum(ops.square(weight))
    once.gradient(loss, weight)
    with pytest.raises(GradientError, match="persistent=True"):
        once.gradient(loss, weight)


def test_a_loss_that_depends_on_no_parameter_is_an_error_that_says_so(weight: Any) -> None:
    with tbptt.GradientTape() as tape:
        loss = ops.sum(ops.ones(3))
    with pytest.raises(GradientError, match="depends on no parameter"):
        tape.gradient(loss, [weight])
    with tbptt.GradientTape() as tape:
        loss = ops.sum(tbptt.stop_gradient(ops.square(weight)))
    with pytest.raises(GradientError, match="depends on no parameter"):
        tape.gradient(loss, [weight])


def test_stop_gradient_cuts_one_path_only(weight: Any) -> None:
    with tbptt.GradientTape() as tape:
        loss = ops.sum(ops.multiply(weight, tbptt.stop_gradient(weight)))
    np.testing.assert_allclose(array(tape.gradient(loss, weight)), [1.0, 2.0, 3.0])


def test_no_grad_records_nothing(weight: Any) -> None:
    with tbptt.GradientTape() as tape:
        with tbptt.no_grad():
            hidden = ops.square(weight)
        loss = ops.sum(ops.multiply(hidden, weight))
    np.testing.assert_allclose(array(tape.gradient(loss, weight)), [1.0, 4.0, 9.0])


def test_repeated_rows_of_a_lookup_are_summed_into_a_dense_gradient(backend: Backend) -> None:
    table = nn.Embedding(4, 2)
    with tbptt.GradientTape() as tape:
        loss = ops.sum(table(ops.asarray(np.array([[1, 1, 3]]))))
    gradient = tape.gradient(loss, table.weight)
    np.testing.assert_allclose(array(gradient), [[0, 0], [2, 2], [0, 0], [1, 1]])


def test_the_tape_works_inside_the_compiled_step(weight: Any, backend: Backend) -> None:
    def step(x: Any) -> Any:
        with tbptt.GradientTape() as tape:
            tape.watch(x)
            loss = ops.sum(ops.multiply(ops.square(weight), x))
        return tape.gradient(loss, {"w": weight, "x": x})

    compiled = backend.compilation.compile(step, "auto", "step")
    gradient = compiled(ops.asarray(np.array([1.0, 10.0, 100.0])))
    np.testing.assert_allclose(array(gradient["w"]), [2.0, 40.0, 600.0])
    np.testing.assert_allclose(array(gradient["x"]), [1.0, 4.0, 9.0])


def test_a_state_that_was_not_cut_is_named_where_the_engine_would_run_into_it() -> None:
    """On torch the record of the window before is gone; TensorFlow's tape never reaches it."""
    with tbptt.use_backend("torch"):
        weight = nn.Parameter(np.ones(1))
        with tbptt.GradientTape() as tape:
            state = ops.exp(weight)
        tape.gradient(state, weight)
        with tbptt.GradientTape() as tape:
            loss = ops.sum(ops.multiply(weight, state))
        with pytest.raises(GradientError, match=r"tbptt.detach\(state\)"):
            tape.gradient(loss, weight)


def test_wrong_arguments_say_what_was_expected(weight: Any) -> None:
    with tbptt.GradientTape(persistent=True) as tape:
        loss = ops.sum(weight)
    with pytest.raises(StructureError, match="output_gradients must have one entry"):
        tape.gradient([loss, loss], weight, output_gradients=[None])
    with pytest.raises(ConfigurationError, match="'none' or 'zero'"):
        tape.gradient(loss, weight, unconnected_gradients="zeros")  # type: ignore[arg-type]
