"""How far two arrays are apart, by hand; where two runs part."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
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


def test_in_mixed_precision_the_arithmetic_of_layers_says_what_is_tolerated() -> None:
    pair = [
        replace(record(data={"x": np.float32(1)}, loss={"loss": np.float32(value)}), arithmetic="bfloat16")
        for value in (1, 1.01)
    ]
    assert not any(found.is_beyond for found in differences(*pair, Tolerance()))
    moved = replace(pair[1], moments={**pair[1].moments, "data": {"x": np.array(1.01, dtype="float32")}})
    assert [found.moment for found in differences(pair[0], moved, Tolerance()) if found.is_beyond] == ["data"]
    assert Tolerance().allowed("loss", "bfloat16", 1.0) == Tolerance().allowed("loss", "float16", 1.0) > 1e-2


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


def followed(factors: list[float], follow: Any, start: float = 1e-15) -> tuple[Comparison, list[float]]:
    """A run whose single parameter is 1, and one whose parameter differs by what grows by these factors until it is corrected."""
    comparison, difference, seen = Comparison("one", "other", follow=follow), start, []
    for window, factor in enumerate(factors):
        difference = difference * factor + start
        seen.append(difference)
        one = record(window, update={"a": [1.0]}, forward={"state": [0.5]})
        comparison.add(one, record(window, update={"a": [1.0 + difference]}, forward={"state": [0.5]}))
        if "update" in (correction := comparison.correction(one)).moments:
            assert correction.moments["update"]["a"][0] == 1.0
            assert correction.moments["forward"]["state"][0] == 0.5
            difference = 0.0
    return comparison, seen


def test_rounding_that_has_grown_is_no_difference_and_is_taken_away() -> None:
    comparison, seen = followed([3.0] * 30, "grown")
    assert comparison.is_same, comparison.verdict
    assert comparison.corrected
    assert all(seen[window] > 2e-10 for window in comparison.corrected)
    assert max(seen) < 1e-9
    assert "No difference began in any of them" in comparison.verdict and "chaotic" in comparison.verdict
    growth_seen = comparison.summaries()[-1].growth
    assert growth_seen is not None and 2.5 < growth_seen < 3.1


def test_left_to_itself_it_parts_the_runs_and_the_message_says_what_it_may_be() -> None:
    comparison, _ = followed([3.0] * 30, "never")
    assert not comparison.is_same
    assert "lockstep" in comparison.verdict


def test_a_difference_that_begins_in_a_window_is_none_that_has_grown() -> None:
    for before in (5, 20):
        factors = [3.0] * 30
        factors[before] = 1e7
        comparison, _ = followed(factors, "grown")
        assert comparison.parting is not None
        assert comparison.parting.place.window == before


def test_in_lockstep_there_is_no_growth() -> None:
    comparison, seen = followed([3.0] * 30, "always")
    assert comparison.is_same and not comparison.corrected
    assert max(seen) == pytest.approx(4e-15)


def test_after_the_runs_have_parted_nothing_is_corrected() -> None:
    comparison, seen = followed([1e9] + [3.0] * 10, "grown")
    assert not comparison.is_same
    assert seen[-1] > 1e-3


def test_in_lockstep_a_difference_is_found_in_every_window_anew() -> None:
    comparison, seen = followed([1e9] * 10, "always")
    assert not comparison.is_same
    assert seen[1:] == [seen[1]] * 9


def test_losses_that_are_no_numbers_on_either_side_are_said_to_be_so() -> None:
    comparison = Comparison("one", "other")
    for window, loss in enumerate((1.0, np.nan, np.nan)):
        comparison.add(record(window, loss={"loss": loss}), record(window, loss={"loss": loss}))
    assert comparison.is_same
    assert "The loss was nan on both in window 1" in comparison.verdict


def test_the_rows_of_a_long_comparison_take_little_memory_and_are_what_was_compared() -> None:
    comparison = Comparison("one", "other")
    first = record(update={f"layer.{n}": [1.0, 2.0] for n in range(50)})
    second = record(update={f"layer.{n}": [1.0, 2.0 + 1e-13 * (n + 1)] for n in range(50)})
    tracemalloc.start()
    for _ in range(40):
        comparison.add(first, second)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(comparison.rows) == 2000
    assert used / 2000 < 100  # bytes a row: a million rows are 100 MB
    window, last = list(comparison.rows)[-1]
    assert (window, last.moment, last.name, last.scale) == (0, "update", "layer.49", last.scale)
    assert last.maximum == comparison.rows.largest() == abs(2.0 + 1e-13 * 50 - 2.0)
    (summary,) = comparison.summaries()
    assert (summary.maximum, summary.relative, summary.ulp) == (last.maximum, last.relative, last.ulp)
    assert summary.where == "window 0, layer.49"
    assert comparison.curve("update") == {0: last.relative}
