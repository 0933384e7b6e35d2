"""Both engines for every test that asks for a backend; torch is imported first, as TensorFlow's libraries require."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch  # noqa: F401  (before TensorFlow, wherever a test imports that)

import tbptt.backends
from tbptt.protocols import Backend

ENGINES = ("torch", "tensorflow")


@pytest.fixture(params=ENGINES)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """One run of the test per engine, with that engine the current one."""
    for name in ENGINES:
        tbptt.backends.load(name)
    with tbptt.backends.use_backend(request.param) as record:
        yield record
