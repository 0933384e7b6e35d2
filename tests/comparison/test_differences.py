"""How far two arrays are apart, by hand; where two runs part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tbptt.comparison import Comparison, Place, Record, Tolerance
from tbptt.comparison.comparison import growth
from tbptt.comparison.differences import differences
from tbptt.comparison.recording import thinned
from tbptt.errors import ConfigurationError


def record(window: int = 0, shapes: Any = None, **moments: dict[str, Any]) -> Record:
    arrays = {
        moment: {name: np.asarray(value) for name, value in entries.items()} for moment, entries in moments.items()
    }
    return Record(Place(window, 0, 0, window, window + 1), arrays, shapes or {})


def one_difference(a: Any, b: Any, moment: str = "update", **options: Any) -> Any:
    found = differences(record(**{moment: {"w": a}}), record(**{moment: {"w": b}}), Tolerance(**options))
    return next(iter(found))


def test_the_largest_difference_its_place_and_its_units() -> None:
    a = np.array([[1.0, 2.0], [3.0, -8.0]])
    b = a.copy()
    b[1, 0] += 4 * np.spacing(3.0)
    b[0, 1] += 1 * np.spacing(2.0)
    found = one_difference(a, b)
    assert found.maximum == 4 * np.spacing(3.0)
    assert found.scale == 8.0
    assert found.relative == 4 * np.spacing(3.0) / 8
    assert found.ulp == 4
    assert found.worst == (1, 0)
    assert found.values == (3.0, 3.0 + 4 * np.spacing(3.0))
    assert not found.is_beyond


@pytest.mark.parametrize(
    ("a", "b", "beyond"),
    [
        (np.nan, np.nan, False),
        (np.inf, np.inf, False),
        (np.inf, -np.inf, True),
        (1.0, np.nan, True),
        (np.nan, 1.0, True),
        (1.0, np.inf, True),
        (0.0, -0.0, False),
    ],
)
def test_numbers_that_are_none_are_equal_to_their_like_alone(a: float, b: float, beyond: bool) -> None:
    found = one_difference([0.5, a], [0.5, b])
    assert found.is_beyond is beyond
    assert found.maximum == (np.inf if beyond else 0.0)


def test_the_tolerated_depends_on_moment_and_dtype() -> None:
    for moment, allowed in (("loss", 2e-11), ("gradient", 2e-11), ("update", 2e-10)):
        inside, outside = 1.0 + 0.9 * allowed, 1.0 + 1.1 * allowed
        assert not one_difference(1.0, inside, moment).is_beyond
        assert one_difference(1.0, outside, moment).is_beyond
    assert not one_difference(np.float32(1), np.float32(1.00001), "loss").is_beyond
    assert one_difference(np.float32(1), np.float32(1.0001), "loss").is_beyond
    assert not one_difference(np.float32(1), np.float64(1.00001), "loss").is_beyond  # the shorter one's rounding
    assert one_difference(3, 4).is_beyond
    assert not one_difference(3, 4, atol=1.0, rtol=0).is_beyond
    assert not one_difference(100.0, 101.0, atol=0.0, rtol=0.01).is_beyond
    assert one_difference(100.0, 101.1, atol=0.0, rtol=0.01).is_beyond


def test_a_missing_array_and_another_shape_are_differences() -> None:
    first = record(update={"a": [1.0], "b": [1.0]})
    found = {each.name: each for each in differences(first, record(update={"a": [1.0, 2.0]}), Tolerance())}
    assert found["a"].is_beyond and "(1,) on one side and (2,)" in found["a"].fault
    assert found["b"].is_beyond and "the first" in found["b"].fault


def test_of_a_part_of_an_array_the_place_is_that_in_the_whole() -> None:
    whole = np.arange(24.0).reshape(2, 3, 4)
    other = whole.copy()
    other[1, 2, 3] = 100
    shapes = {"update/w": (2, 3, 4)}
    pair = [record(shapes=shapes, update={"w": thinned(array, 5)}) for array in (whole, other)]
    assert next(iter(differences(*pair, Tolerance()))).worst == (1, 2, 3)


def test_the_first_difference_is_the_earliest_window_and_moment() -> None:
    comparison = Comparison("one", "other")
    same = {"loss": {"loss": 1.0}, "gradient": {"a": [1.0], "b": [2.0]}, "update": {"a": [0.5], "b": [0.25]}}
    comparison.add(record(0, **same), record(0, **same))
    later = {**same, "gradient": {"a": [1.0], "b": [2.0 + 1e-6]}, "update": {"a": [0.5 + 1], "b": [0.25]}}
    comparison.add(record(1, **same), record(1, **later))
    comparison.add(record(2, **same), record(2, **{**same, "loss": {"loss": 7.0}}))
    assert comparison.parting is not None
    assert comparison.parting.place.window == 1
    assert (comparison.parting.difference.moment, comparison.parting.difference.name) == ("gradient", "b")
    said = comparison.verdict
    for part in ("window 1", "moment 'gradient'", "parameter b", "element [0]", "2.0 on one", "2.000001 on other"):
        assert part in said


def test_a_parameter_changed_on_one_side_alone_is_compared_with_what_it_still_is_on_the_other() -> None:
    comparison = Comparison("one", "other")
    comparison.add(
        record(0, start={"a": [1.0]}, update={"a": [2.0]}), record(0, start={"a": [1.0]}, update={"a": [2.0]})
    )
    comparison.add(record(1, loss={"loss": 1.0}), record(1, start={"a": [2.5]}, loss={"loss": 1.0}))
    assert comparison.parting is not None
    assert comparison.parting.difference.moment == "start"
    assert comparison.parting.difference.values == (2.0, 2.5)


def test_a_run_that_ends_early_is_no_equal_run() -> None:
    comparison = Comparison("one", "other")
    windows = [record(n, loss={"loss": 1.0}) for n in range(3)]
    comparison.add_all(windows, windows[:2])
    assert not comparison.is_same
    assert comparison.verdict == "other ended after 2 windows, and one went on."


def test_nothing_compared_is_nothing_equal() -> None:
    comparison = Comparison("one", "other")
    comparison.add_all([], [])
    assert not comparison.is_same


def test_growth_is_the_factor_from_window_to_window() -> None:
    assert growth({n: 1e-16 * 1.7**n for n in range(10)}) == pytest.approx(1.7)
    assert growth({0: 0.0, 1: 1e-16, 2: 0.0}) is None


def test_negative_tolerances_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="rtol must be 0 or more"):
        Comparison("one", "other", Tolerance(rtol=-1e-3))
