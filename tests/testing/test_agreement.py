"""`assert_backends_agree` accepts what is the same and names what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tbptt
from comparison.small import Small, data
from tbptt import nn, optim
from tbptt.errors import ConfigurationError
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


def test_where_rounding_grows_windows_are_compared_from_equal_states() -> None:
    """Relu above its stable gain doubles a difference at every step; a difference that begins in a window is still found."""

    class Exploding(Small):
        def __init__(self, plant: float = 0.0) -> None:
            super().__init__(lr=1e-4 * (1 + (plant if tbptt.current_backend().name == "tensorflow" else 0.0)))
            self.lstm = nn.RNN(2, 3, nonlinearity="relu")
            for name, value in self.lstm.named_parameters():
                if "weight" in name:
                    array = np.abs(tbptt.ops.to_numpy(value)) + (0.4 if "hh" in name else 0.0)
                    tbptt.current_backend().interop.write(value, array)

    options: dict[str, Any] = {"truncated_bptt_steps": 5, "gradient_clip_val": 1.0, "precision": "32-true"}
    long = [(np.abs(x), y) for x, y in data(steps=50)]
    with pytest.raises(AssertionError):
        assert_backends_agree(Exploding, long, rtol=0, atol=1e-3, **options)
    comparison = assert_backends_agree(Exploding, long, lockstep=True, **options)
    assert comparison.windows == 10
    with pytest.raises(AssertionError, match=r"window 0 .*moment 'update'"):
        assert_backends_agree(lambda: Exploding(10.0), long, lockstep=True, rtol=1e-6, atol=0.0, **options)


def test_in_single_precision_too() -> None:
    assert_backends_agree(Small, data(), steps=4, truncated_bptt_steps=5, precision="32-true")


def test_data_that_can_be_gone_through_once_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="used up after one engine"):
        assert_backends_agree(Small, iter(data()))


def test_one_engine_is_not_enough() -> None:
    with pytest.raises(ConfigurationError, match="Two engines are needed"):
        assert_backends_agree(Small, data(), backends=["torch"])


def test_defaults_are_as_they_were_afterwards() -> None:
    assert_backends_agree(Small, data(), steps=1)
    assert tbptt.default_dtype() == "float32"
    assert np.dtype("float32") == np.asarray(tbptt.ops.to_numpy(nn.Linear(1, 1).weight)).dtype
