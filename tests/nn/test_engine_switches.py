"""What is switched for a whole process: determinism, and the search for the first NaN."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from tensorflow.python.framework import config as tensorflow_config

import tbptt
from tbptt import nn, ops
from tbptt.errors import ConfigurationError
from tbptt.protocols import Backend


def switched_on(engine: str) -> bool:
    if engine == "torch":
        return torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.deterministic
    return bool(tensorflow_config.is_op_determinism_enabled())


def test_determinism_is_switched_on_and_off_where_it_can_be(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "taken back afterwards")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    try:
        assert not switched_on(backend.name)
        backend.compilation.set_deterministic(True)
        assert switched_on(backend.name)
        if backend.name == "torch":
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"  # cuBLAS reads it when it is first used
        backend.compilation.set_deterministic(False)
        assert switched_on(backend.name) is (backend.name == "tensorflow")
    finally:
        tensorflow_config.disable_op_determinism()  # no public function does


def test_torch_warns_instead_where_asked_to() -> None:
    with tbptt.use_backend("torch") as backend:
        try:
            backend.compilation.set_deterministic(True, warn_only=True)
            assert torch.is_deterministic_algorithms_warn_only_enabled()
        finally:
            backend.compilation.set_deterministic(False)
        assert not torch.is_deterministic_algorithms_warn_only_enabled()


def safe_quotient(weight: Any) -> Any:
    """The double-where mistake: a finite loss whose gradient is 0 · (0 / 0)."""
    return ops.sum(ops.where(ops.equal(weight, 0), 0.0, ops.divide(weight, weight)))


def test_the_operation_that_makes_a_nan_is_named(backend: Backend) -> None:
    weight = nn.Parameter(np.zeros(2))
    kind: type[Exception] = RuntimeError if backend.name == "torch" else tf.errors.InvalidArgumentError
    with backend.autodiff.detect_anomaly(), pytest.raises(kind, match=r"DivBackward|RealDiv"):
        with tbptt.GradientTape() as tape:
            loss = safe_quotient(weight)
        tape.gradient(loss, weight)
    with tbptt.GradientTape() as tape:  # and not any more
        loss = safe_quotient(weight)
    assert math.isnan(ops.to_numpy(tape.gradient(loss, weight))[0])


def test_a_step_with_nothing_wrong_passes(backend: Backend) -> None:
    layer = nn.LSTM(2, 3)
    with backend.autodiff.detect_anomaly():
        with tbptt.GradientTape() as tape:
            loss = ops.sum(layer(ops.ones((2, 4, 2)))[0])
        assert all(np.isfinite(ops.to_numpy(each)).all() for each in tape.gradient(loss, layer.parameters()))


def uses_a_shorter_format(backend: Backend) -> bool:
    """By the engine's own switches: there is no device here on which it could be seen."""
    if backend.name == "torch":
        found = {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}
        assert len(found) == 1
        return found.pop()
    return tf.config.experimental.tensor_float_32_execution_enabled()


def test_matrix_products_are_computed_in_float32_unless_asked(backend: Backend) -> None:
    assert not uses_a_shorter_format(backend)  # TensorFlow's own default, and cuDNN's under torch, is that they are not
    try:
        tbptt.set_float32_matmul_precision("high")
        assert uses_a_shorter_format(backend)
    finally:
        tbptt.set_float32_matmul_precision("highest")
    assert not uses_a_shorter_format(backend)
    with pytest.raises(ConfigurationError, match=r"'highest'.*'high'.*received 'tf32'"):
        tbptt.set_float32_matmul_precision("tf32")
