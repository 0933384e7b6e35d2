"""The loss scale against torch's own, update for update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tbptt.errors import ConfigurationError, StructureError
from tbptt.trainer.scaling import LossScale


class Peer:
    """`torch.amp.GradScaler` driven by gradients of one parameter."""

    def __init__(self, initial: float, growth: float, backoff: float, interval: int) -> None:
        self.scaler = torch.amp.GradScaler("cpu", initial, growth, backoff, interval)
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.optimizer = torch.optim.SGD([self.weight], lr=0.0)
        self.scaler.scale(torch.ones(1))  # makes its tensors

    def update(self, finite: bool) -> None:
        self.weight.grad = torch.tensor([1.0, 1.0 if finite else float("inf")])
        self.scaler.step(self.optimizer)
        self.scaler.update()


@pytest.mark.parametrize(
    "settings", [(2.0**16, 2.0, 0.5, 3), (1000.0, 1.7, 0.3, 1), (2.0**126, 2.0, 0.5, 2), (2.0**-148, 2.0, 0.5, 4)]
)
def test_the_scale_is_gradscalers_update_for_update(settings: tuple[float, float, float, int]) -> None:
    ours, peer = LossScale(*settings), Peer(*settings)
    finite = np.random.default_rng(0).random(60) < 0.8
    for each in finite:
        ours.update(bool(each))
        peer.update(bool(each))
        assert ours.value == peer.scaler.get_scale()
    assert ours.state_dict() == peer.scaler.state_dict()


def test_it_goes_on_from_a_state_its_own_or_gradscalers() -> None:
    peer = Peer(2.0**10, 2.0, 0.5, 3)
    for finite in (True, False, True, True):
        peer.update(finite)
    first, second = LossScale(), LossScale()
    first.load_state_dict(peer.scaler.state_dict())
    second.load_state_dict(first.state_dict())
    for ours in (first, second):
        assert ours.value == 2.0**9
        ours.update(True)
        assert ours.value == 2.0**10  # the third in a row
        assert ours.state_dict()["_growth_tracker"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": 0.0},
        {"initial": float("inf")},
        {"growth_factor": 1.0},
        {"backoff_factor": 1.0},
        {"growth_interval": 0},
    ],
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        LossScale(**wrong)


def test_a_state_of_something_else_is_refused() -> None:
    scale = LossScale(4.0)
    with pytest.raises(StructureError, match="growth_factor"):
        scale.load_state_dict({"scale": 2.0})
    assert scale.value == 4.0
