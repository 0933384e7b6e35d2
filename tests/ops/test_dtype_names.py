"""Dtypes by name, and the default float dtype. How tensors promote: `tbptt.testing.conformance`."""

from __future__ import annotations

import numpy as np
import pytest

import tbptt.dtypes
from tbptt import ops
from tbptt.dtypes import default_dtype, dtype_scope, name_of, set_default_dtype
from tbptt.protocols import Backend


def test_every_spelling_of_a_dtype_is_read(backend: Backend) -> None:
    own = ops.zeros(1, dtype="float64").dtype
    for spelling in ("float64", np.float64, np.dtype("float64"), own):
        assert name_of(spelling) == "float64"
        assert ops.dtype(ops.zeros(1, dtype=spelling)) == "float64"
    assert name_of(float) == default_dtype()
    assert name_of(bool) == "bool"


def test_an_unknown_dtype_is_told_with_the_ones_there_are() -> None:
    with pytest.raises(ValueError, match=r"no dtype 'float31'.*float32"):
        name_of("float31")


def test_the_default_must_be_a_float_and_stays_where_it_was() -> None:
    with pytest.raises(ValueError, match="'int32' is not"):
        set_default_dtype("int32")
    assert default_dtype() == "float32"


def test_a_scope_ends_even_by_an_error() -> None:
    with pytest.raises(RuntimeError, match="on purpose"), dtype_scope("float64"):
        assert tbptt.dtypes.default_dtype() == "float64"
        raise RuntimeError("on purpose")
    assert default_dtype() == "float32"
