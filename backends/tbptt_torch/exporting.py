"""Programs in torch's formats: `torch.export` (``.pt2``) and ONNX.

A `torch.export` program holds `aten.lstm` and its like, whose tracing fixes the number of steps. ONNX has recurrent operators of
its own, for any number of steps: while something is exported there, they are this engine's recurrences.

Shape legend: T steps, B rows, F input features, H units, L layers, G gates.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from tbptt import backends
from tbptt.errors import ModuleProtocolError
from tbptt.protocols.interop import Program
from tbptt.protocols.recurrence import Between, LayerWeights

_TALKATIVE = ("torch.onnx", "onnxscript", "onnx_ir")
"""Loggers that warn of packages nobody needs, and of optimizations that were not made."""


def export(view: torch.nn.Module, program: Program, path: str, format: str) -> None:
    """Write a program, of whose module `view` is one, as ``"pt2"`` or ``"onnx"``."""
    {"pt2": _write_pt2, "onnx": _write_onnx}[format](_Flat(view, program), program, path)


class _Flat(torch.nn.Module):
    """A view as a function of tensors by name, which answers by name."""

    def __init__(self, view: torch.nn.Module, program: Program) -> None:
        super().__init__()
        self.view = view
        self.eval()

        def forward(**tensors: Tensor) -> dict[str, Tensor]:
            results = program.run(self.view, [tensors[name] for name in program.input_names])
            seen = list(tensors.values())
            # a cell's output is its state; as outputs they need names of their own
            for index, result in enumerate(results):
                results[index] = result.clone() if any(result is other for other in seen) else result
                seen.append(result)
            return dict(zip(program.output_names, results, strict=True))

        # where torch.export reads which names there are
        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in program.input_names]
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward


def _write_pt2(flat: _Flat, program: Program, path: str) -> None:
    # AUTO: where the model, or a kernel, fixes a length, it is fixed
    auto = torch.export.Dim.AUTO
    axes = [{axis: auto for axis, name in enumerate(names) if name} for names in program.axes]
    try:
        with _quiet(), torch.no_grad():
            exported = torch.export.export(
                flat,
                (),
                _examples(flat, program, "batch"),
                dynamic_shapes=dict(zip(program.input_names, axes, strict=True)),
            )
    except Exception as error:  # what torch.export raises has many classes, and none of them in common
        raise _refused("torch.export.export", program, error) from error
    torch.export.save(exported, path)


def _write_onnx(flat: _Flat, program: Program, path: str) -> None:
    first: Exception | None = None
    for names in program.openings:
        axes = [{axis: name for axis, name in enumerate(each) if name in names} for each in program.axes]
        try:
            with _quiet(), torch.no_grad():
                exported: Any = torch.onnx.export(
                    flat,
                    (),
                    kwargs=_examples(flat, program, *names),
                    dynamo=True,
                    verbose=False,
                    input_names=list(program.input_names),
                    output_names=list(program.output_names),
                    dynamic_shapes=dict(zip(program.input_names, axes, strict=True)),
                )
        except (
            torch.onnx.errors.OnnxExporterError
        ) as error:  # perhaps only that length is fixed: a loop over steps in Python
            first = first or error
            continue
        exported.save(path, external_data=False)
        return
    assert first is not None
    raise _refused("torch.onnx.export", program, first) from first


def _refused(function: str, program: Program, error: Exception) -> ModuleProtocolError:
    return ModuleProtocolError(
        f"{type(program.module).__name__} cannot be exported: {function} traces its forward on tensors without values, and raised "
        f"{type(error).__name__}. Expected is a forward that does not look at values; what was raised is:\n{error}"
    )


def _examples(flat: _Flat, program: Program, *open_axes: str) -> dict[str, Tensor]:
    device = next((each.device for each in flat.parameters()), None)
    tensors = [torch.as_tensor(array, device=device) for array in program.examples(*open_axes)]
    return dict(zip(program.input_names, tensors, strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # torch's own use of its own trees; that two inputs have one axis is what their names are to say
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


# --- ONNX' own recurrences --------------------------------------------------------------------------------------------


@contextmanager
def onnx_engine() -> Iterator[None]:
    """Inside the block layers compute with ONNX' recurrences, which only `torch.onnx.export` can make something of."""
    try:
        with backends.use_backend(dataclasses.replace(backends.load("torch"), recurrence=_recurrence)):
            yield
    finally:
        backends.owners.clear()  # which remember, type by type, the engine that was found


def _lstm(
    inputs: Tensor,
    state: tuple[Tensor, Tensor],
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Tensor | None = None,
    initial: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    outputs, (hidden, cell) = _stack("LSTM", (0, 3, 1, 2), {}, inputs, state, weights, between, resets)
    return outputs, (hidden, cell)


def _gru(
    inputs: Tensor,
    state: Tensor,
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    resets: Tensor | None = None,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    options = {"linear_before_reset": 1}
    outputs, (hidden,) = _stack("GRU", (1, 0, 2), options, inputs, (state,), weights, between, resets)
    return outputs, hidden


def _rnn(
    inputs: Tensor,
    state: Tensor,
    weights: Sequence[LayerWeights],
    between: Between | None = None,
    nonlinearity: Literal["tanh", "relu"] = "tanh",
    resets: Tensor | None = None,
    initial: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    options = {"activations": [nonlinearity.capitalize()]}
    outputs, (hidden,) = _stack("RNN", (0,), options, inputs, (state,), weights, between, resets)
    return outputs, hidden


_recurrence: Any = types.SimpleNamespace(lstm=_lstm, gru=_gru, rnn=_rnn)


def _stack(
    operator: str,
    order: Sequence[int],
    options: dict[str, Any],
    inputs: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[LayerWeights],
    between: Between | None,
    resets: Tensor | None,
) -> tuple[Tensor, list[Tensor]]:
    """Layers as ONNX operators, which take our gates in that `order`: inputs (T, B, F), state (L, B, H)."""
    if resets is not None:
        raise ModuleProtocolError(
            "ONNX' recurrent operators know no rows that begin anew inside a window. Export a forward that passes no resets= of "
            "shape (batch, time), and put the initial state into the rows between windows."
        )
    outputs, ends = inputs, []
    for layer, each in enumerate(weights):
        if layer > 0 and between is not None:
            outputs = between(layer - 1, outputs)
        steps, rows, units = outputs.shape[0], outputs.shape[1], each.recurrent.shape[1]
        start = [part[layer : layer + 1] for part in state]
        arguments = [
            outputs,
            _turned(each.input, order)[None],
            _turned(each.recurrent, order)[None],
            _biases(each, order),
        ]
        every_step, *end = torch.onnx.ops.symbolic_multi_out(
            operator,
            [*arguments, None, *start],
            {"hidden_size": units, **options},
            dtypes=[outputs.dtype] * (1 + len(start)),
            shapes=[(steps, 1, rows, units)] + [(1, rows, units)] * len(start),
        )
        outputs = every_step[:, 0]
        ends.append(end)
    return outputs, [torch.cat(parts) for parts in zip(*ends, strict=True)]


def _turned(tensor: Tensor, order: Sequence[int]) -> Tensor:
    """Blocks of G rows in another order."""
    size = tensor.shape[0] // len(order)
    return torch.cat([tensor[gate * size : (gate + 1) * size] for gate in order])


def _biases(weights: LayerWeights, order: Sequence[int]) -> Tensor | None:
    """Both, one after the other, (1, 2·G·H): ours, and zeros, or for a GRU [0, 0, b_hn]."""
    if weights.bias is None:
        return None
    second = torch.zeros_like(weights.bias)
    if weights.candidate_bias is not None:
        second = torch.cat([second[: -weights.candidate_bias.shape[0]], weights.candidate_bias])
    return torch.cat([_turned(weights.bias, order), _turned(second, order)])[None]
