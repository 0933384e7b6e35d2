"""Whether an engine's answer is NumPy's: same kind of thing, same dtype, same shape, same values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tbptt import dtypes
from tbptt.protocols import Backend, Tensors
from tbptt.testing.conformance.tensor_calls import DEFAULT, Call

NAMES = tuple(name for name in dir(Tensors) if not name.startswith("_"))
"""Every function that `tbptt.protocols.Tensors` promises."""
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def function(backend: Backend, name: str) -> Callable[..., Any]:
    """A function of the engine's; one that it does not have fails the test."""
    found = getattr(backend.tensors, name, None)
    if found is None:
        pytest.fail(
            f"The tensors of {backend.name} have no function {name!r}, which tbptt.protocols.Tensors promises. "
            f"Write it, or excuse the tests that need it with a reason in `lacks`.",
            pytrace=False,
        )
    return found  # type: ignore[no-any-return]


def tensor(backend: Backend, values: Any, dtype: Any = "float64") -> Any:
    """A tensor of the engine's that holds these values; as an array it has this dtype."""
    return backend.tensors.asarray(np.array(values, dtype))


def array(backend: Backend, x: Any) -> np.ndarray:
    """The values of a tensor."""
    return np.asarray(backend.tensors.to_numpy(x))


def to_tensors(backend: Backend, value: Any) -> Any:
    """The arrays in an argument as tensors, which keep their dtypes; everything else as it is."""
    if isinstance(value, list | tuple) and any(isinstance(item, np.ndarray) for item in value):
        return type(value)(to_tensors(backend, item) for item in value)
    if not isinstance(value, np.ndarray):
        return value
    x = backend.tensors.asarray(value)
    received = backend.tensors.dtype(x)
    assert received == value.dtype.name, (
        f"asarray: arrays keep their dtype; expected {value.dtype.name}, received {received}"
    )
    return x


def check(backend: Backend, answer: Any, call: Call) -> None:
    """Fail unless the answer is what NumPy says."""
    expected, name = call.expected, call.dtypes
    if name is None:
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(answer, expected, strict=True)
        else:
            assert answer == expected, f"expected {expected!r}, received {answer!r}"
    elif isinstance(name, tuple):
        assert isinstance(answer, tuple), f"expected a tuple, received a {type(answer).__name__}"
        assert len(answer) == len(name), f"expected {len(name)} tensors, received {len(answer)}"
        for one, part, dtype in zip(answer, expected, name, strict=True):
            check(backend, one, Call((), {}, part, dtype))
    else:
        _check_tensor(backend, answer, expected, dtypes.default_dtype() if name == DEFAULT else name, call.scale)


def _check_tensor(backend: Backend, answer: Any, expected: Any, name: str, scale: float) -> None:
    assert backend.tensors.is_tensor(answer), f"expected a tensor of {backend.name}, received a {type(answer).__name__}"
    received = backend.tensors.dtype(answer)
    assert received == name, f"expected the dtype {name}, received {received}"
    if expected is None:
        return
    expected = np.asarray(expected).astype(name)
    shape = tuple(backend.tensors.shape(answer))
    assert shape == expected.shape, f"expected the shape {expected.shape}, received {shape}"
    if name in TOLERANCE:
        tolerance = TOLERANCE[name]
        np.testing.assert_allclose(array(backend, answer), expected, rtol=tolerance, atol=tolerance * scale)
    else:
        np.testing.assert_array_equal(array(backend, answer), expected, strict=True)


def run(backend: Backend, name: str, call: Call) -> None:
    """Make the call on the engine, and fail unless it answers as NumPy; every failure names the call."""
    try:
        # from_dlpack asks the array itself; everything else gets tensors
        arguments = [x if name == "from_dlpack" else to_tensors(backend, x) for x in call.arguments]
        check(backend, function(backend, name)(*arguments, **call.options), call)
    except Exception as error:
        written = [*map(repr, call.arguments), *(f"{key}={value!r}" for key, value in call.options.items())]
        error.add_note(f"The call: {name}({', '.join(written)}) on {backend.name}.")
        raise


def is_single(call: Call) -> bool:
    """Whether it takes float32, or answers in it whatever the default float dtype is."""
    return "float32" in _dtypes(call)


def is_default(call: Call) -> bool:
    """Whether the default float dtype is what it answers in."""
    return bool(call.dtypes == DEFAULT)


def _dtypes(call: Call) -> Iterator[str]:
    for argument in call.arguments:
        for item in argument if isinstance(argument, list | tuple) else (argument,):
            if isinstance(item, np.ndarray):
                yield item.dtype.name
    yield from call.dtypes if isinstance(call.dtypes, tuple) else (str(call.dtypes),)
