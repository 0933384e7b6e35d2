"""`Fixed` with overlap through real layers: every update equals a plain torch graph with detaches placed by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import tbptt
from tbptt import clock, optim
from tbptt.protocols import Backend
from tbptt.schedules import ARTBP, Fixed, RandomLength
from trainer.models import CharLM, tokens
from trainer.recurrences import check_close, fit

ROWS = 2


def model(layer: str) -> CharLM:
    return CharLM(layer=layer, width=5, dropout=0.3, optimizer=lambda parameters: optim.SGD(parameters, lr=0.0))


@cache
def by_hand(layer: str, losses: str, k1: int, k2: int, steps: int) -> list[list[np.ndarray]]:
    """On torch: from a detached state at τ_n one graph over the run, a loss over the steps that count, and torch's gradient."""
    with tbptt.use_backend("torch"), tbptt.dtypes.dtype_scope("float64"):
        tbptt.seed_everything(0)
        module = model(layer).train()
        text, targets = map(torch.tensor, tokens(ROWS, steps))

        def run(begin: int, stop: int, state: Any) -> Any:
            with clock.at(clock.Origin(0, 0, begin)):  # masks depend on where in time a run begins
                return module(text[:, begin:stop], state)

        found = []
        for start in range(0, steps, k1):
            stop, tau = min(start + k1, steps), max(0, start + k1 - k2)
            state = run(0, tau, None)[1] if tau else None
            if state is not None:
                state = state.detach() if layer == "gru" else tuple(leaf.detach() for leaf in state)
            logits, _ = run(tau, stop, state)
            counted = {"new": start, "window": tau, "last": stop - 1}[losses]
            loss = torch.nn.functional.cross_entropy(
                logits[:, counted - tau :].flatten(0, 1), targets[:, counted:stop].flatten()
            )
            found.append([g.numpy() for g in torch.autograd.grad(loss, list(module.parameters()))])
    return found


def check(layer: str, losses: Any, k1: int = 3, k2: int = 7, steps: int = 17, **options: Any) -> None:
    updates, _, _ = fit(lambda: model(layer), Fixed(k1, k2, losses), [tokens(ROWS, steps)], **options)
    expected = by_hand(layer, losses, k1, k2, steps)
    assert len(updates.gradients) == len(expected)
    for found, truth in zip(updates.gradients, expected, strict=True):
        check_close(found, truth)


@pytest.mark.parametrize("losses", ["new", "window", "last"])
@pytest.mark.parametrize("layer", ["lstm", "gru"])
def test_every_update_equals_a_graph_with_detaches_by_hand(backend: Backend, layer: str, losses: str) -> None:
    check(layer, losses)


def test_the_same_in_compiled_programs() -> None:
    """Pieces of one length, so that there are few of them."""
    with tbptt.use_backend("tensorflow"):
        check("gru", "window", 4, 8, 12, compile="auto")


@pytest.mark.parametrize(
    "schedule",
    [ARTBP(3, block=2, seed=1), RandomLength(6, min=2, std=2, seed=0), Fixed(3, 7, offset="random", burn_in=2, seed=3)],
    ids=repr,
)
def test_both_engines_draw_the_same_windows_and_take_the_same_gradients(schedule: Any) -> None:
    found = {}
    for engine in ("torch", "tensorflow"):
        with tbptt.use_backend(engine):
            again = type(schedule)(**schedule._arguments())
            found[engine], _, _ = fit(lambda: model("gru"), again, [tokens(ROWS, 17)])
    assert len(found["torch"].gradients) == len(found["tensorflow"].gradients) > 1
    for one, other in zip(found["tensorflow"].gradients, found["torch"].gradients, strict=True):
        check_close(one, other)
