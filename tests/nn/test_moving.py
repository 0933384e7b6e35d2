"""Modules in other dtypes and on other devices, and parameters that are not trained for a while."""

from __future__ import annotations

import copy
from collections import Counter, namedtuple
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import tbptt
from tbptt import nn, ops, optim
from tbptt.errors import ConfigurationError, DeviceError, ModuleProtocolError
from tbptt.protocols import Backend

Pair = namedtuple("Pair", "weight name")


class Net(nn.Module):
    """Parameters in every place they may be in, one of them shared, one not trained, one of integers."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(7, 4)
        self.blocks = [nn.Linear(4, 4), {"last": nn.Linear(4, 4)}]
        self.tied = self.embedding.weight
        self.pair = Pair(self.embedding.weight, "kept")
        self.scales = [nn.Parameter(np.ones(4))]
        self.fixed = nn.Parameter(np.full(4, 2.0), trainable=False)
        self.count = nn.Parameter(np.arange(3), trainable=False)
        self.words = Counter("abracadabra")

    def forward(self, tokens: Any) -> Any:
        x = self.blocks[1]["last"](self.blocks[0](self.embedding(tokens)))
        return ops.matmul(ops.multiply(ops.multiply(x, self.scales[0]), self.fixed), ops.matrix_transpose(self.tied))


def array(x: Any) -> np.ndarray:
    return np.asarray(ops.to_numpy(x))


def everything(module: nn.Module) -> dict[str, Any]:
    return dict(module.named_parameters() + module.named_buffers())


TOKENS = np.array([[1, 2, 3], [4, 5, 6]])


def test_a_parameter_is_converted_in_place_where_the_engine_can_and_stays_what_it_is(backend: Backend) -> None:
    for trainable in (True, False):
        before = ops.parameter(np.array([0.5, 1.25], "float32"), trainable=trainable)
        after = ops.convert_parameter(before, "float64")
        assert (after is before) is (backend.name == "torch")
        assert ops.is_parameter(after) and ops.dtype(after) == "float64"
        assert backend.interop.is_trainable(after) is trainable
        np.testing.assert_array_equal(array(after), [0.5, 1.25])
        assert ops.convert_parameter(after, "float64", "cpu") is after
        assert ops.convert_parameter(after) is after


def test_to_converts_floats_wherever_they_are_and_leaves_the_rest(backend: Backend) -> None:
    tbptt.seed_everything(1)
    net = Net()
    names, values = list(everything(net)), {name: array(value) for name, value in everything(net).items()}
    single = array(net(ops.asarray(TOKENS)))
    words, blocks = dict(net.words), net.blocks
    assert net.double() is net
    assert list(everything(net)) == names
    for name, value in everything(net).items():
        assert ops.dtype(value) == ("int64" if name == "count" else "float64")
        np.testing.assert_array_equal(array(value), values[name])
    assert [name for name, _ in net.named_buffers()] == ["fixed", "count"]
    assert net.tied is net.embedding.weight and net.pair.weight is net.tied and net.pair.name == "kept"
    assert net.blocks is blocks and dict(net.words) == words
    double = net(ops.asarray(TOKENS))
    assert ops.dtype(double) == "float64"
    np.testing.assert_allclose(array(double), single, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(array(double), single)  # more digits, not a cast of the answer
    assert {ops.dtype(value) for name, value in everything(net.float()).items() if name != "count"} == {"float32"}


def test_a_converted_module_trains(backend: Backend) -> None:
    net = Net().to(dtype="float64")
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    before = [array(value).copy() for value in net.parameters()]
    with tbptt.GradientTape() as tape:
        loss = nn.functional.cross_entropy(net(ops.asarray(TOKENS)), TOKENS)
    optimizer.apply(tape.gradient(loss, net.parameters()))
    assert all(not np.array_equal(old, array(new)) for old, new in zip(before, net.parameters(), strict=True))


def test_to_a_device_names_it_as_people_do(backend: Backend) -> None:
    net = Net()
    weight = net.tied
    assert net.to("cpu").to(device=torch.device("cpu")).tied is weight  # nothing to change
    with pytest.raises(DeviceError, match="gpu:7"):
        net.to("gpu:7", "float64")
    with pytest.raises(ConfigurationError, match="'int32'"):
        net.to(dtype="int32")
    assert {ops.dtype(value) for value in net.parameters()} == {"float32"}


def test_native_modules_of_torch_are_converted_with_their_parents() -> None:
    with tbptt.use_backend("torch"):
        net = nn.Module()
        net.native, net.ours = torch.nn.BatchNorm1d(3), nn.Linear(3, 2)
        net.shared = net.native.weight
        net.double()
    assert {ops.dtype(value) for value in net.parameters()} == {"float64"}
    assert net.native.running_mean.dtype == torch.float64 and net.native.num_batches_tracked.dtype == torch.int64
    assert net.shared is net.native.weight


@pytest.mark.parametrize("make", [lambda: keras.layers.Dense(2), lambda: Variables()])
def test_native_modules_of_tensorflow_cannot_be_converted_and_then_nothing_is(make: Any) -> None:
    with tbptt.use_backend("tensorflow"):
        net = nn.Module()
        net.ours, net.native = nn.Linear(3, 2), make()
        if isinstance(net.native, keras.layers.Layer):
            net.native.build((None, 3))
        with pytest.raises(ModuleProtocolError, match="keep the dtype"):
            net.double()
        assert {ops.dtype(value) for value in net.parameters()} == {"float32"}
        assert net.to("cpu", "float32") is net  # it is there already


def test_a_shell_around_a_variable_cannot_be_converted_either() -> None:
    with tbptt.use_backend("tensorflow"):
        net = nn.Module()
        net.ours, net.shell = nn.Linear(3, 2), keras.Variable(np.ones(3, "float32"))
        with pytest.raises(ModuleProtocolError, match="keeps the dtype"):
            net.double()
        assert {ops.dtype(value) for value in net.parameters()} == {"float32"}


class Variables(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable(tf.ones(3))


def test_frozen_parameters_are_buffers_until_they_are_unfrozen(backend: Backend, tmp_path: Path) -> None:
    net = Net()
    trained = [name for name, _ in net.named_parameters()]
    net.save_weights(tmp_path / "before")
    assert net.freeze() is net
    assert net.parameters() == [] and not net.training and not net.blocks[0].training
    assert {name for name, _ in net.named_buffers()} == {*trained, "fixed", "count"}
    net.save_weights(tmp_path / "after")
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()
    net.load_weights(tmp_path / "before")
    with tbptt.GradientTape() as tape:
        loss = nn.functional.cross_entropy(net(ops.asarray(TOKENS)), TOKENS)
    with pytest.raises(tbptt.errors.GradientError, match="depends on no parameter"):
        tape.gradient(loss, [net.tied])
    assert net.unfreeze() is net
    assert [name for name, _ in net.named_parameters()] == trained and net.training  # fixed and count stay as they were


def test_a_frozen_part_gets_no_gradient_and_the_rest_trains(backend: Backend) -> None:
    net = Net()
    net.blocks[0].freeze()
    assert "blocks.0.weight" not in dict(net.named_parameters()) and "blocks.1.last.weight" in dict(
        net.named_parameters()
    )
    with tbptt.GradientTape() as tape:
        loss = nn.functional.cross_entropy(net(ops.asarray(TOKENS)), TOKENS)
    frozen, trained = tape.gradient(loss, [net.blocks[0].weight, net.blocks[1]["last"].weight])
    assert frozen is None and trained is not None
    net.unfreeze()
    assert "blocks.0.weight" in dict(net.named_parameters())


def test_a_copy_and_a_converted_module_can_be_unfrozen(backend: Backend) -> None:
    net = Net().freeze()
    twin = copy.deepcopy(net).double()
    assert twin.parameters() == []
    assert [name for name, _ in twin.unfreeze().named_parameters()] == [
        name for name, _ in Net().named_parameters()
    ] and net.parameters() == []


def native(engine: str) -> Any:
    if engine == "torch":
        return torch.nn.Linear(3, 2)
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    return layer


def test_native_children_are_frozen_too(backend: Backend) -> None:
    net = nn.Module()
    net.native = native(backend.name)
    names = [name for name, _ in net.named_parameters()]
    assert len(names) == 2
    net.freeze()
    assert net.parameters() == [] and [name for name, _ in net.named_buffers()] == names
    assert [name for name, _ in net.unfreeze().named_parameters()] == names


def test_a_keras_layer_told_not_to_train_is_not_trained() -> None:
    with tbptt.use_backend("tensorflow"):
        net = nn.Module()
        net.native = native("tensorflow")
        net.native.trainable = False
        assert net.parameters() == [] and len(net.named_buffers()) == 2
