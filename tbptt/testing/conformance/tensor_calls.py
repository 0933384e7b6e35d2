"""What a comparison with NumPy is made of, and the usual ways to make many of them.

A `Call` holds the arguments (NumPy arrays are handed over as tensors), and what NumPy answers. The dtype of an answer
is a rule written out here, not read from the library: "same" as the argument, "real", "accumulate", or a name;
"default" is the default float dtype at the time of the call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

DEFAULT = "default"
DTYPES = {"f": ("float32", "float64"), "i": ("int32", "int64"), "b": ("bool",)}
SHAPES = ((), (5,), (3, 4), (2, 3, 4), (0,), (2, 0, 3))
PAIRS = (((), ()), ((4,), (4,)), ((3, 1), (4,)), ((2, 1, 4), (3, 1)), ((2, 3), ()), ((0,), (1,)), ((2, 0), (2, 1)))


PRODUCT = 9.0  # the largest product of two drawn numbers: what the rounding of a sum of products is relative to


class Call(NamedTuple):
    """One call and NumPy's answer to it."""

    arguments: tuple[Any, ...]
    options: dict[str, Any]
    expected: Any
    dtypes: Any  # the name of the answer's dtype, a tuple of names, or None for an answer that is no tensor
    scale: float = 0.01  # values below this are compared by their difference, in units of this


Entry = Callable[[], Iterable[Call]]


def draw(shape: tuple[int, ...], dtype: str, domain: str = "any") -> np.ndarray:
    """Numbers of a domain, the same ones for the same question."""
    generator = np.random.default_rng([len(shape), *shape, len(dtype), len(domain)])
    if dtype == "bool":
        return np.asarray(generator.random(shape) < 0.5)  # asarray: no NumPy scalars, which count as numbers
    if dtype.startswith("int"):
        low = {"any": -6, "signless": 0, "positive": 1, "above": 1, "unit": 0, "open": 0}[domain]
        high = {"any": 7, "signless": 7, "positive": 7, "above": 7, "unit": 2, "open": 1}[domain]
        return np.asarray(generator.integers(low, high, shape), dtype)
    bottom = {"any": -3.0, "signless": 0.0, "positive": 0.1, "above": 1.0, "unit": -1.0, "open": -0.98}[domain]
    top = {"any": 3.0, "signless": 5.0, "positive": 5.0, "above": 5.0, "unit": 1.0, "open": 0.98}[domain]
    return np.asarray(generator.uniform(bottom, top, shape), dtype)


def outcome(rule: str, dtype: str) -> str:
    """The dtype of an answer to arguments of that dtype."""
    if rule == "same":
        return dtype
    if rule == "real":
        return dtype if dtype.startswith("float") else DEFAULT
    if rule == "accumulate":
        return dtype if dtype.startswith("float") else "int64"
    return rule


def unary(
    oracle: Any, kinds: str = "fi", rule: str = "real", domain: str = "any", special: tuple[float, ...] = ()
) -> Entry:
    """A function of one array: every dtype of these kinds, every shape, and special values of floats."""

    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape in SHAPES:
                x = draw(shape, dtype, domain)
                yield Call((x,), {}, oracle(x), outcome(rule, dtype))
            if special and dtype.startswith("float"):
                x = np.array(special, dtype)
                yield Call((x,), {}, oracle(x), outcome(rule, dtype))

    return calls


def binary(oracle: Any, kinds: str = "fi", rule: str = "same", domain: str = "any", second: str = "") -> Entry:
    """A function of two arrays that broadcast."""

    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape1, shape2 in PAIRS:
                x1, x2 = draw(shape1, dtype, domain), draw(shape2, dtype, second or domain)
                yield Call((x1, x2), {}, oracle(x1, x2), outcome(rule, dtype))

    return calls


def reduction(oracle: Any, kinds: str = "fi", rule: str = "same", empty: bool = True, **fixed: Any) -> Entry:
    """A function that takes `axis` (a number, a tuple or None) and `keepdims`."""

    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape, keepdims in itertools.product(((), (5,), (3, 4), (2, 3, 4)), (False, True)):
                x = draw(shape, dtype)
                axes: list[Any] = [None, *range(-len(shape), len(shape))] + [(0, -1)] * (len(shape) > 1)
                for axis in axes:
                    options = {"axis": axis, "keepdims": keepdims}
                    yield Call((x,), {**options, **fixed}, oracle(x, **options, **fixed), outcome(rule, dtype))
            if empty:
                x = draw((0, 3), dtype)
                for axis in (None, 0):
                    yield Call((x,), {"axis": axis, **fixed}, oracle(x, axis=axis, **fixed), outcome(rule, dtype))

    return calls


def place(oracle: Any) -> Entry:
    """A function that answers with a place along an axis."""

    def calls() -> Iterator[Call]:
        for dtype in ("float32", "float64", "int32", "int64", "bool"):
            for shape, keepdims in itertools.product(((5,), (3, 4), (2, 3, 4)), (False, True)):
                x = draw(shape, dtype)
                for axis in (None, *range(-len(shape), len(shape))):
                    options = {"axis": axis, "keepdims": keepdims}
                    yield Call((x,), options, oracle(x, **options), "int64")

    return calls


def along(oracle: Any, kinds: str = "f", rule: str = "real", name: str = "axis", empty: bool = True) -> Entry:
    """A function along one axis, which keeps the shape."""

    def calls() -> Iterator[Call]:
        for dtype in itertools.chain(*(DTYPES[kind] for kind in kinds)):
            for shape in ((5,), (3, 4), (2, 3, 4)) + ((0,), (2, 0)) * empty:
                x = draw(shape, dtype)
                for axis in range(-len(shape), len(shape)):
                    yield Call((x,), {name: axis}, oracle(x, axis), outcome(rule, dtype))

    return calls


def shaped(oracle: Any, *cases: tuple[Any, ...], kinds: str = "fib", rule: str = "same") -> Entry:
    """Cases are (shape, positional arguments..., {options}); the oracle takes the same."""

    def calls() -> Iterator[Call]:
        for dtype, (shape, *rest, options) in itertools.product(itertools.chain(*(DTYPES[k] for k in kinds)), cases):
            x = draw(shape, dtype)
            answer = oracle(x, *rest, **options)
            rules = tuple(outcome(rule, dtype) for _ in answer) if isinstance(answer, tuple) else outcome(rule, dtype)
            yield Call((x, *rest), options, answer, rules)

    return calls


def given(*calls: tuple[tuple[Any, ...], dict[str, Any], Any, Any]) -> Entry:
    """These calls."""
    return lambda: [Call(*call) for call in calls]
