"""What is done to every trainer of this process before it fits: for tools that run somebody else's script."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer

before_fit: list[Callable[[Trainer], None]] = []
"""Each is given the trainer, and may change what a person sets: add a callback, choose the precision."""
