"""The adapter for PyTorch keeps every promise."""

from __future__ import annotations

from tbptt.testing import BackendConformance


class TestTorch(BackendConformance):
    backend = "torch"
