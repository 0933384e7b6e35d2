"""Every function of `tbptt.ops`, on both engines, answers what NumPy answers, in the promised dtype and shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ops_calls import Call
from ops_table import TABLE

from tbptt import ops
from tbptt.protocols import Backend, Tensors

NAMES = [name for name in dir(Tensors) if not name.startswith("_")]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def missing(table: Any) -> list[str]:
    return [name for name in NAMES if name not in table]


def to_tensors(value: Any) -> Any:
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
        return type(value)(map(to_tensors, value))
    return ops.asarray(value) if isinstance(value, np.ndarray) else value


def check(answer: Any, call: Call) -> None:
    """Same kind of thing, same dtype, same shape, same values."""
    if call.dtypes is None:
        if isinstance(call.expected, np.ndarray):
            np.testing.assert_array_equal(answer, call.expected, strict=True)
        else:
            assert answer == call.expected
        return
    if isinstance(call.dtypes, tuple):
        assert isinstance(answer, tuple)
        assert len(answer) == len(call.dtypes)
        for one, expected, name in zip(answer, call.expected, call.dtypes, strict=True):
            check(one, Call((), {}, expected, name))
        return
    assert ops.is_tensor(answer)
    assert ops.dtype(answer) == call.dtypes
    if call.expected is None:
        return
    expected = np.asarray(call.expected).astype(call.dtypes)
    assert ops.shape(answer) == expected.shape
    if call.dtypes in TOLERANCE:
        tolerance = TOLERANCE[call.dtypes]
        np.testing.assert_allclose(ops.to_numpy(answer), expected, rtol=tolerance, atol=tolerance * call.scale)
    else:
        np.testing.assert_array_equal(ops.to_numpy(answer), expected, strict=True)


def test_every_function_of_the_protocol_has_an_entry() -> None:
    assert not missing(TABLE)
    assert not set(TABLE) - set(NAMES)


def test_a_function_without_an_entry_is_noticed() -> None:
    assert missing({name: entry for name, entry in TABLE.items() if name != "tanh"}) == ["tanh"]


@pytest.mark.parametrize("name", NAMES)
def test_a_function_answers_as_numpy(backend: Backend, name: str) -> None:
    with np.errstate(all="ignore"):  # at special values
        calls = list(TABLE[name]())
    for call in calls:
        # from_dlpack asks the array itself; everything else gets tensors
        arguments = call.arguments if name == "from_dlpack" else tuple(map(to_tensors, call.arguments))
        answer = getattr(ops, name)(*arguments, **call.options)
        try:
            check(answer, call)
        except AssertionError as error:
            error.add_note(f"{backend.name}: {name}({', '.join(map(repr, call.arguments))}, {call.options})")
            raise
