"""Plans as text and as pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from schedules.plans import Listed
from tbptt.errors import ConfigurationError, DataError, ScheduleError
from tbptt.schedules import ARTBP, Checkpointed, Fixed, RandomLength, Window, cost, explain
from tbptt.schedules.plot import plot
from tbptt.schedules.scheme import Scheme


def table(text: str) -> list[list[str]]:
    """Titles and rows, cell by cell."""
    lines = text.splitlines()[1:-1]
    titles = lines[0].split("  ")
    return [[title for title in titles if title], *(line.split() for line in lines[1:])]


def test_plain_windows_need_start_stop_and_steps() -> None:
    lines = Fixed(4).explain(10).splitlines()
    assert lines[0] == "Fixed(4): 10 steps in 3 windows"
    assert lines[1].split() == ["window", "start", "stop", "steps"]
    assert lines[-2].split() == ["2", "8", "10", "2"]
    assert lines[-1].startswith("10 steps run forward, 1 per step of the sequence; ")
    assert Fixed(10).explain(10).splitlines()[0] == "Fixed(10): 10 steps in 1 window"


def test_the_documentation_shows_what_is_printed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
    assert f"```text\n{Fixed(3, 5).explain(12)}\n```" in page


def test_columns_line_up() -> None:
    for schedule in (Fixed(3, 9), ARTBP(30, seed=0), RandomLength(seed=0), Checkpointed(100)):
        assert len({len(line) for line in schedule.explain(1000).splitlines()[1:-1] if "more" not in line}) == 1


def test_long_plans_are_left_out_in_the_middle() -> None:
    lines = Fixed(1).explain(1000).splitlines()
    assert len(lines) == 24
    assert [line.split()[0] for line in lines[11:14]] == ["9", "...", "990"]
    assert "(980 more)" in lines[12]
    assert len(explain(Fixed(1), 20).splitlines()) == 23
    five = explain(Fixed(1), 20, most=5).splitlines()
    assert [line.split()[0] for line in five[2:-1]] == ["0", "1", "2", "...", "18", "19"]
    assert "(15 more)" in five[5]


def test_an_overlap_says_where_it_runs_from_how_far_the_gradient_goes_and_what_counts() -> None:
    titles, *rows = table(Fixed(3, 7, "window", burn_in=2).explain(9))
    assert titles[4:] == ["runs from", "gradient from", "losses", "forward"]
    assert rows == [
        ["0", "0", "3", "3", "0", "2", "2", "3"],
        ["1", "3", "6", "3", "0", "2", "2..5", "6"],
        ["2", "6", "9", "3", "2", "4", "4..8", "7"],
    ]


def test_a_window_without_losses_says_so() -> None:
    titles, *rows = table(Fixed(5, 2).explain(8))  # the last window ends before its gradient would begin
    assert titles[4:] == ["gradient from", "losses"]
    assert rows[-1] == ["1", "5", "8", "3", "-", "-"]
    assert explain(Listed([Window(0, 4, losses=4)]), 4).endswith("no loss counts")


def test_weights_are_the_products_of_factors() -> None:
    windows = [Window(0, 4, factors=((1, 2.0), (3, 1.5))), Window(4, 6), Window(6, 9, factors=((7, 0.5), (8, 4.0)))]
    titles, *rows = table(explain(Listed(windows), 9))
    assert titles[-1] == "weight"
    assert [row[-1] for row in rows] == ["1..3", "1", "1..4"]


def test_rates_segments_and_slots_are_told_where_there_are_any() -> None:
    titles, *rows = table(explain(Listed([Window(0, 4), Window(4, 8, rate=0.25)]), 8))
    assert (titles[-1], [row[-1] for row in rows]) == ("rate", ["1", "0.25"])
    titles, row = table(Checkpointed(10, 3).explain(95))
    assert titles[-3:] == ["segments", "slots", "forward"]
    assert row[-3:] == ["10", "3", str(cost(Checkpointed(10, 3), 95))]
    assert table(Checkpointed(10).explain(95))[1][-3:-1] == ["10", "10"]


def test_totals_are_steps_run_and_the_mean_depth_of_a_loss() -> None:
    # Depths 1 to 3, 4 to 6, 5 to 7, 5 to 7: 57 over 12 losses; 3 + 6 + 7 + 7 steps.
    assert Fixed(3, 7).explain(12).splitlines()[-1] == (
        "23 steps run forward, 1.92 per step of the sequence; the gradient of a loss goes through 4.8 steps on average"
    )

    # Steps that warm up carry no gradient: depths 1, 1 to 4, and 1 to 5.
    assert Fixed(3, 7, "window", burn_in=2).explain(9).splitlines()[-1] == (
        "16 steps run forward, 1.78 per step of the sequence; the gradient of a loss goes through 2.6 steps on average"
    )


def test_explaining_and_counting_do_not_move_the_schedule(tmp_path: Path) -> None:
    schedule = RandomLength(9, seed=0)
    text = schedule.explain(100)
    assert schedule.explain(100) == text
    cost(schedule, 100)
    schedule.plot(100, tmp_path / "plan.png")
    plan = list(schedule.plan(100))
    assert plan == list(RandomLength(9, seed=0).plan(100))
    assert [int(row[1]) for row in table(text)[1:]] == [window.start for window in plan]


def test_a_sequence_that_cannot_be_cut_is_an_error_as_in_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one step"):
        Fixed(4).explain(0)
    for ask in (explain, cost):
        with pytest.raises(ScheduleError, match="does not tile"):
            ask(Listed([Window(1, 4)]), 4)  # type: ignore[operator]
    with pytest.raises(ScheduleError, match="does not tile"):
        plot(Listed([Window(1, 4)]), 4, tmp_path / "plan.png")


@pytest.mark.parametrize(
    ("schedule", "length"),
    [
        (Fixed(5, 12), 40), (Fixed(8, 4, burn_in=1), 40), (ARTBP(6, seed=3), 40), (RandomLength(10, seed=1), 40),
        (Checkpointed(8, 3), 40), (Fixed(20), 2000), (Fixed(4), 1), (Fixed(5, 2), 2),
    ],
    ids=repr,
)  # fmt: skip
def test_every_plan_can_be_drawn(
    schedule: Scheme, length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tbptt.schedules.plot.AVERAGED_STEPS", 2000)
    schedule.plot(length, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_the_ending_of_the_path_says_which_kind_of_picture(tmp_path: Path) -> None:
    Fixed(5).plot(20, str(tmp_path / "plan.svg"))
    assert "<svg" in (tmp_path / "plan.svg").read_text()


def test_drawing_leaves_the_users_matplotlib_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib.pyplot")]:
        monkeypatch.delitem(sys.modules, name)
    Fixed(5).plot(20, tmp_path / "plan.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigurationError, match=r"needs matplotlib.*pip install 'tbptt\[plot\]'.*explain"):
        Fixed(5).plot(20, tmp_path / "plan.png")
