"""A window on its way to the device, past the hooks that may change it."""

from __future__ import annotations

from typing import Any

from tbptt.trainer.dispatch import Hooks
from tbptt.trainer.walk import Stretch
from tbptt.types import Tree


def transferred(trainer: Any, hooks: Hooks, stretch: Stretch, window: Tree) -> Tree:
    """on_before_batch_transfer, transfer_batch_to_device (`Stretch.place` unless overridden), on_after_batch_transfer."""
    if hooks.has("on_before_batch_transfer"):
        window = hooks.passed_on("on_before_batch_transfer", window, 0)
    if hooks.has("transfer_batch_to_device"):
        trainer.place = stretch.place  # what the hook's default, and an override that calls it, does
        window = hooks("transfer_batch_to_device", window, stretch.ground.device, 0)
    else:
        window = stretch.place(window)
    if hooks.has("on_after_batch_transfer"):
        window = hooks.passed_on("on_after_batch_transfer", window, 0)
    return window
