"""The loop: counters, state carried and started anew, validation apart, means weighted, sources of data, compiled traces."""

from __future__ import annotations

import warnings
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest

import tbptt
from tbptt import nn, ops, optim
from tbptt.protocols import Backend
from trainer.models import CharLM, Losses, tokens, train


class Echo(tbptt.Module):
    """Its state counts the steps it has seen; its loss is that count; one parameter, so that something can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.zeros(1))

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        x = batch
        seen = ops.zeros((x.shape[0], 1)) if hiddens is None else hiddens
        seen = seen + float(x.shape[1])
        self.log("seen", ops.mean(seen))
        return ops.mean(seen) + ops.sum(self.weight) * 0.0, seen

    validation_step = training_step

    def configure_optimizers(self) -> Any:
        return optim.SGD(self.parameters(), lr=1.0)


def fit(module: Any, data: Any, validation: Any = None, **options: Any) -> tuple[list[float], tbptt.Trainer]:
    losses = Losses()
    trainer = tbptt.Trainer(
        **{"max_epochs": 1, "callbacks": losses, "enable_progress_bar": False, "enable_model_summary": False, **options}
    )
    trainer.fit(module, data, validation)
    return losses.values, trainer


BATCHES = [np.zeros((2, 7, 1), "float32"), np.zeros((2, 5, 1), "float32")]


def test_state_is_carried_through_a_batch_and_starts_anew_with_the_next(backend: Backend) -> None:
    assert fit(Echo(), BATCHES, truncated_bptt_steps=3)[0] == [3, 6, 7, 3, 5]


def test_state_flows_from_batch_to_batch_within_an_epoch_where_asked(backend: Backend) -> None:
    losses, _ = fit(Echo(), BATCHES, truncated_bptt_steps=3, state_carry="epoch", max_epochs=2)
    assert losses == [3, 6, 7, 10, 12, 3, 6, 7, 10, 12]


def test_without_a_number_of_steps_a_batch_is_one_window(backend: Backend) -> None:
    assert fit(Echo(), BATCHES)[0] == [7, 5]


def test_four_counters_are_kept_apart(backend: Backend) -> None:
    seen = []

    class Watch(tbptt.Callback):
        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            seen.append((trainer.current_epoch, trainer.batch_idx, trainer.window_idx, trainer.global_step))
            assert window_idx == trainer.window_idx

    fit(Echo(), BATCHES, truncated_bptt_steps=4, max_epochs=2, callbacks=Watch())
    one = [(0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 1, 4)]
    assert seen == [(0, *place) for place in one] + [(1, b, w, step + 4) for b, w, step in one]


def test_max_steps_and_max_time_end_the_run(backend: Backend) -> None:
    assert fit(Echo(), BATCHES, truncated_bptt_steps=1, max_steps=5, max_epochs=None)[1].global_step == 5
    assert fit(Echo(), BATCHES, truncated_bptt_steps=1, max_time=timedelta(0), max_epochs=None)[1].global_step == 1
    assert fit(Echo(), BATCHES, truncated_bptt_steps=1, max_time={"seconds": 0})[1].global_step == 1


def test_validation_has_a_state_of_its_own_and_changes_nothing_in_training() -> None:
    data, validation = [tokens(3, 20), tokens(3, 20, seed=1)], [tokens(3, 17, seed=2)]
    for engine in ("torch", "tensorflow"):
        without, parameters, _ = train(engine, CharLM, data, 5, max_epochs=2)
        with_it, others, trainer = train(engine, CharLM, data, 5, max_epochs=2, validation=validation)
        assert without == with_it
        assert all(np.array_equal(parameters[name], others[name]) for name in parameters)
        assert 1.5 < trainer.callback_metrics["val_loss"] < 3.5


def test_validation_loss_does_not_depend_on_the_window(backend: Backend) -> None:
    with tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        model = CharLM()
    losses = [
        tbptt.Trainer(1, truncated_bptt_steps=k, enable_progress_bar=False).validate(model, [tokens(3, 20)])[0][
            "val_loss"
        ]
        for k in (1, 7, 20)
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-12)


def test_epoch_means_weigh_windows_by_what_counted_in_them(backend: Backend) -> None:
    """Windows of 4, 4 and 1 steps whose losses are means over their unmasked targets."""
    inputs, targets = tokens(3, 9)
    targets = np.where(np.random.default_rng(0).random(targets.shape) < 0.4, -100, targets)

    class Masked(CharLM):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            x, y = batch
            logits, hiddens = self(x, hiddens)
            loss = nn.functional.cross_entropy(logits, y)
            self.log("masked", loss, on_step=True, on_epoch=True)
            self.log("share", ops.mean(ops.astype(y == -100, "float64")), on_epoch=True)
            self.log("given", loss, on_epoch=True, on_step=False, batch_size=1)
            return loss, hiddens

    losses, _, trainer = train(
        backend.name, lambda: Masked(optimizer=lambda p: optim.SGD(p, lr=0.0)), [(inputs, targets)], 4
    )
    counts = [(targets[:, a : a + 4] != -100).sum() for a in (0, 4, 8)]
    metrics = trainer.callback_metrics
    np.testing.assert_allclose(metrics["masked_epoch"], np.average(losses, weights=counts), rtol=1e-12)
    assert metrics["masked"] == metrics["masked_epoch"] and metrics["masked_step"] == losses[-1]
    np.testing.assert_allclose(metrics["share_epoch"], (targets == -100).mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics["given"], np.mean(losses), rtol=1e-12)


def test_logging_works_inside_the_compiled_step_whose_python_runs_once(backend: Backend) -> None:
    ran = []

    class Counting(Echo):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            ran.append(1)
            return super().training_step(batch, batch_idx, hiddens)

    _, trainer = fit(Counting(), [np.zeros((2, 12, 1), "float32")], truncated_bptt_steps=3)
    assert trainer.callback_metrics["seen"] == 12
    traces = trainer.train_step.compiled.traces
    assert (traces, len(ran)) == ((2, 2) if trainer.train_step.compiled.bakes_numbers else (0, 4))


def test_leaves_that_are_no_tensors_pass_through_state_and_batch(backend: Backend) -> None:
    """Arrays, flags, numbers and names: two equal ones of different kinds (True and 1) stay apart."""

    class Mixed(Echo):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            first = hiddens is None
            hiddens = {"flag": True, "table": np.arange(3.0)} if first else hiddens
            assert batch["names"].tolist() == ["a", "b"]
            value = 2.0 if hiddens["flag"] is True else 5.0
            loss = ops.sum(self.weight) * 0.0 + value + ops.sum(ops.asarray(hiddens["table"], dtype="float32"))
            return loss, {"flag": 1 if first else True, "table": hiddens["table"]}

    batch = {"x": np.zeros((2, 9, 1), "float32"), "names": np.array(["a", "b"])}
    assert fit(Mixed(), [batch], truncated_bptt_steps=3)[0] == [5.0, 8.0, 5.0]


def test_at_most_four_traces_for_a_fixed_schedule(backend: Backend) -> None:
    data = [tokens(3, 23, seed=n) for n in range(3)]
    for carry in ("batch", "epoch"):
        _, _, trainer = train(backend.name, CharLM, data, 5, max_epochs=2, state_carry=carry)
        assert trainer.train_step.compiled.traces <= 4


def test_where_xla_cannot_the_step_runs_as_a_plain_function_with_one_warning() -> None:
    class Unique(Echo):
        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            import tensorflow as tf

            strings = tf.strings.as_string(batch)  # XLA has no strings
            extra = tf.cast(tf.size(tf.unique(tf.reshape(strings, [-1]))[0]), tf.float32)
            loss, hiddens = super().training_step(batch, batch_idx, hiddens)
            return loss + extra, hiddens

    with tbptt.use_backend("tensorflow"), pytest.warns(UserWarning, match="XLA cannot compile training_step") as caught:
        losses, trainer = fit(Unique(), [np.zeros((2, 7, 1), "float32")], truncated_bptt_steps=3)
    assert losses == [4, 7, 8]
    assert len([w for w in caught if "XLA cannot compile" in str(w.message)]) == 1
    assert trainer.train_step.compiled.road == "tf.function"


def test_the_step_can_be_compiled_on_torch_as_well() -> None:
    """Where no C++ compiler is found the step runs eagerly after one warning; the numbers are the same either way."""

    class Small(tbptt.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.RNNCell(1, 3)

        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            outputs = []
            for t in range(batch.shape[1]):
                output, hiddens = self.cell(batch[:, t], hiddens)
                outputs.append(output)
            return ops.mean(ops.square(ops.stack(outputs, axis=1))), hiddens

        def configure_optimizers(self) -> Any:
            return optim.Adam(self.parameters(), lr=1e-2)

    data = [np.random.default_rng(0).standard_normal((2, 9, 1))]
    plain, _, _ = train("torch", Small, data, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about what it falls back to
        compiled, _, trainer = train("torch", Small, data, 3, compile=True)
    np.testing.assert_allclose(compiled, plain, rtol=0, atol=1e-12)
    assert trainer.train_step.compiled.road in ("torch.compile", "eager")


def loaders() -> dict[str, Any]:
    import tensorflow as tf
    import torch

    x, y = tokens(4, 12)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return {
        "a list of tuples": [(x[:2], y[:2]), (x[2:], y[2:])],
        "a torch DataLoader": torch.utils.data.DataLoader(dataset, batch_size=2),
        "a tf.data.Dataset": tf.data.Dataset.from_tensor_slices((x, y)).batch(2),
        "our ArrayStream": tbptt.data.ArrayStream((x, y), batch_size=2),
    }


@pytest.mark.parametrize("kind", ["a torch DataLoader", "a tf.data.Dataset", "our ArrayStream"])
def test_data_of_either_engine_feeds_both(backend: Backend, kind: str) -> None:
    sources = loaders()
    expected, _, _ = train(backend.name, CharLM, sources["a list of tuples"], 5)
    found, _, _ = train(backend.name, CharLM, sources[kind], 5)
    assert found == expected


def test_a_model_gets_its_mode_back_and_validation_runs_in_evaluation_mode(backend: Backend) -> None:
    modes = []

    class Watch(Echo):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            modes.append(self.training)
            return super().validation_step(batch, batch_idx, hiddens)

    model = Watch()
    fit(model, BATCHES, BATCHES, truncated_bptt_steps=3)
    assert model.training
    assert modes and not any(modes)


def test_a_window_whose_targets_are_all_padding_changes_nothing(backend: Backend) -> None:
    inputs, targets = tokens(3, 20)
    padded = np.where(np.arange(20) // 5 == 2, -100, targets)  # the third window of four has no target
    sgd = partial(CharLM, dropout=0.0, optimizer=lambda p: optim.SGD(p, lr=1e-2))
    losses, after, trainer = train(backend.name, sgd, [(inputs, padded)], 5, gradient_clip_val=None)
    assert np.isnan(losses[2]) and np.isfinite(losses[:2] + losses[3:]).all()
    assert all(np.isfinite(value).all() for value in after.values())
    epoch_mean = trainer.callback_metrics["train_loss"]
    assert np.isfinite(epoch_mean)
    two, before, _ = train(backend.name, sgd, [(inputs, padded)], 5, gradient_clip_val=None, max_steps=2)
    three, still, _ = train(backend.name, sgd, [(inputs, padded)], 5, gradient_clip_val=None, max_steps=3)
    assert two == losses[:2] and len(three) == 3
    assert all(np.array_equal(before[name], still[name]) for name in before)


def test_native_layers_as_children_train_on_their_engine(backend: Backend) -> None:
    class Mixed(tbptt.Module):
        def __init__(self) -> None:
            super().__init__()
            if backend.name == "torch":
                import torch

                self.native = torch.nn.Linear(6, 1)
            else:
                import keras

                self.native = keras.layers.Dense(1)
                self.native.build((None, None, 6))
            self.gru = nn.GRU(1, 6)

        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            outputs, hiddens = self.gru(batch, hiddens)
            return nn.functional.mse_loss(self.native(outputs), batch), hiddens

        def configure_optimizers(self) -> Any:
            return optim.Adam(self.parameters(), lr=1e-2)

    tbptt.seed_everything(0)
    model = Mixed()
    before = [np.array(ops.to_numpy(p)) for p in model.parameters()]
    batch = np.random.default_rng(0).standard_normal((4, 30, 1)).astype("float32")
    losses, _ = fit(model, [batch] * 10, truncated_bptt_steps=10)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert all(not np.array_equal(a, ops.to_numpy(b)) for a, b in zip(before, model.parameters(), strict=True))


def test_a_model_trains_on_its_own_engine_whichever_is_current() -> None:
    for own, other in (("torch", "tensorflow"), ("tensorflow", "torch")):
        with tbptt.use_backend(own), tbptt.dtypes.dtype_scope("float64"):
            tbptt.seed_everything(0)
            model = CharLM()
        with tbptt.use_backend(other):
            losses, trainer = fit(model, [tokens(3, 20)], truncated_bptt_steps=5)
            trainer.validate(model, [tokens(3, 20)])
            outputs, _ = model(model.backend.tensors.asarray(tokens(3, 7)[0]))  # without the trainer, too
        expected, _, _ = train(own, CharLM, [tokens(3, 20)], 5, gradient_clip_val=None)
        assert losses == expected
        assert model.backend.tensors.is_tensor(outputs)


def test_a_model_needs_no_base_class(backend: Backend) -> None:
    class Plain:
        def __init__(self) -> None:
            self.weight = nn.Parameter(np.ones(1))

        def training_step(self, batch: Any) -> Any:
            return ops.mean(ops.square(batch * self.weight))

        def configure_optimizers(self) -> Any:
            return optim.SGD([self.weight], lr=0.1)

    losses, _ = fit(Plain(), [np.ones((2, 3), "float32")] * 5)
    np.testing.assert_allclose(losses, [0.8 ** (2 * n) for n in range(5)], rtol=1e-6)
