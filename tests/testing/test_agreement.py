"""`assert_backends_agree` accepts what is the same and names what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from comparison.small import Small, data
from tbptt import nn, optim
from tbptt.errors import BackendError, ConfigurationError
from tbptt.testing import assert_backends_agree


def test_a_model_is_the_same_on_both_engines() -> None:
    comparison = assert_backends_agree(Small, data(), steps=7, truncated_bptt_steps=5, gradient_clip_val=0.1)
    assert comparison.windows == 7  # the data was gone through once and three quarters
    assert {row.moment for row in comparison.summaries()} >= {"forward", "loss", "gradient", "clipping", "update"}


def test_without_steps_the_data_is_gone_through_once() -> None:
    assert assert_backends_agree(Small, lambda: iter(data(2)), truncated_bptt_steps=10).windows == 4


class OnOneEngine(Small):
    """Differs on TensorFlow."""

    def __init__(self, plant: str) -> None:
        super().__init__()
        self.plant = plant if tbptt.current_backend().name == "tensorflow" else ""

    def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
        loss, hiddens = super().training_step(batch, batch_idx, hiddens)
        if self.plant == "state":
            hiddens = (hiddens[0] * (1 + 1e-9), hiddens[1])
        return loss * (2 if self.plant == "loss" else 1), hiddens

    def configure_optimizers(self) -> Any:
        return optim.Adam(self.parameters(), lr=1e-2, eps=1e-7 if self.plant == "epsilon" else 1e-8)


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        ("state", r"window 0 .*moment 'forward', value state\[0\]"),
        ("loss", "window 0 .*moment 'loss', value loss"),
        ("epsilon", "window 0 .*moment 'update', parameter lstm.weight_ih_l0"),
    ],
)
def test_a_difference_is_named(plant: str, place: str) -> None:
    with pytest.raises(AssertionError, match=f"torch and tensorflow part in {place}") as caught:
        assert_backends_agree(lambda: OnOneEngine(plant), data(), truncated_bptt_steps=5)
    assert " on torch and " in str(caught.value)


def test_what_is_tolerated_can_be_said() -> None:
    assert_backends_agree(lambda: OnOneEngine("state"), data(), truncated_bptt_steps=5, rtol=1e-6, atol=1e-6)


def test_rounding_that_grows_is_no_difference_and_one_that_begins_in_a_window_is() -> None:
    """A plain RNN of strong random weights is chaotic (Sompolinsky, Crisanti & Sommers 1988): rounding grows at every step."""

    class Chaotic(Small):
        def __init__(self, plant: float = 0.0) -> None:
            super().__init__(lr=1e-6)
            self.lstm, self.head = nn.RNN(2, 30), nn.Linear(30, 1)
            weights = np.random.default_rng(0).standard_normal((30, 30)) * 2 / np.sqrt(30)
            tbptt.current_backend().interop.write(self.lstm.weight_hh_l0, weights)
            self.plant = plant if tbptt.current_backend().name == "tensorflow" else 0.0

        def training_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            loss, hiddens = super().training_step(batch, batch_idx, hiddens)
            return loss * (1 + self.plant), hiddens

    options: dict[str, Any] = {"truncated_bptt_steps": 5, "precision": "32-true"}
    long = data(steps=100)
    comparison = assert_backends_agree(Chaotic, long, **options)
    assert comparison.windows == 20
    assert comparison.corrected  # had it not been taken away, nothing would be alike any more
    assert max(comparison.curve("forward").values()) < 0.1
    assert not assert_backends_agree(Chaotic, long, lockstep=True, **options).corrected
    with pytest.raises(AssertionError, match=r"window 0 .*moment 'loss'"):
        assert_backends_agree(lambda: Chaotic(1e-3), long, **options)


def test_in_single_precision_too() -> None:
    assert_backends_agree(Small, data(), steps=4, truncated_bptt_steps=5, precision="32-true")


def test_data_that_can_be_gone_through_once_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="used up after one engine"):
        assert_backends_agree(Small, iter(data()))


def test_one_engine_is_not_enough() -> None:
    with pytest.raises(ConfigurationError, match="Two engines are needed"):
        assert_backends_agree(Small, data(), backends=["torch"])


def test_every_engine_gets_schedules_and_callbacks_as_they_were_given() -> None:
    class Impatient(tbptt.Callback):
        """Stops the training, counted over its life, after so many windows."""

        seen = 0

        def on_window_end(self, trainer: Any, module: Any, outputs: Any, window: Any, window_idx: int) -> None:
            self.seen += 1
            trainer.should_stop = self.seen >= 3

    schedule, callback = tbptt.schedules.RandomLength(5, seed=3), Impatient()
    before = schedule.state_dict()
    comparison = assert_backends_agree(Small, data(2, 60), truncated_bptt_steps=schedule, callbacks=callback)
    assert comparison.windows == 3
    assert (schedule.state_dict(), callback.seen) == (before, 0)


def test_a_data_module_validation_and_learning_rate_schedules() -> None:
    class Module(Small):
        def validation_step(self, batch: Any, batch_idx: int, hiddens: Any) -> Any:
            return self.training_step(batch, batch_idx, hiddens)

        def configure_optimizers(self) -> Any:
            optimizer = super().configure_optimizers()
            return [optimizer], [optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    class Sums(tbptt.DataModule):
        def train_dataloader(self) -> Any:
            return data(2)

        def val_dataloader(self) -> Any:
            return data()

    assert assert_backends_agree(Module, Sums(), truncated_bptt_steps=10, max_epochs=2).windows == 8


def test_a_model_of_one_engine_alone_is_refused() -> None:
    import torch

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return ((self.linear(batch[0]) - batch[1]) ** 2).mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    with pytest.raises(
        ConfigurationError, match="made a Plain that belongs to torch, while it was to be trained on tensorflow"
    ):
        assert_backends_agree(Plain, data())


def test_an_engine_that_is_named_and_absent_is_told() -> None:
    with pytest.raises(BackendError, match="There is no backend named 'jax'"):
        assert_backends_agree(Small, data(), backends=["torch", "jax"])


def test_defaults_are_as_they_were_afterwards() -> None:
    assert_backends_agree(Small, data(), steps=1)
    assert tbptt.default_dtype() == "float32"
    assert np.dtype("float32") == np.asarray(tbptt.ops.to_numpy(nn.Linear(1, 1).weight)).dtype
