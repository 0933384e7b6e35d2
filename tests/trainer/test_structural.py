"""Models that inherit nothing of ours are trained as in their engine's own loop, with its own optimizers and schedulers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.callbacks import ModelCheckpoint
from tbptt.errors import ModuleProtocolError
from tbptt.nn import native, weights
from tbptt.protocols import Backend

WINDOW, EPOCHS, RATE = 3, 2, 2.0**-6  # a rate that Keras, too, keeps as it is
X = np.random.default_rng(1).normal(size=(2, 4, 12, 3))
Y = np.cumsum(X[..., :1], axis=2)
BATCHES = list(zip(X, Y, strict=True))


class Steps:
    """What the trainer asks for, mixed into a module of the engine; `which` optimizers it returns."""

    which = "native"
    called: list[str]

    def window_loss(self, batch: Any, hiddens: Any) -> Any:
        outputs, hiddens = self(batch[0], hiddens)  # type: ignore[operator]
        return ops.mean(ops.square(outputs - batch[1])), hiddens

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.window_loss(batch, hiddens)
        self.trainer.log("train_loss", loss, on_step=False, on_epoch=True)  # type: ignore[attr-defined]
        return {"loss": loss, "hiddens": hiddens}

    def configure_optimizers(self) -> Any:
        return optimizers(self, self.which)


class Evaluated(Steps):
    """With the other stages and hooks."""

    def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.window_loss(batch, hiddens)
        self.trainer.log("val_loss", loss)  # type: ignore[attr-defined]
        return {"hiddens": hiddens}

    def test_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = self.window_loss(batch, hiddens)
        self.trainer.log("test_loss", loss)  # type: ignore[attr-defined]
        return {"hiddens": hiddens}

    def predict_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        return self(batch[0], hiddens)  # type: ignore[operator]

    def on_train_start(self) -> None:
        self.called.append("on_train_start")

    def on_train_epoch_end(self) -> None:
        self.called.append("on_train_epoch_end")
        self.trainer.log("epochs", float(len(self.called)))  # type: ignore[attr-defined]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mine"] = 7

    def on_validation_epoch_end(self) -> None:
        self.called.append("on_validation_epoch_end")


class NoSteps:
    """A model that is trained by hand."""


def network(engine: str, steps: type = NoSteps) -> Any:
    """A GRU with a linear head in float64, a plain module of the engine apart from `steps`."""
    if engine == "torch":
        import torch

        class TorchNet(steps, torch.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.rnn, self.head = torch.nn.GRU(3, 5, batch_first=True), torch.nn.Linear(5, 1)

            def forward(self, inputs: Any, state: Any = None) -> Any:
                features, state = self.rnn(inputs, state)
                return self.head(features), state

        torch.manual_seed(3)
        net: Any = TorchNet().double()
    else:
        import keras

        class KerasNet(steps, keras.Model):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(dtype="float64")
                self.rnn = keras.layers.GRU(5, return_sequences=True, return_state=True, dtype="float64")
                self.head = keras.layers.Dense(1, dtype="float64")

            def call(self, inputs: Any, state: Any = None) -> Any:
                features, state = self.rnn(inputs, initial_state=state)
                return self.head(features), state

        keras.utils.set_random_seed(3)
        net = KerasNet()
        net(X[0][:, :2])
    net.called = []
    return net


def optimizers(net: Any, which: str) -> Any:
    """The engine's own Adam, on torch with its own StepLR by epoch; or our plain descent, with our StepLR."""
    if which == "ours":
        ours = optim.SGD(native.parameters_of(net), lr=RATE)
        return [ours], [optim.lr_scheduler.StepLR(ours, 1, gamma=0.5)] if is_torch(net) else []
    optimizer, scheduler = engines_own(net, which)
    return optimizer if scheduler is None else ([optimizer], [scheduler])


def engines_own(net: Any, which: str) -> tuple[Any, Any]:
    """Optimizer and scheduler of the engine: Adam, or for "ours" the descent that ours is compared with."""
    if is_torch(net):
        import torch

        kind = torch.optim.Adam if which == "native" else torch.optim.SGD
        optimizer = kind(net.parameters(), lr=RATE)
        return optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    import keras

    return (keras.optimizers.Adam if which == "native" else keras.optimizers.SGD)(RATE), None


def is_torch(net: Any) -> bool:
    return bool(native.backend_of_model(net).name == "torch")


def by_hand(net: Any, which: str) -> list[float]:
    """Truncated backpropagation as people write it on that engine; the losses."""
    losses = []
    optimizer, scheduler = engines_own(net, which)
    if is_torch(net):
        import torch

        for _ in range(EPOCHS):
            for x, y in BATCHES:
                state = None
                for start in range(0, x.shape[1], WINDOW):
                    optimizer.zero_grad()
                    outputs, state = net(torch.tensor(x[:, start : start + WINDOW]), state)
                    loss = ((outputs - torch.tensor(y[:, start : start + WINDOW])) ** 2).mean()
                    loss.backward()
                    optimizer.step()
                    state = state.detach()
                    losses.append(loss.item())
            scheduler.step()
        return losses
    import tensorflow as tf

    for _ in range(EPOCHS):
        for x, y in BATCHES:
            state = None
            for start in range(0, x.shape[1], WINDOW):
                with tf.GradientTape() as tape:
                    outputs, state = net(tf.constant(x[:, start : start + WINDOW]), state)
                    loss = tf.reduce_mean((outputs - y[:, start : start + WINDOW]) ** 2)
                optimizer.apply(tape.gradient(loss, net.trainable_variables), net.trainable_variables)
                state = tf.stop_gradient(state)
                losses.append(float(loss))
    return losses


class Losses(tbptt.Callback):
    def __init__(self) -> None:
        self.values: list[float] = []

    def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
        self.values.append(float(outputs["loss"]))


def trainer_of(**options: Any) -> tbptt.Trainer:
    return tbptt.Trainer(
        **{
            "max_epochs": EPOCHS,
            "truncated_bptt_steps": WINDOW,
            "compile": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )


def values_of(net: Any) -> list[np.ndarray]:
    return [np.array(ops.to_numpy(p)) for p in native.parameters_of(net)]


@pytest.mark.parametrize("compile", ["auto", False])
@pytest.mark.parametrize("which", ["native", "ours"])
def test_a_plain_model_is_trained_as_in_its_engines_own_loop(backend: Backend, which: str, compile: bool | str) -> None:
    net, peer = network(backend.name, Steps), network(backend.name)
    net.which = which
    losses, expected = Losses(), by_hand(peer, which)
    trainer = trainer_of(compile=compile, callbacks=[losses])
    trainer.fit(net, BATCHES)
    np.testing.assert_allclose(losses.values, expected, rtol=1e-10)
    for found, theirs in zip(values_of(net), values_of(peer), strict=True):
        np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-10)
    assert trainer.global_step == len(expected)
    np.testing.assert_allclose(trainer.callback_metrics["train_loss"], np.mean(losses.values[-8:]), rtol=1e-10)
    assert net.trainer is None  # afterwards it is as free as before


def whole_loss(net: Any, batches: Any) -> float:
    """Mean squared error of the model over whole batches."""
    engine = native.backend_of_model(net)
    outputs = [ops.to_numpy(tbptt.stop_gradient(net(engine.tensors.asarray(x))[0])) for x, _ in batches]
    return float(np.mean((np.stack(outputs) - np.stack([y for _, y in batches])) ** 2))


def test_every_stage_hook_and_log_of_a_plain_model(backend: Backend, tmp_path: Path) -> None:
    net = network(backend.name, Evaluated)
    best = ModelCheckpoint(dirpath=tmp_path, monitor="val_loss", save_last=True)
    trainer = trainer_of(callbacks=[best], num_sanity_val_steps=0)
    trainer.fit(net, BATCHES, BATCHES[:1])
    assert net.called == ["on_train_start", *["on_validation_epoch_end", "on_train_epoch_end"] * EPOCHS]
    assert trainer.callback_metrics["epochs"] == 1 + 2 * EPOCHS
    np.testing.assert_allclose(trainer.callback_metrics["val_loss"], whole_loss(net, BATCHES[:1]), rtol=1e-10)
    (validated,) = trainer.validate(net, BATCHES)
    np.testing.assert_allclose(validated["val_loss"], whole_loss(net, BATCHES), rtol=1e-10)
    predictions = trainer.predict(net, BATCHES)
    engine = native.backend_of_model(net)
    for (x, _), found in zip(BATCHES, predictions, strict=True):
        expected = ops.to_numpy(tbptt.stop_gradient(net(engine.tensors.asarray(x))[0]))
        np.testing.assert_allclose(ops.to_numpy(found), expected, rtol=1e-10, atol=1e-12)

    # checkpoints
    path = tmp_path / "own.safetensors"
    trainer.save_checkpoint(path)
    other = network(backend.name)
    for _, parameter in native.named_parameters_of(other):
        engine.interop.write(parameter, np.zeros(tuple(parameter.shape)))
    weights.load(native.named_tensors_of(other), path)
    assert all(np.array_equal(a, b) for a, b in zip(values_of(net), values_of(other), strict=True))
    before = values_of(net)
    for _, parameter in native.named_parameters_of(net):
        engine.interop.write(parameter, np.zeros(tuple(parameter.shape)))
    (tested,) = trainer.test(net, BATCHES[:1])  # on the best weights, and then it has its own back
    np.testing.assert_allclose(tested["test_loss"], best.best_model_score, rtol=1e-10)
    assert not any(parameter.any() for parameter in values_of(net))
    assert any(parameter.any() for parameter in before)


def test_what_an_engines_class_has_anyway_is_no_step_of_ours(backend: Backend) -> None:
    """Keras' models have train_step, test_step and predict_step, which mean something else."""
    net = network(backend.name, Steps)
    trainer = trainer_of(max_epochs=1)
    for stage, step in (("validate", "validation_step"), ("test", "test_step"), ("predict", "predict_step")):
        with pytest.raises(ModuleProtocolError, match=f"has no {step}"):
            getattr(trainer, stage)(net, BATCHES)
    with pytest.raises(ModuleProtocolError, match="has no training_step"):
        trainer.fit(network(backend.name), BATCHES)
    trainer.fit(net, BATCHES)  # without data to validate on nothing is missing
    assert trainer.global_step == 8


def test_a_plain_model_is_in_evaluation_mode_where_it_is_evaluated() -> None:
    """Modes are torch's; Keras' layers take ``training=`` with each call."""
    modes = []

    class Watching(Evaluated):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            modes.append((self.training, self.rnn.training))  # type: ignore[attr-defined]
            return super().validation_step(batch, batch_idx, hiddens)

    net = network("torch", Watching)
    net.head.eval()  # by hand, and it stays so
    trainer_of(max_epochs=1).fit(net, BATCHES, BATCHES[:1])
    assert set(modes) == {(False, False)}
    assert (net.training, net.rnn.training, net.head.training) == (True, True, False)


class Object:
    """Attributes, and nothing else: parts of ours, and steps."""

    def __init__(self) -> None:
        self.rnn, self.heads = nn.RNN(3, 5), [nn.Linear(5, 1)]
        self.title, self.called = "an object", []  # type: ignore[var-annotated]

    def __call__(self, inputs: Any, state: Any = None) -> Any:
        features, state = self.rnn(inputs, state)
        return self.heads[0](features), state

    def configure_optimizers(self) -> Any:
        return optim.Adam(native.parameters_of(self), lr=RATE)


class PlainObject(Evaluated, Object):
    """Evaluated, without any base class of a framework."""

    configure_optimizers = Object.configure_optimizers


class SameModule(tbptt.Module):
    """The peer: the same model as a module of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.heads = nn.RNN(3, 5), [nn.Linear(5, 1)]

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        features, hiddens = self.rnn(batch[0], hiddens)
        return ops.mean(ops.square(self.heads[0](features) - batch[1])), hiddens

    def configure_optimizers(self) -> Any:
        return optim.Adam(self.parameters(), lr=RATE)


def test_a_plain_object_is_trained_saved_and_evaluated_like_a_module(backend: Backend, tmp_path: Path) -> None:
    found, losses = [], []
    for model in (PlainObject, SameModule):
        with tbptt.dtypes.dtype_scope("float64"):
            tbptt.seed_everything(0)
            found.append(model())
        losses.append(Losses())
        trainer = trainer_of(callbacks=[losses[-1]])
        trainer.fit(found[-1], BATCHES)
    assert losses[0].values == losses[1].values
    assert all(np.array_equal(a, b) for a, b in zip(*map(values_of, found), strict=True))
    plain = found[0]
    assert plain.called == ["on_train_start", *["on_train_epoch_end"] * EPOCHS]
    (validated,) = trainer.validate(plain, BATCHES)
    np.testing.assert_allclose(validated["val_loss"], whole_loss(plain, BATCHES), rtol=1e-10)
    assert [tuple(p.shape) for p in trainer.predict(plain, BATCHES)] == [(4, 12, 1)] * 2
    path = tmp_path / "object.safetensors"
    trainer.save_checkpoint(path)
    with tbptt.dtypes.dtype_scope("float64"):
        other = SameModule()
    weights.load(other.named_parameters(), path)
    assert all(np.array_equal(a, b) for a, b in zip(values_of(plain), values_of(other), strict=True))
