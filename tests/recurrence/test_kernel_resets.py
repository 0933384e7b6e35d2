"""Resets inside the window in TensorFlow's compiled programs, and how each engine goes about them; the suite has the promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tbptt_torch.recurrence as torch_recurrence
from recurrence.problems import run
from tbptt.testing.conformance.recurrence import RESETS, ROWS, STEPS
from tbptt.testing.conformance.recurrence_problems import KINDS, assert_equal, call, with_resets
from tbptt_torch.resets import find

# isort: split
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence


def cut(kind, where="some", **options):
    return with_resets(kind, RESETS[where], **options)


@pytest.mark.parametrize("where", RESETS)
def test_wherever_the_resets_are_in_a_graph(where):
    for kind in ("lstm", "gru"):
        given = cut(kind, where)
        assert_equal(run("tensorflow graph", given), given.expected(), 1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_by_xla(kind):
    given = cut(kind, layers=2, masked=True)
    assert_equal(run("tensorflow xla", given), given.expected(), 1e-11)


def test_compiled_float32_resets_keep_to_the_oracle_within_its_precision():
    given = cut("lstm", layers=2, units=16, dtype="float32")
    found = run("tensorflow xla", given)
    assert {each.dtype for each in found.values()} == {np.dtype("float32")}
    assert_equal(found, given.expected(), 1e-5)


def test_nothing_crosses_a_reset_that_xla_compiled():
    """Row 1 is reset at 0, 2 and 3: what only its last segment's loss asks for asks nothing of what lies before."""
    given = cut("lstm", layers=2)
    for part in given.state:
        part[:, 1], part[:, 4] = np.nan, np.inf
    given.d_outputs[:] = 0
    given.d_outputs[4, 1] = 1
    for part in given.d_state:
        part[:] = 0
    found = run("tensorflow xla", given)
    assert all(np.isfinite(each).all() for each in found.values())
    d_inputs = found["gradient of inputs"]
    assert d_inputs[3:5, 1].all() and np.count_nonzero(d_inputs) == d_inputs[3:5, 1].size
    assert not any(found[f"gradient of state[{k}]"].any() for k in range(len(given.state)))
    for k in range(len(given.state)):
        gradient = found[f"gradient of initial[{k}]"]
        assert gradient[:, 1].all() and not np.delete(gradient, 1, axis=1).any()


@pytest.mark.parametrize("kind", KINDS)
def test_torch_runs_rows_without_a_reset_in_the_plain_kernel(monkeypatch, kind):
    calls, kernel = [], torch_recurrence._kernel

    def counted(kind, inputs, state, weights, batch_sizes=None):
        calls.append((tuple(inputs.shape), None if batch_sizes is None else batch_sizes.tolist()))
        return kernel(kind, inputs, state, weights, batch_sizes)

    monkeypatch.setattr(torch_recurrence, "_kernel", counted)
    packed = ((12, 4), [5, 3, 2, 1, 1])  # row 1: 2, 1 and 3 steps; row 3: 5 and 1
    for where, wanted in {
        "some": [packed, ((STEPS, 3, 4), None)],
        "none": [((STEPS, ROWS, 4), None)],
        "first-step": [((STEPS, ROWS, 4), None)],
        "one-a-row": [((STEPS * ROWS, 4), [10, 8, 6, 4, 2])],
    }.items():
        given = cut(kind, where, layers=2)
        run("torch", given)
        assert calls == wanted, where
        calls.clear()


def test_torch_makes_no_cut_where_resets_come_first_only():
    assert find(torch.tensor(RESETS["first-step"])) is None
    assert find(torch.tensor(RESETS["some"][:1])) is None


@pytest.mark.parametrize("kind", KINDS)
def test_tensorflow_traces_once_for_all_resets_lengths_and_batch_sizes(kind):
    first = cut(kind, layers=2)
    weights = [{k: None if v is None else tf.Variable(v) for k, v in each.items()} for each in first.weights]
    variables = [value for each in weights for value in each.values() if value is not None]
    states = [tf.TensorSpec((2, None, 6), "float64")] * len(first.state)
    shape = (None, None)

    @tf.function(
        input_signature=[tf.TensorSpec((*shape, 4), "float64"), states, tf.TensorSpec(shape, "bool"), states],
        autograph=False,
    )
    def step(inputs, state, resets, initial):
        with tf.GradientTape() as tape:
            outputs, end = call(tensorflow_recurrence, kind, inputs, state, weights, None, resets, initial)
            loss = tf.reduce_sum(outputs)
        return outputs, end, tape.gradient(loss, variables)

    for where, steps, rows in (("some", STEPS, ROWS), ("one-a-row", 4, 3)):
        given = cut(kind, where, layers=2)
        given.inputs, given.resets = given.inputs[:steps, :rows], given.resets[:steps, :rows]
        given.state, given.initial = ([part[:, :rows] for part in parts] for parts in (given.state, given.initial))
        given.d_outputs, given.d_state = np.ones((steps, rows, 6)), [np.zeros_like(part) for part in given.state]
        arguments = tf.constant(given.inputs), given.state, tf.constant(given.resets), given.initial
        outputs, _, gradients = step(*tf.nest.map_structure(tf.convert_to_tensor, arguments))
        wanted = given.expected()
        np.testing.assert_allclose(outputs, wanted["outputs"], rtol=0, atol=1e-12)
        of_weights = [value for name, value in wanted.items() if name.startswith("gradient of layer")]
        for found, each in zip(gradients, of_weights, strict=True):
            np.testing.assert_allclose(found, each, rtol=0, atol=1e-11 * max(1, np.abs(each).max()))
    assert step.experimental_get_tracing_count() == 1


def test_tensorflow_leaves_cudnn_aside_where_there_are_resets(monkeypatch):
    def refuse(*_):
        raise AssertionError("cuDNN knows no resets")

    monkeypatch.setattr(tensorflow_recurrence, "_cudnn_serves", lambda inputs: True)
    monkeypatch.setattr(tensorflow_recurrence, "_cudnn_layer", refuse)
    given = cut("lstm")
    assert_equal(run("tensorflow eager", given), given.expected(), 1e-11)
    given.resets = None
    with pytest.raises(AssertionError, match="cuDNN knows no resets"):
        run("tensorflow eager", given)
