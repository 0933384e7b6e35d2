"""Gradients with torch's autograd behind a tape. Nothing is written to ``.grad``: every answer is returned."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge

from tbptt.errors import GradientError


class _Tape:
    """Autograd records by itself; the tape only makes constants part of the record and asks for gradients."""

    def __init__(self, persistent: bool) -> None:
        self._persistent = persistent
        self._recording = torch.enable_grad()
        self._watched: list[tuple[torch.Tensor, GradientEdge]] = []

    def __enter__(self) -> _Tape:
        self._recording.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        for tensor, _ in self._watched:
            tensor.requires_grad_(False)  # the graph keeps its edge to the tensor; the caller gets it back as it was
        self._recording.__exit__(*exception)

    def watch(self, tensors: list[torch.Tensor]) -> None:
        for tensor in tensors:
            if tensor.is_floating_point() and not tensor.requires_grad:
                tensor.requires_grad_(True)
                self._watched.append((tensor, get_gradient_edge(tensor)))

    def gradient(
        self,
        targets: list[torch.Tensor],
        sources: list[torch.Tensor],
        output_gradients: list[torch.Tensor | None],
        retain: bool | None = None,
    ) -> list[torch.Tensor | None] | None:
        edges = {id(tensor): edge for tensor, edge in self._watched}
        recorded = [i for i, target in enumerate(targets) if target.requires_grad or id(target) in edges]
        if not recorded:
            return None
        outputs: list[Any] = [edges.get(id(targets[i]), targets[i]) for i in recorded]
        asked = [
            i for i, source in enumerate(sources) if id(source) in edges or getattr(source, "requires_grad", False)
        ]
        answers: list[torch.Tensor | None] = [None] * len(sources)
        inputs: list[Any] = [edges.get(id(sources[i]), sources[i]) for i in asked]
        if not asked:
            return answers
        try:
            found = torch.autograd.grad(
                outputs,
                inputs,
                [_cotangent(targets[i], output_gradients[i]) for i in recorded],
                retain_graph=self._persistent if retain is None else retain,
                allow_unused=True,
            )
        except RuntimeError as error:
            if "second time" in str(error):
                raise GradientError(
                    "The gradient would have to flow back into an earlier window, whose record is gone. A state was "
                    "carried over without being cut. Call state = tbptt.detach(state) after each window."
                ) from error
            raise
        for i, answer in zip(asked, found, strict=True):
            answers[i] = answer
        return answers


def _cotangent(target: torch.Tensor, given: torch.Tensor | None) -> torch.Tensor | None:
    # torch fills in a one for scalars by itself, but not for a watched target; for other shapes the promise is the sum's gradient
    return torch.ones_like(target) if given is None and (target.ndim or not target.requires_grad) else given


def tape(persistent: bool = False) -> _Tape:
    """A fresh tape. A persistent one answers `gradient` more than once."""
    return _Tape(persistent)


def stop_gradient(x: Any) -> Any:
    """The same values with no past; shares memory."""
    return x.detach()


def no_grad() -> AbstractContextManager[Any]:
    """A scope in which no tape records."""
    return torch.no_grad()


def detect_anomaly() -> AbstractContextManager[Any]:
    """`torch.autograd.set_detect_anomaly`: a NaN in a backward pass raises RuntimeError, with the forward call's traceback."""
    # not `torch.autograd.detect_anomaly`, which warns that it has been asked for
    return torch.autograd.set_detect_anomaly(True)
