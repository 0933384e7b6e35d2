"""Exported programs: loaded again by their own runtimes and run over two windows with the state carried."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exportable import FEATURES, MODELS, ROWS, STEPS, TOKENS, UNITS, CharLM, assert_close, run, windows

import tbptt
from tbptt import backends, nn, ops, tree
from tbptt.errors import BackendNotInstalledError, ConfigurationError, ModuleProtocolError
from tbptt.nn import module
from tbptt.protocols import Backend

Arrays = dict[str, Any]
Runtime = Callable[[Arrays], Arrays]
FORMATS = ("model.onnx", "model.pt2", "saved_model/")


def runtime(path: Path) -> Runtime:
    """The program as a function of arrays by name."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        names = [each.name for each in session.get_outputs()]
        return lambda arrays: dict(zip(names, session.run(None, arrays), strict=True))
    if path.suffix == ".pt2":
        module = torch.export.load(str(path)).module()
        return lambda arrays: {
            name: value.detach().numpy()
            for name, value in module(**{key: torch.as_tensor(array) for key, array in arrays.items()}).items()
        }
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # alive as long as the signature is called
    return lambda arrays: {
        name: value.numpy()
        for name, value in loaded.signatures["serving_default"](
            **{key: tf.constant(array) for key, array in arrays.items()}
        ).items()
    }


def run_program(program: Runtime, inputs: list[Any], states: list[Any]) -> list[Any]:
    """What a program answers to windows in turn, from these states on: every output and state."""
    answers = []
    for window in inputs:
        named = program({"inputs_0": window, **{f"state_{index}": state for index, state in enumerate(states)}})
        outputs = [named.pop(f"outputs_{index}") for index in range(len(named) - len(states))]
        states = [named.pop(f"next_state_{index}") for index in range(len(states))]
        assert not named
        answers += [*outputs, *states]
    return answers


def zero_states(name: str, rows: int) -> list[Any]:
    layers, count = {"lstm": (2, 2), "gru": (2, 1), "rnn": (1, 1), "char_lm": (2, 2), "stateless": (0, 0)}[name]
    return [np.zeros((layers, rows, UNITS), "float32") for _ in range(count)]


def cases() -> list[Any]:
    """Every model from the engine whose format it is not, since views have shown that copies are equal; one from both."""
    return [
        pytest.param(name, target, engine, id=f"{name}-{target.strip('/')}-{engine}")
        for target in FORMATS
        for name in MODELS
        for engine in ("torch", "tensorflow")
        if name == "char_lm" or (engine == "torch") == (target == "saved_model/")
    ]


@pytest.mark.parametrize(("name", "target", "engine"), cases())
def test_a_program_computes_what_the_module_does(name: str, target: str, engine: str, tmp_path: Path) -> None:
    with tbptt.use_backend(engine):
        check_program(name, target, tmp_path)


def check_program(name: str, target: str, tmp_path: Path) -> None:
    module = MODELS[name]()
    modes = [part.training for part in module.modules() if isinstance(part, nn.Module)]
    before = [ops.to_numpy(value).copy() for value in module.parameters()]
    module.export(f"{tmp_path}/new/folder/{target}", windows(name)[0])
    assert [part.training for part in module.modules() if isinstance(part, nn.Module)] == modes
    assert_close([ops.to_numpy(value) for value in module.parameters()], before, 0)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == [target.strip("/")]
    program = runtime(tmp_path / "new" / "folder" / target)
    module.eval()
    # other numbers of rows than the example's, and of steps where that is not fixed
    steps = STEPS if target == "model.pt2" and name != "stateless" else STEPS + 3
    for rows in (1, ROWS, 5):
        inputs = windows(name, rows, steps)
        assert_close(run_program(program, inputs, zero_states(name, rows)), run(module, inputs), 1e-5)


@pytest.mark.parametrize("target", FORMATS)
def test_one_row_and_one_step_as_example_fix_neither_rows_nor_what_is_open(target: str, tmp_path: Path) -> None:
    with tbptt.use_backend("torch"):
        module = nn.GRU(FEATURES, UNITS).eval()
        module.export(f"{tmp_path}/{target}", windows("gru", 1, 1)[0])
        steps = 1 if target == "model.pt2" else STEPS
        inputs = windows("gru", ROWS, steps)
        state = np.zeros((1, ROWS, UNITS), "float32")
        assert_close(run_program(runtime(tmp_path / target), inputs, [state]), run(module, inputs), 1e-5)


class TwoOfEach(nn.Module):
    """Two inputs, two outputs, a state in a dict; steps in a Python loop; it insists on its state."""

    def __init__(self) -> None:
        self.cell = nn.LSTMCell(FEATURES, UNITS)

    def forward(self, inputs: Any, scale: Any, state: Any) -> Any:
        hidden, outputs = (state["h"], state["c"]), []
        for step in range(inputs.shape[1]):
            output, hidden = self.cell(ops.multiply(inputs[:, step], scale), hidden)
            outputs.append(output)
        h, c = hidden
        state = {"h": h, "c": c, "windows": ops.add(state["windows"], 1)}
        return {"last": outputs[-1], "all": ops.stack(outputs, axis=1)}, state


@pytest.mark.parametrize("target", FORMATS)
def test_trees_enter_and_leave_leaf_by_leaf(target: str, tmp_path: Path) -> None:
    with tbptt.use_backend("torch"):
        module = TwoOfEach()
        inputs, scale = windows("gru")[0], np.float32(0.5)
        h = np.full((ROWS, UNITS), 0.1, "float32")
        state = {"h": h, "c": 2 * h, "windows": np.int64(3)}
        module.export(f"{tmp_path}/{target}", (inputs, scale), state)
        expected = module(ops.asarray(inputs), ops.asarray(scale), tree.map(ops.asarray, state))
    program = runtime(tmp_path / target)
    named = program(
        {"inputs_0": inputs, "inputs_1": np.asarray(scale), "state_0": 2 * h, "state_1": h, "state_2": np.asarray(3)}
    )
    order = ("outputs_0", "outputs_1", "next_state_0", "next_state_1", "next_state_2")
    received = [named[name] for name in order]
    assert_close(received, [ops.to_numpy(leaf) for leaf in tree.leaves(expected)], 1e-5)
    assert int(named["next_state_2"]) == 4


def test_what_is_time_major_is_exported_too(tmp_path: Path) -> None:
    with tbptt.use_backend("torch"):
        module = nn.LSTM(FEATURES, UNITS, batch_first=False).eval()
        module.export(tmp_path / "model.onnx", np.swapaxes(windows("lstm")[0], 0, 1))
        inputs = [np.swapaxes(window, 0, 1) for window in windows("lstm", 5, 6)]
        states = [np.zeros((1, 5, UNITS), "float32")] * 2
        assert_close(run_program(runtime(tmp_path / "model.onnx"), inputs, states), run(module, inputs), 1e-5)


def test_onnx_says_which_axes_are_open(tmp_path: Path) -> None:
    import onnx

    with tbptt.use_backend("torch"):
        CharLM().export(tmp_path / "model.onnx", windows("char_lm")[0])
    graph = onnx.load(tmp_path / "model.onnx").graph

    def shapes(values: Any) -> dict[str, list[Any]]:
        return {
            each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim] for each in values
        }

    state = [2, "batch", UNITS]
    assert shapes(graph.input) == {"inputs_0": ["batch", "time"], "state_0": state, "state_1": state}
    assert shapes(graph.output) == {
        "outputs_0": ["batch", "time", TOKENS], "next_state_0": state, "next_state_1": state
    }  # fmt: skip
    assert [node.op_type for node in graph.node].count("LSTM") == 2


def trained(compile: bool | str = False) -> tuple[tbptt.Trainer, CharLM]:
    trainer = tbptt.Trainer(
        max_epochs=1, truncated_bptt_steps=STEPS, enable_progress_bar=False, enable_model_summary=False, compile=compile
    )
    model = CharLM()
    inputs = np.concatenate(windows("char_lm"), axis=1)
    trainer.fit(model, [(inputs, inputs)])
    return trainer, model


def test_a_trainer_exports_the_model_it_fitted(backend: Backend, tmp_path: Path) -> None:
    trainer, model = trained("auto")
    assert not module.watchers  # nobody waits for calls any more
    trainer.export(tmp_path / "called.pt2")  # by what it was called with
    trainer.export(tmp_path / "given.pt2", windows("char_lm")[0])
    model.example_input_array = windows("char_lm")[0]
    trainer.export(tmp_path / "own.pt2")
    expected = run(model.eval(), windows("char_lm"))
    for name in ("called.pt2", "given.pt2", "own.pt2"):
        program = runtime(tmp_path / name)
        assert_close(run_program(program, windows("char_lm"), zero_states("char_lm", ROWS)), expected, 1e-5)


def test_a_trainer_says_what_it_lacks(tmp_path: Path) -> None:
    with tbptt.use_backend("torch"):
        with pytest.raises(
            ConfigurationError, match=r"needs an example of what forward takes .*has no example_input_array"
        ):
            CharLM().export(tmp_path / "model.pt2")
        trainer, _ = trained()
        trainer.model = None
        with pytest.raises(ModuleProtocolError, match="no model yet"):
            trainer.export(tmp_path / "model.pt2", windows("char_lm")[0])
        trainer.model = torch.nn.Linear(2, 1)
        with pytest.raises(ModuleProtocolError, match=r"tbptt\.nn\.Module; received a torch"):
            trainer.export(tmp_path / "model.pt2", np.zeros((3, 2)))


@pytest.mark.parametrize("target", FORMATS)
def test_an_earlier_export_is_replaced_and_a_failed_one_leaves_it(target: str, tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(FEATURES, 1)

        def forward(self, inputs: Any) -> Any:
            return self.layer(inputs) if float(ops.to_numpy(inputs).sum()) > 0 else inputs

    inputs = [np.ones((ROWS, FEATURES), "float32")]
    with tbptt.use_backend("torch"):
        first, second = nn.Linear(FEATURES, 1), nn.Linear(FEATURES, 1)
        first.export(f"{tmp_path}/{target}", inputs[0])
        second.export(f"{tmp_path}/{target}", inputs[0])
        expected = run(second, inputs)
        with pytest.raises(ModuleProtocolError, match=r"Odd cannot be exported: .* traces its forward"):
            Odd().export(f"{tmp_path}/{target}", inputs[0])
    assert_close(run_program(runtime(tmp_path / target), inputs, []), expected, 1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [target.strip("/")]


def test_a_suffix_that_names_no_format_is_refused(tmp_path: Path) -> None:
    with tbptt.use_backend("torch"):
        for name in ("model.keras", "model.safetensors", "model.pt"):
            with pytest.raises(ConfigurationError, match=rf"'model\.onnx'.*received .*{name}"):
                nn.Linear(2, 1).export(tmp_path / name, np.zeros((3, 2)))
    assert not list(tmp_path.iterdir())


def test_what_is_no_export_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    (tmp_path / "other.onnx").mkdir()
    with tbptt.use_backend("torch"):
        with pytest.raises(ConfigurationError, match="is not an exported program, so it is not replaced"):
            nn.Linear(2, 1).export(folder, np.zeros((3, 2)))
        with pytest.raises(ConfigurationError, match="is a folder"):
            nn.Linear(2, 1).export(tmp_path / "other.onnx", np.zeros((3, 2)))
    assert (folder / "precious.txt").read_text() == "precious"


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tbptt.use_backend("torch"):
        module = nn.Linear(2, 1)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(BackendNotInstalledError, match=r"needs onnxscript.*pip install 'tbptt\[onnx\]'"):
        module.export(tmp_path / "model.onnx", np.zeros((3, 2)))
    monkeypatch.setattr(backends, "_loaded", {"tensorflow": backends.load("tensorflow")})
    monkeypatch.setattr(backends, "missing_requirements", lambda point: ["torch"])
    with pytest.raises(BackendNotInstalledError, match=r"pip install 'tbptt\[torch\]'"):
        module.export(tmp_path / "model.onnx", np.zeros((3, 2)))


def test_a_state_that_changes_its_form_is_refused(tmp_path: Path) -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(FEATURES, 1)

        def forward(self, inputs: Any, state: Any = None) -> Any:
            state = inputs if state is None else ops.concat([state, inputs], axis=1)
            return self.layer(state), state

    with tbptt.use_backend("torch"), pytest.raises(ModuleProtocolError, match="state in the same form"):
        Growing().export(tmp_path / "model.pt2", windows("gru")[0])


def test_a_state_that_a_module_does_not_take_is_refused(tmp_path: Path) -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(FEATURES, 1)

        def forward(self, inputs: Any, state: Any) -> Any:
            return self.layer(inputs)

    inputs = windows("gru")[0]
    with (
        tbptt.use_backend("torch"),
        pytest.raises(ModuleProtocolError, match=r"expected is forward\(\*inputs, state\)"),
    ):
        Forgetful().export(tmp_path / "model.pt2", inputs, inputs)
