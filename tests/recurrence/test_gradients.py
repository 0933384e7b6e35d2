"""Outputs, final state and every gradient of both engines' kernels, against the NumPy oracle in float64."""

from __future__ import annotations

import numpy as np
import pytest

from oracles import recurrence as oracle
from recurrence.problems import KINDS, assert_equal, problem, run

STACKS = [(1, False), (2, False), (2, True), (3, False), (3, True)]


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


@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("layers", "masked"), STACKS, ids=lambda value: str(value))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("road", ["torch", "tensorflow eager"])
def test_a_kernel_equals_the_oracle(road, kind, layers, masked, has_bias):
    given = problem(kind, layers, has_bias, masked)
    assert_equal(run(road, given), given.expected(), 1e-11)


@pytest.mark.parametrize(("layers", "masked", "has_bias"), [(1, False, False), (2, True, True)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("road", ["tensorflow graph", "tensorflow xla"])
def test_a_compiled_kernel_equals_the_oracle(road, kind, layers, masked, has_bias):
    given = problem(kind, layers, has_bias, masked)
    assert_equal(run(road, given), given.expected(), 1e-11)


@pytest.mark.parametrize("road", ["torch", "tensorflow xla"])
def test_float32_keeps_to_the_oracle_within_its_precision(road):
    given = problem("lstm", layers=2, steps=12, units=16, dtype="float32")
    found = run(road, given)
    assert {each.dtype for each in found.values()} == {np.dtype("float32")}
    assert_equal(found, given.expected(), 1e-5)


@pytest.mark.parametrize("road", ["torch", "tensorflow xla"])
def test_saturated_gates_give_finite_gradients(road):
    given = problem("lstm", dtype="float32")
    for key in ("input", "recurrent", "bias"):
        given.weights[0][key] *= 300
    assert all(np.isfinite(each).all() for each in run(road, given).values())
