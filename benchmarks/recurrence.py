"""Forward and backward of a stack of LSTM layers: our kernels, the frameworks' own layers, and the forms not taken.

    python benchmarks/recurrence.py                    # every size
    python benchmarks/recurrence.py character --rounds 15

One process, one thread pool per engine, candidates alternating round by round; first calls (tracing and compiling
included) are shown apart. The gradient is with respect to inputs, initial state and weights. `ratio` is the median over
rounds of a candidate's time over that of the Keras layers in a plain `tf.function` in the same round.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import torch

import tbptt_torch.recurrence as torch_recurrence

# isort: split
import keras
import tensorflow as tf

import tbptt_tensorflow.recurrence as tensorflow_recurrence
from tbptt.protocols import LayerWeights


@dataclass(frozen=True)
class Size:
    units: int
    layers: int
    rows: int
    steps: int


SIZES = {
    "character": Size(512, 2, 32, 64),
    "language": Size(256, 2, 32, 20),
    "char_lm": Size(256, 1, 32, 64),
    "small": Size(20, 1, 10, 10),
}
Run = Callable[[], Any]


def draw(size: Size) -> tuple[np.ndarray, np.ndarray, list[list[np.ndarray]]]:
    random = np.random.default_rng(0)
    bound = size.units**-0.5

    def uniform(*shape: int) -> np.ndarray:
        return random.uniform(-bound, bound, shape).astype("float32")

    gates = 4 * size.units
    weights = [[uniform(gates, size.units), uniform(gates, size.units), uniform(gates)] for _ in range(size.layers)]
    return uniform(size.steps, size.rows, size.units), uniform(size.layers, size.rows, size.units), weights


# --- torch ------------------------------------------------------------------------------------------------------------


def torch_layer(size: Size) -> Run:
    inputs, state, _ = draw(size)
    layer = torch.nn.LSTM(size.units, size.units, size.layers)
    x, h, c = (torch.tensor(each, requires_grad=True) for each in (inputs, state, state))

    def run() -> Any:
        outputs, (hidden, cell) = layer(x, (h, c))
        return torch.autograd.grad(outputs.sum() + hidden.sum() + cell.sum(), [x, h, c, *layer.parameters()])

    return run


def torch_ours(size: Size, batch_first: bool = False) -> Run:
    inputs, state, weights = draw(size)
    if batch_first:
        inputs = inputs.transpose(1, 0, 2).copy()
    x, h, c = (torch.tensor(each, requires_grad=True) for each in (inputs, state, state))
    layers = [LayerWeights(*(torch.nn.Parameter(torch.tensor(each)) for each in layer)) for layer in weights]
    parameters = [each for layer in layers for each in layer if each is not None]

    def run() -> Any:
        outputs, (hidden, cell) = torch_recurrence.lstm(x.transpose(0, 1) if batch_first else x, (h, c), layers)
        return torch.autograd.grad(outputs.sum() + hidden.sum() + cell.sum(), [x, h, c, *parameters])

    return run


# --- TensorFlow -------------------------------------------------------------------------------------------------------


def keras_layers(size: Size, xla: bool) -> Run:
    inputs, state, weights = draw(size)
    layers = [keras.layers.LSTM(size.units, return_sequences=True, return_state=True) for _ in weights]
    for layer, (w_ih, w_hh, bias) in zip(layers, weights, strict=True):
        layer.build((size.rows, size.steps, size.units))
        layer.set_weights([w_ih.T, w_hh.T, bias])
    variables = [variable.value for layer in layers for variable in layer.trainable_variables]
    arguments = [tf.constant(inputs.transpose(1, 0, 2).copy()), tf.constant(state), tf.constant(state)]

    @tf.function(jit_compile=xla)
    def step(x: Any, h: Any, c: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, h, c])
            outputs, loss = x, 0.0
            for number, layer in enumerate(layers):
                outputs, hidden, cell = layer(outputs, initial_state=[h[number], c[number]])
                loss += tf.reduce_sum(hidden) + tf.reduce_sum(cell)
            loss += tf.reduce_sum(outputs)
        return tape.gradient(loss, [x, h, c, *variables])

    return lambda: [each.numpy() for each in step(*arguments)]


def tensorflow_form(lstm: Callable[..., Any], size: Size, xla: bool) -> Run:
    inputs, state, weights = draw(size)
    layers = [LayerWeights(*(tf.Variable(each) for each in layer)) for layer in weights]
    variables = [each for layer in layers for each in layer if each is not None]
    arguments = [tf.constant(inputs), tf.constant(state), tf.constant(state)]

    @tf.function(jit_compile=xla, autograph=False)
    def step(x: Any, h: Any, c: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([x, h, c])
            outputs, (hidden, cell) = lstm(x, (h, c), layers)
            loss = tf.reduce_sum(outputs) + tf.reduce_sum(hidden) + tf.reduce_sum(cell)
        return tape.gradient(loss, [x, h, c, *variables])

    return lambda: [each.numpy() for each in step(*arguments)]


def with_autodiff(loop: str) -> Callable[..., Any]:
    """The obvious forms: the input product hoisted, the loop over time left to TensorFlow's own differentiation."""

    def lstm(inputs: Any, state: Any, weights: Any) -> Any:
        outputs, ends = inputs, []
        for number, layer in enumerate(weights):
            steps, rows, features = outputs.shape
            units = layer.recurrent.shape[1]
            product = tf.matmul(tf.reshape(outputs, (-1, features)), layer.input, transpose_b=True) + layer.bias
            product, recurrent = tf.reshape(product, (steps, rows, 4 * units)), tf.transpose(layer.recurrent)

            def cell(carry: Any, row: Any, recurrent: Any = recurrent) -> Any:
                i, f, g, o = tf.split(row + tf.matmul(carry[0], recurrent), 4, axis=1)
                c = tf.sigmoid(f) * carry[1] + tf.sigmoid(i) * tf.tanh(g)
                return tf.sigmoid(o) * tf.tanh(c), c

            h, c = state[0][number], state[1][number]
            if loop == "tf.scan":
                hiddens, cells = tf.scan(cell, product, (h, c))
                outputs, h, c = hiddens, hiddens[-1], cells[-1]
            elif loop == "python":
                hiddens = []
                for t in range(steps):
                    h, c = cell((h, c), product[t])
                    hiddens.append(h)
                outputs = tf.stack(hiddens)
            else:
                array = tf.TensorArray(tf.float32, steps, element_shape=(rows, units))

                def body(t: Any, h: Any, c: Any, array: Any, product: Any = product, cell: Any = cell) -> Any:
                    h, c = cell((h, c), product[t])
                    return t + 1, h, c, array.write(t, h)

                start = (0, h, c, array)
                _, h, c, array = tf.while_loop(lambda *_: True, body, start, maximum_iterations=steps)
                outputs = array.stack()
            ends.append((h, c))
        return outputs, tuple(tf.stack(parts) for parts in zip(*ends, strict=True))

    return lstm


CANDIDATES: dict[str, Callable[[Size], Run]] = {
    "keras.layers.LSTM, tf.function": lambda size: keras_layers(size, xla=False),
    "keras.layers.LSTM, XLA": lambda size: keras_layers(size, xla=True),
    "while_loop + autodiff, tf.function": lambda size: tensorflow_form(with_autodiff("while"), size, xla=False),
    "while_loop + autodiff, XLA": lambda size: tensorflow_form(with_autodiff("while"), size, xla=True),
    "tf.scan + autodiff, XLA": lambda size: tensorflow_form(with_autodiff("tf.scan"), size, xla=True),
    "unrolled + autodiff, XLA": lambda size: tensorflow_form(with_autodiff("python"), size, xla=True),
    "tbptt_tensorflow, tf.function": lambda size: tensorflow_form(tensorflow_recurrence.lstm, size, xla=False),
    "tbptt_tensorflow, XLA": lambda size: tensorflow_form(tensorflow_recurrence.lstm, size, xla=True),
    "torch.nn.LSTM": torch_layer,
    "tbptt_torch": torch_ours,
    "tbptt_torch, batch-first view": lambda size: torch_ours(size, batch_first=True),
}
REFERENCE = "keras.layers.LSTM, tf.function"


def measure(size: Size, rounds: int, calls: int, skip: set[str]) -> dict[str, tuple[float, list[float]]]:
    """Seconds of the first call and of one call in every round, per candidate."""
    runs: dict[str, Run] = {}
    times: dict[str, tuple[float, list[float]]] = {}
    for name, build in CANDIDATES.items():
        if name not in skip:
            begin = time.perf_counter()
            runs[name] = build(size)
            runs[name]()
            times[name] = (time.perf_counter() - begin, [])
            runs[name]()
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            for _ in range(calls):
                run()
            times[name][1].append((time.perf_counter() - begin) / calls)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", metavar="size", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for name in options.sizes or SIZES:
        size = SIZES[name]
        # Unrolled, 64 steps of two layers take minutes to compile.
        skip = {"unrolled + autodiff, XLA"} if size.steps * size.layers > 40 else set()
        times = measure(size, options.rounds, 50 if size.units < 100 else 1 if size.units > 300 else 3, skip)
        print(f"\n{name}: {size}\n{'':36} {'first call':>12} {'median':>12} {'least':>12} {'ratio':>7}")
        reference = np.array(times[REFERENCE][1])
        for candidate, (first, each) in times.items():
            ratio = np.median(np.array(each) / reference)
            median, least = 1e3 * np.median(each), 1e3 * min(each)
            print(f"{candidate:36} {first:10.2f} s {median:9.2f} ms {least:9.2f} ms {ratio:7.2f}", flush=True)


if __name__ == "__main__":
    main()
