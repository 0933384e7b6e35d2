"""How the engines' kernels may be called, beyond what the suite asks: views, open shapes, programs, counted calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tbptt_torch.recurrence as torch_recurrence
from recurrence.problems import run
from tbptt.testing.conformance.recurrence_problems import KINDS, assert_equal, call, problem

# isort: split
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence


def on(tensor, weights):
    return [{key: None if value is None else tensor(value) for key, value in each.items()} for each in weights]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_torch_takes_views_with_gaps(kind, dtype):
    given = problem(kind, layers=2, dtype=dtype)
    weights = on(torch.tensor, given.weights)
    inputs, state = torch.tensor(given.inputs), [torch.tensor(part) for part in given.state]
    wanted, end = call(torch_recurrence, kind, inputs, state, weights)
    views = [torch.cat([part, part], 2)[:, :, :6] for part in state]
    batch_first = inputs.transpose(0, 1).contiguous().transpose(0, 1)
    assert not batch_first.is_contiguous() and not any(view.is_contiguous() for view in views)
    found, found_end = call(torch_recurrence, kind, batch_first, views, weights)
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]
    for part, kept in zip([found, *found_end], [wanted, *end], strict=True):
        np.testing.assert_allclose(part, kept, rtol=0, atol=tolerance)


@pytest.mark.parametrize("only", ["outputs", "hidden", "cell"])
def test_a_loss_may_use_any_part_of_what_xla_compiled(only):
    given = problem("lstm")
    if only != "outputs":
        given.d_outputs[:] = 0
    for part, name in enumerate(["hidden", "cell"]):
        if only != name:
            given.d_state[part][:] = 0
    assert_equal(run("tensorflow xla", given), given.expected(), 1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows_spec", "shapes"), [(None, [(5, 3), (2, 4)]), (3, [(5, 3), (0, 3)])], ids=str)
def test_tensorflow_traces_once_for_all_lengths_and_batch_sizes(kind, rows_spec, shapes):
    first = problem(kind, layers=2)
    weights = on(tf.Variable, first.weights)
    variables = [value for each in weights for value in each.values() if value is not None]
    state_spec = [tf.TensorSpec((2, rows_spec, 6), "float64")] * len(first.state)

    @tf.function(input_signature=[tf.TensorSpec((None, rows_spec, 4), "float64"), state_spec])
    def step(inputs, state):
        with tf.GradientTape() as tape:
            outputs, end = call(tensorflow_recurrence, kind, inputs, state, weights)
            loss = tf.reduce_sum(outputs)
        return outputs, end, tape.gradient(loss, variables)

    for steps, rows in shapes:
        given = problem(kind, layers=2, steps=steps, rows=rows)
        outputs, end, gradients = step(tf.constant(given.inputs), [tf.constant(part) for part in given.state])
        assert outputs.shape == (steps, rows, 6)
        if steps == 0:
            assert all(np.array_equal(part, kept) for part, kept in zip(end, given.state, strict=True))
            assert not any(np.any(each) for each in gradients)
        else:
            given.d_outputs[:], given.d_state = 1, [np.zeros_like(part) for part in given.state]
            wanted = [value for name, value in given.expected().items() if name.startswith("gradient of layer")]
            for found, each in zip(gradients, wanted, strict=True):
                np.testing.assert_allclose(found, each, rtol=0, atol=1e-11 * max(1, np.abs(each).max()))
    assert step.experimental_get_tracing_count() == 1


def test_tensorflow_is_differentiable_from_outside_a_compiled_forward_pass():
    given = problem("lstm", layers=2)
    given.d_outputs[:], given.d_state = 1, [np.zeros_like(part) for part in given.state]
    weights = on(tf.Variable, given.weights)

    @tf.function(jit_compile=True)
    def forward(inputs, state):
        return call(tensorflow_recurrence, "lstm", inputs, state, weights)[0]

    with tf.GradientTape() as tape:
        outputs = forward(tf.constant(given.inputs), [tf.constant(part) for part in given.state])
    found = tape.gradient(outputs, weights[0]["recurrent"])
    wanted = given.expected()["gradient of layer 0 recurrent"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())


def test_torch_calls_one_kernel_for_a_stack_and_one_a_layer_around_a_callback(monkeypatch):
    calls, kernel = [], torch_recurrence._kernel
    monkeypatch.setattr(
        torch_recurrence, "_kernel", lambda *arguments: calls.append(len(arguments[3])) or kernel(*arguments)
    )
    given = problem("gru", layers=3)
    state = [torch.tensor(part) for part in given.state]
    arguments = ("gru", torch.tensor(given.inputs), state, on(torch.tensor, given.weights))
    call(torch_recurrence, *arguments)
    assert calls == [3]
    call(torch_recurrence, *arguments, between=lambda layer, outputs: outputs)
    assert calls == [3, 1, 1, 1]


def test_torch_trains_after_a_first_call_in_inference_mode():
    torch_recurrence._kept_zeros.cache_clear()
    given = problem("lstm", units=5)
    with torch.inference_mode():
        call(torch_recurrence, "lstm", torch.tensor(given.inputs), map(torch.tensor, given.state),
             on(torch.tensor, given.weights))  # fmt: skip
    assert_equal(run("torch", given), given.expected(), 1e-11)
