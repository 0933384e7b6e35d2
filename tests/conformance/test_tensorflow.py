"""The adapter for TensorFlow keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch  # noqa: F401  (before TensorFlow, as in tests/conftest.py)

# isort: split
from tensorflow.python.framework import config as tensorflow_config

from tbptt.testing import BackendConformance


class TestTensorflow(BackendConformance):
    backend = "tensorflow"

    @pytest.fixture(autouse=True)
    def _determinism_is_taken_back(self) -> Iterator[None]:
        yield
        tensorflow_config.disable_op_determinism()  # no public function does, and other tests share the process
