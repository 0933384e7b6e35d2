"""Modules of ours as a `torch.nn.Module` and as a `tf.Module`, from either engine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exportable import FEATURES, MODELS, ROWS, STEPS, UNITS, CharLM, assert_close, run, windows

import tbptt
from tbptt import backends, nn, ops, optim
from tbptt.errors import BackendNotInstalledError, ModuleProtocolError
from tbptt.protocols import Backend

# torch's own use of its own trees, on its way to ONNX
TORCH = pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")


def view_of(module: nn.Module, engine: str) -> tuple[Any, Any]:
    """A view on that engine, and what makes tensors for it."""
    if engine == "torch":
        return module.to_torch(), torch.as_tensor
    import tensorflow as tf

    return module.to_tensorflow(), tf.constant


def named_variables(view: Any) -> dict[str, Any]:
    return {variable.name.removesuffix(":0"): variable for variable in view.variables}


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
@pytest.mark.parametrize("name", MODELS)
def test_a_view_computes_what_the_module_does_window_by_window(backend: Backend, name: str, engine: str) -> None:
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-5)):
        module = MODELS[name]().to(dtype=dtype).eval()
        view, tensor = view_of(module, engine)
        inputs = windows(name, dtype=dtype)
        assert_close(run(view, inputs, tensor), run(module, inputs), tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_a_views_parameters_have_the_modules_names(backend: Backend, name: str) -> None:
    module = MODELS[name]()
    names = [each for each, _ in module.named_parameters()]
    assert list(module.to_torch().state_dict()) == names
    view = module.to_tensorflow()
    assert sorted(named_variables(view)) == sorted(names)
    for each, variable in named_variables(view).items():
        found = view
        for part in each.split("."):
            found = getattr(found, part)
        assert found is variable


def test_views_are_of_the_engines_own_kind(backend: Backend) -> None:
    import tensorflow as tf

    module = nn.Linear(2, 1)
    assert isinstance(module.to_torch(), torch.nn.Module)
    assert isinstance(module.to_tensorflow(), tf.Module)


def test_a_views_parameters_are_copies(backend: Backend) -> None:
    module = nn.Linear(2, 1)
    before = ops.to_numpy(module.weight).copy()
    view, other = module.to_torch(), module.to_tensorflow()
    with torch.no_grad():
        view.weight.fill_(7.0)
    other.weight.assign(other.weight * 0 + 8.0)
    np.testing.assert_array_equal(ops.to_numpy(module.weight), before)
    ops.assign(module.weight, before * 0)
    assert float(view.weight.detach()[0, 0]) == 7.0 and float(other.weight[0, 0]) == 8.0


@pytest.mark.parametrize("name", MODELS)
def test_a_step_of_torchs_sgd_moves_a_view_as_ours_moves_the_module(backend: Backend, name: str) -> None:
    module = MODELS[name]().double().eval()
    view = module.to_torch()
    parameters = module.parameters()
    ours, native = optim.SGD(parameters, lr=0.5), torch.optim.SGD(view.parameters(), lr=0.5)
    first, second = windows(name, dtype="float64")
    with tbptt.GradientTape() as tape:
        loss = ops.mean(ops.square(outputs_of(module, ops.asarray(first))))
    ours.apply(tape.gradient(loss, parameters))
    torch.mean(outputs_of(view, torch.as_tensor(first)) ** 2).backward()
    native.step()
    for (key, ours_now), theirs in zip(module.named_parameters(), view.parameters(), strict=True):
        np.testing.assert_allclose(ops.to_numpy(ours_now), theirs.detach(), rtol=0, atol=1e-12, err_msg=key)
    assert_close(run(view, [second], torch.as_tensor), run(module, [second]), 1e-12)


def outputs_of(model: Any, inputs: Any) -> Any:
    answer = model(inputs)
    return answer[0] if isinstance(answer, tuple) else answer


def test_tensorflows_tape_finds_a_views_variables(backend: Backend) -> None:
    import tensorflow as tf

    module = CharLM().double().eval()
    view = module.to_tensorflow()
    inputs = windows("char_lm")[0]
    with tf.GradientTape() as native:
        loss = tf.reduce_mean(view(tf.constant(inputs))[0] ** 2)
    variables = named_variables(view)
    theirs = dict(zip(variables, native.gradient(loss, list(variables.values())), strict=True))
    with tbptt.GradientTape() as tape:
        ours_loss = ops.mean(ops.square(module(ops.asarray(inputs))[0]))
    for (name, _), ours in zip(module.named_parameters(), tape.gradient(ours_loss, module.parameters()), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(theirs[name]), ops.to_numpy(ours), rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_a_view_has_modes_and_drops_the_units_the_module_drops(backend: Backend, engine: str) -> None:
    module = CharLM().double()
    view, tensor = view_of(module, engine)
    inputs = windows("char_lm")[:1]
    assert view.training
    dropped = run(module, inputs)
    assert_close(run(view, inputs, tensor), dropped, 1e-12)
    assert view.eval().training is False and module.training
    kept = run(view, inputs, tensor)
    assert_close(kept, run(module.eval(), inputs), 1e-12)
    assert np.abs(kept[0] - dropped[0]).max() > 1e-3
    assert view.train().training


def test_a_view_of_a_module_in_evaluation_mode_is_in_it(backend: Backend) -> None:
    module = CharLM().eval()
    assert not module.to_torch().training and not module.to_tensorflow().training


class Tied(nn.Module):
    """Two layers with one weight, a frozen layer, a tensor that is no parameter, and something that cannot be copied."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(2, 2).freeze()
        self.scale = ops.asarray(np.array([1.0, 3.0], "float32"))
        self.lock = threading.Lock()
        self.parts = {"lock": self.lock, "last": nn.Linear(2, 1)}

    def forward(self, inputs: Any) -> Any:
        zeros = ops.zeros((2,), dtype=ops.dtype(inputs))  # made on the current engine, whichever that is
        hidden = self.frozen(self.second(ops.tanh(self.first(inputs))))
        return self.parts["last"](ops.add(ops.multiply(hidden, self.scale), zeros))


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_what_hangs_on_a_module_comes_along(backend: Backend, engine: str) -> None:
    module = Tied()
    view, tensor = view_of(module, engine)
    inputs = [np.random.default_rng(0).normal(size=(3, 2)).astype("float32")]
    assert_close(run(view, inputs, tensor), run(module, inputs), 1e-5)
    names = list(view.state_dict()) if engine == "torch" else sorted(named_variables(view))
    assert sorted(names) == sorted(name for name, _ in (*module.named_parameters(), *module.named_buffers()))
    assert "second.weight" not in names
    trained = view.trainable_variables if engine == "tensorflow" else [p for p in view.parameters() if p.requires_grad]
    assert len(trained) == len(module.parameters())


def test_a_torch_view_moves_with_everything_it_holds() -> None:
    with tbptt.use_backend("torch"):
        view = Tied().to_torch().double()
    assert view(torch.zeros(3, 2, dtype=torch.float64)).dtype is torch.float64


def test_a_torch_view_takes_weights_and_parameters_from_elsewhere(backend: Backend) -> None:
    one, other = (nn.GRU(FEATURES, UNITS) for _ in range(2))
    inputs = windows("gru")
    view = one.to_torch()
    theirs = other.to_torch().state_dict()
    before = view(torch.as_tensor(inputs[0]))[0]
    answer = torch.func.functional_call(view, dict(theirs), (torch.as_tensor(inputs[0]),))[0]
    np.testing.assert_allclose(answer.detach(), run(other, inputs[:1])[0], rtol=0, atol=1e-5)
    assert torch.equal(view(torch.as_tensor(inputs[0]))[0], before)
    for assign in (False, True):
        again = one.to_torch()
        again.load_state_dict(theirs, assign=assign)
        assert_close(run(again, inputs, torch.as_tensor), run(other, inputs), 1e-5)


@TORCH
def test_torchs_exporters_take_a_view(backend: Backend) -> None:
    module = CharLM().eval()
    view = module.to_torch()
    first, second = windows("char_lm")
    with torch.no_grad():
        state = view(torch.as_tensor(first))[1]
    expected = run(module, [first, second])[3:]
    arguments = (torch.as_tensor(second), state)
    exported = torch.export.export(view, arguments)
    assert set(exported.state_dict) == {each for each, _ in module.named_parameters()}
    assert_close([each.detach() for each in leaves(exported.module()(*arguments))], expected, 1e-5)
    onnx: Any = torch.onnx.export(view, arguments, dynamo=True, verbose=False)
    assert [node.op_type for node in onnx.model.graph].count("LSTM") == 2
    assert_close([each.detach() for each in onnx(*arguments)], expected, 1e-5)


def leaves(answer: Any) -> list[Any]:
    outputs, (hidden, cell) = answer
    return [outputs, hidden, cell]


def test_a_tensorflow_view_is_saved_with_a_signature_that_includes_the_state(backend: Backend, tmp_path: Path) -> None:
    import tensorflow as tf

    module = nn.LSTM(FEATURES, UNITS).eval()
    view = module.to_tensorflow()
    first, second = windows("lstm")
    tf.saved_model.save(view, str(tmp_path), signatures=view.signature(first))
    serve = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    state = np.zeros((1, ROWS, UNITS), "float32")
    answer = serve(inputs_0=tf.constant(first), state_0=tf.constant(state), state_1=tf.constant(state))
    answer = serve(inputs_0=tf.constant(second), state_0=answer["next_state_0"], state_1=answer["next_state_1"])
    received = [answer[key] for key in ("outputs_0", "next_state_0", "next_state_1")]
    assert_close(received, run(module, [first, second])[3:], 1e-5)


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)  # Keras' copies
def test_a_native_child_goes_with_its_own_engine_alone(backend: Backend) -> None:
    class Mixed(nn.Module):
        def __init__(self, child: Any) -> None:
            self.child, self.head = child, nn.Linear(2, 1)

        def forward(self, inputs: Any) -> Any:
            return self.head(self.child(inputs))

    inputs = [np.ones((3, 2), "float32")]
    if backend.name == "torch":
        module = Mixed(torch.nn.Linear(2, 2))
        own, foreign = module.to_torch, module.to_tensorflow
        tensor: Any = torch.as_tensor
    else:
        import keras
        import tensorflow as tf

        module = Mixed(keras.layers.Dense(2))
        module(tf.ones((1, 2)))
        own, foreign = module.to_tensorflow, module.to_torch
        tensor = tf.constant
    view = own()
    assert_close(run(view, inputs, tensor), run(module, inputs), 1e-6)
    count = len(view.state_dict()) if backend.name == "torch" else len(view.trainable_variables)
    assert count == 4
    with pytest.raises(ModuleProtocolError, match=rf"modules of another engine's own kind, child \({backend.name}\)"):
        foreign()


def test_a_name_the_engine_has_taken_is_refused(backend: Backend) -> None:
    class Named(nn.Module):
        def __init__(self, name: str) -> None:
            setattr(self, name, nn.Linear(2, 1))

    with pytest.raises(ModuleProtocolError, match=r"'half'.*'half\.weight'.*another name"):
        Named("half").to_torch()
    with pytest.raises(ModuleProtocolError, match=r"'submodules'.*'submodules\.weight'.*another name"):
        Named("submodules").to_tensorflow()


def test_a_view_is_made_in_the_middle_of_training(backend: Backend) -> None:
    views = []

    class Watched(CharLM):
        def on_train_epoch_end(self) -> None:
            views.append(self.to_torch())

    model = Watched()
    inputs = np.concatenate(windows("char_lm"), axis=1)
    trainer = tbptt.Trainer(
        max_epochs=1, truncated_bptt_steps=STEPS, enable_progress_bar=False, enable_model_summary=False, compile=False
    )
    trainer.fit(model, [(inputs, inputs)])
    model.eval()
    assert_close(run(views[0].eval(), windows("char_lm"), torch.as_tensor), run(model, windows("char_lm")), 1e-5)


def test_an_engine_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with tbptt.use_backend("torch"):
        module = nn.Linear(2, 1)
    monkeypatch.setattr(backends, "_loaded", {"torch": backends.load("torch")})
    monkeypatch.setattr(backends, "missing_requirements", lambda point: ["tensorflow"])
    with pytest.raises(BackendNotInstalledError, match=r"pip install 'tbptt\[tensorflow\]'"):
        module.to_tensorflow()
