"""Which parts of a model are in training mode, remembered and brought back."""

from __future__ import annotations

from typing import Any

from tbptt.nn.native import modules_of


def modes_of(model: Any) -> list[tuple[Any, bool]]:
    """Each part that has a mode, and which it is in: a part that was switched to evaluation by hand is to stay so."""
    return [(part, part.training) for part in modules_of(model) if isinstance(getattr(part, "training", None), bool)]


def restore_modes(modes: list[tuple[Any, bool]]) -> None:
    """Bring back what `modes_of` found."""
    for part, training in modes:
        part.training = training
