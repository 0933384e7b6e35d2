"""Weight files: one format for both engines, loaded whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import tbptt
from tbptt import nn, ops
from tbptt.errors import ModuleProtocolError, WeightsError
from tbptt.protocols import Backend


class Net(nn.Module):
    def __init__(self, width: int = 5) -> None:
        self.lstm = nn.LSTM(3, width)
        self.head = nn.Linear(width, 2)


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: np.array(ops.to_numpy(value)) for name, value in module.named_parameters()}


@pytest.mark.parametrize(("writer", "reader"), [("torch", "tensorflow"), ("tensorflow", "torch")])
def test_weights_travel_between_engines_to_the_bit(tmp_path: Path, writer: str, reader: str) -> None:
    path = tmp_path / "m.safetensors"
    with tbptt.use_backend(writer):
        tbptt.seed_everything(1)
        source = Net()
        source.save_weights(path)
    assert set(load_file(path)) == {
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "lstm.bias_l0",
        "head.weight",
        "head.bias",
    }
    with tbptt.use_backend(reader):
        tbptt.seed_everything(2)
        target = Net()
        target.load_weights(path)
    for name, value in values(target).items():
        assert value.tobytes() == values(source)[name].tobytes()
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_everything_that_does_not_fit_is_listed_and_nothing_is_loaded(tmp_path: Path, backend: Backend) -> None:
    path = tmp_path / "m.safetensors"
    Net(5).save_weights(path)
    other = Net(6)
    other.extra = nn.Linear(1, 1)  # type: ignore[attr-defined]
    del other.head
    before = values(other)
    with pytest.raises(WeightsError) as raised:
        other.load_weights(path)
    for part in ("missing: extra.weight", "unexpected: head.weight", "shape: lstm.bias_l0", "(20,)", "(24,)"):
        assert part in str(raised.value)
    assert all(np.array_equal(before[name], value) for name, value in values(other).items())


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_what_is_no_weight_file_is_refused(tmp_path: Path, backend: Backend, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="no safetensors file"):
        Net().load_weights(path)
    with pytest.raises(WeightsError, match="no weight file"):
        Net().load_weights(tmp_path / "absent")


def native_module(engine: str) -> Any:
    if engine == "torch":
        import torch

        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    import keras

    layer = keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization()])
    layer.build((None, 3))
    return layer


def test_native_modules_are_children_with_their_parameters_and_buffers(tmp_path: Path, backend: Backend) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            self.native = native_module(backend.name)
            self.head = nn.Linear(4, 1)

    module = Mixed()
    assert len(module.parameters()) == 4 + 2
    assert len(module.named_buffers()) >= 2
    assert all(name.startswith(("native.", "head.")) for name, _ in module.named_parameters())
    assert module.backend is not None and module.backend.name == backend.name
    module.eval()
    module.save_weights(tmp_path / "m.safetensors")
    before = values(module)
    for parameter in module.parameters():
        backend.tensors.assign(parameter, np.zeros(tuple(parameter.shape), "float32"))
    module.load_weights(tmp_path / "m.safetensors")
    assert all(np.array_equal(before[name], value) for name, value in values(module).items())


def test_a_native_module_that_has_made_no_parameters_yet_says_so(backend: Backend) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            if backend.name == "torch":
                import torch

                self.native = torch.nn.LazyLinear(4)
            else:
                import keras

                self.native = keras.layers.Dense(4)

    with pytest.raises(ModuleProtocolError, match="has not made its parameters"):
        Mixed().parameters()
