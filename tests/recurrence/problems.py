"""The problems of the conformance suite on an engine, TensorFlow's compiled programs among them: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
import torch  # noqa: F401  (torch comes first)

# isort: split
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence
from tbptt import backends
from tbptt.testing.conformance import recurrence_problems as problems


def run(road: str, given: problems.Problem) -> dict[str, np.ndarray]:
    """Outputs, final state and all gradients: on "torch", or on "tensorflow eager", "... graph" or "... xla"."""
    engine, _, how = road.partition(" ")
    if how in ("graph", "xla"):
        return _run_compiled(given, how == "xla")
    return problems.run(backends.load(engine), given)


def _run_compiled(given: problems.Problem, jit_compile: bool) -> dict[str, np.ndarray]:
    present = [value for each in given.weights for value in each.values() if value is not None]
    resets = None if given.resets is None else tf.constant(given.resets)
    sources = [*map(tf.constant, [given.inputs, *given.state, *(given.initial or ()), *present])]
    cotangents = [tf.constant(array) for array in [given.d_outputs, *given.d_state]]
    masks = given.masks and [tf.constant(mask) for mask in given.masks]
    between = masks and (lambda layer, outputs: outputs * masks[layer])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(resets, *sources):
        inputs, state, initial, values = problems.apart(given, sources)
        weights = [{k: None if v is None else next(values) for k, v in each.items()} for each in given.weights]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs, end = problems.call(
                tensorflow_recurrence, given.kind, inputs, state, weights, between, resets, initial or None
            )
        return outputs, end, tape.gradient([outputs, *end], list(sources), cotangents)

    outputs, end, gradients = step(resets, *sources)
    return problems.unflatten(
        given, outputs.numpy(), [part.numpy() for part in end], [each.numpy() for each in gradients]
    )
