"""The oracle against finite differences; and TensorFlow's compiled kernels against the oracle, as the suite has the others."""

from __future__ import annotations

import numpy as np
import pytest

from recurrence.problems import run
from tbptt.testing.conformance.recurrence_problems import KINDS, assert_equal, problem
from tbptt.testing.oracles import recurrence as oracle


@pytest.mark.parametrize("kind", KINDS)
def test_the_oracles_gradients_are_finite_differences(kind):
    given = problem(kind, layers=2, masked=True, steps=3, rows=2, features=2, units=3)
    exact = given.expected()

    def loss():
        outputs, state, _ = oracle.forward(kind, given.inputs, given.state, given.weights, given.masks)
        parts = zip(state, given.d_state, strict=True)
        return np.vdot(outputs, given.d_outputs) + sum(np.vdot(part, each) for part, each in parts)

    sources = {"inputs": given.inputs} | {f"state[{k}]": part for k, part in enumerate(given.state)}
    for layer, each in enumerate(given.weights):
        sources |= {f"layer {layer} {key}": value for key, value in each.items() if value is not None}
    for name, source in sources.items():
        slopes, flat = np.zeros(source.size), source.reshape(-1)
        for position in range(source.size):
            kept, losses = flat[position], []
            for nudge in (1e-5, -1e-5):
                flat[position] = kept + nudge
                losses.append(loss())
            flat[position] = kept
            slopes[position] = (losses[0] - losses[1]) / 2e-5
        np.testing.assert_allclose(exact[f"gradient of {name}"].reshape(-1), slopes, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("layers", "masked", "has_bias"), [(1, False, False), (2, True, True)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("road", ["tensorflow graph", "tensorflow xla"])
def test_a_compiled_kernel_equals_the_oracle(road, kind, layers, masked, has_bias):
    given = problem(kind, layers, has_bias, masked)
    assert_equal(run(road, given), given.expected(), 1e-11)


def test_compiled_float32_keeps_to_the_oracle_within_its_precision():
    given = problem("lstm", layers=2, steps=12, units=16, dtype="float32")
    found = run("tensorflow xla", given)
    assert {each.dtype for each in found.values()} == {np.dtype("float32")}
    assert_equal(found, given.expected(), 1e-5)


@pytest.mark.parametrize("road", ["torch", "tensorflow xla"])
def test_saturated_gates_give_finite_gradients_in_float32(road):
    given = problem("lstm", dtype="float32")
    for key in ("input", "recurrent", "bias"):
        given.weights[0][key] *= 300
    assert all(np.isfinite(each).all() for each in run(road, given).values())
