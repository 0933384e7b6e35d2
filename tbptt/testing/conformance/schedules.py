"""`tbptt.schedules.Schedule` as tests. They need no engine."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import pytest

from tbptt.errors import DataError, ScheduleError
from tbptt.schedules import Schedule, Window


class ScheduleConformance:
    """What a schedule promises, of any length of sequence. All that its author writes, in a module that pytest collects:

        from tbptt.testing import ScheduleConformance

        class TestMine(ScheduleConformance):
            schedule = MySchedule(20)

    A class whose schedules are drawn or many may define `make` instead. Each rule of a plan has a test of its own, so that what
    fails says what is wrong.

    Attributes:
        schedule: what is tested; the tests work on copies.
        lengths: the sequences that are planned: every number of steps up to 40, which should be beyond two windows, and some more.
    """

    schedule: ClassVar[Schedule]
    lengths: ClassVar[Sequence[int]] = (*range(1, 41), 64, 100, 257)

    def make(self) -> Schedule:
        """A schedule that has planned nothing yet."""
        return copy.deepcopy(self.schedule)

    # -------------------------------------------------------------------------------------------- time

    def test_it_is_a_schedule(self) -> None:
        """An object with the three methods; no base class is needed."""
        assert isinstance(self.make(), Schedule)

    def test_a_plan_is_made_of_windows(self) -> None:
        """Whose steps are whole numbers."""
        for length, plan in self._plans():
            for window in plan:
                assert isinstance(window, Window), f"of {length} steps: {window!r} is no tbptt.schedules.Window"
                numbers = (window.start, window.stop, window.run_from, window.reach, window.losses, *window.keep)
                assert all(isinstance(number, int) for number in numbers), f"of {length} steps: {window!r}"

    def test_no_window_is_empty(self) -> None:
        """It has at least one step."""
        self._assert_windows(lambda window, length: window.start < window.stop)

    def test_every_step_is_in_a_window(self) -> None:
        """There is no gap, and none is left at the end; unless ends are dropped, or the plan begins at its `position`."""
        for length, plan in self._plans():
            covered = {step for window in plan for step in range(window.start, window.stop)}
            end = max(covered, default=0) + 1 if self._drops_ends() else length
            missing = sorted({*range(end)} - covered)
            assert not missing, f"of {length} steps, {missing} are in no window of {plan}"

    def test_no_step_is_in_two_windows(self) -> None:
        """It would be trained on twice."""
        for length, plan in self._plans():
            steps = [step for window in plan for step in range(window.start, window.stop)]
            twice = sorted({step for step in steps if steps.count(step) > 1})
            assert not twice, f"of {length} steps, {twice} are in several windows of {plan}"

    def test_windows_come_in_the_order_of_time(self) -> None:
        """Each starts after the one before did."""
        for length, plan in self._plans():
            for before, after in pairwise(plan):
                assert before.start < after.start, f"of {length} steps: {after} comes after {before}"

    def test_no_window_leaves_the_sequence(self) -> None:
        """Neither before its first step nor past its last."""
        self._assert_windows(lambda window, length: window.start >= 0 and window.stop <= length)

    @pytest.mark.parametrize("length", [0, -1])
    def test_a_sequence_without_steps_is_a_data_error(self, length: int) -> None:
        """There is nothing to cut."""
        with pytest.raises(DataError):
            list(self.make().plan(length))

    # -------------------------------------------------------------------------------------------- reach, losses, states

    def test_the_gradient_reaches_no_further_back_than_the_run(self) -> None:
        """Nothing is recorded of what does not run: run_from <= reach <= stop."""
        self._assert_windows(lambda window, length: window.run_from <= window.reach <= window.stop)

    def test_no_loss_counts_where_no_gradient_flows(self) -> None:
        """The losses' first step is reach or later, and at most stop, for none."""
        self._assert_windows(lambda window, length: min(window.reach, window.stop) <= window.losses <= window.stop)

    def test_a_run_begins_where_its_window_does_or_where_a_state_was_kept(self) -> None:
        """The state before a run's first step is at hand: kept by an earlier window, and by no run since left behind."""
        for length, plan in self._plans():
            kept = {0}
            for window in plan:
                at_hand = window.run_from == window.start or (
                    window.run_from < window.start and window.run_from in kept
                )
                assert at_hand, f"of {length} steps: {window} runs from {window.run_from}; kept are {sorted(kept)}"
                kept = {step for step in kept if step >= window.run_from} | set(window.keep)

    def test_a_window_keeps_states_of_its_own_steps(self) -> None:
        """From start to ``stop - 1``."""
        self._assert_windows(lambda window, length: all(window.start <= s < window.stop for s in window.keep))

    # -------------------------------------------------------------------------------------------- saving

    def test_a_state_is_plain_enough_for_a_json_file(self) -> None:
        """Numbers, strings, lists, dicts; before, in the middle of and after a plan."""
        for schedule in self._walked():
            state = schedule.state_dict()
            assert json.loads(json.dumps(state)) == state

    def test_the_same_state_gives_the_same_plans(self) -> None:
        """The generator that draws is in the state: nothing comes from a global one."""
        first = self.make()
        list(first.plan(self._length))
        second = self._loaded(first)
        for length in (self._length, self._length // 2 or 1, self._length):
            assert list(second.plan(length)) == list(first.plan(length))

    def test_what_is_saved_in_the_middle_goes_on_with_the_same_windows(self) -> None:
        """After any number of windows, and so do the plans that follow. A schedule that has no `position` begins anew."""
        fresh = self.make()
        whole = list(self._loaded(fresh).plan(self._length))
        for done in range(len(whole) + 1):
            running = self._loaded(fresh)
            plan = iter(running.plan(self._length))
            assert [next(plan) for _ in range(done)] == whole[:done]
            if done < len(whole) and not hasattr(running, "position"):
                continue
            other = self._loaded(running)
            if done < len(whole):
                assert list(other.plan(self._length)) == whole[done:] == list(plan), f"after {done} windows"
            else:
                assert list(plan) == []
            for _ in range(2):
                assert list(other.plan(self._length)) == list(running.plan(self._length)), f"after {done} windows"

    def test_its_position_is_where_the_next_plan_begins(self) -> None:
        """At the first step, or where the state that was loaded had stopped."""
        for schedule in self._walked():
            other = self._loaded(schedule)
            begin = getattr(other, "position", 0)
            assert next(iter(other.plan(self._length))).start == begin

    def test_a_plan_that_is_given_up_is_not_gone_on_with(self) -> None:
        """The next one begins at the first step."""
        schedule = self.make()
        next(iter(schedule.plan(self._length)))
        assert next(iter(schedule.plan(self._length))).start == 0

    def test_a_state_of_another_kind_of_schedule_is_refused(self) -> None:
        """By a ScheduleError, and nothing has changed."""
        schedule = self.make()
        before = schedule.state_dict()
        with pytest.raises(ScheduleError):
            schedule.load_state_dict({"kind": "a schedule of somebody else"})
        assert schedule.state_dict() == before

    def test_a_copy_plans_without_moving_the_original(self) -> None:
        """As explain and cost do, which look ahead."""
        schedule = self.make()
        before = schedule.state_dict()
        looked_ahead = list(copy.deepcopy(schedule).plan(self._length))
        assert schedule.state_dict() == before
        assert list(schedule.plan(self._length)) == looked_ahead

    # -------------------------------------------------------------------------------------------- what it may have besides

    def test_evaluation_runs_in_windows_of_some_steps(self) -> None:
        """`evaluation_steps`, where there is one."""
        steps = getattr(self.make(), "evaluation_steps", 1)
        assert isinstance(steps, int) and steps >= 1, steps

    @pytest.mark.parametrize("rows", [1, 2, 7])
    def test_rows_are_ahead_of_the_first_by_whole_steps(self, rows: int) -> None:
        """`shifts`, where there is one."""
        shifts = list(getattr(self.make(), "shifts", lambda rows: [0] * rows)(rows))
        assert len(shifts) == rows and shifts[0] == 0, shifts
        assert all(isinstance(shift, int) and shift >= 0 for shift in shifts), shifts

    # -------------------------------------------------------------------------------------------- helpers

    @cached_property
    def _length(self) -> int:
        """Of the sequence that is looked at closely."""
        return max(length for length, _ in self._plans() if length <= 64)

    def _drops_ends(self) -> bool:
        return bool(getattr(self.make(), "drop_last", False))

    def _plans(self) -> Iterator[tuple[int, list[Window]]]:
        """Every length with its plan; without those that are too short for a schedule that drops what is short."""
        for length in self.lengths:
            try:
                yield length, list(self.make().plan(length))
            except DataError:
                if not self._drops_ends():
                    raise

    def _walked(self) -> Iterator[Schedule]:
        """Schedules in all their moods: new, after each window of a plan, and after the plan."""
        whole = len(list(self.make().plan(self._length)))
        for done in range(whole + 1):
            schedule = self.make()
            plan = iter(schedule.plan(self._length))
            for _ in range(done):
                next(plan)
            yield schedule

    def _loaded(self, schedule: Schedule) -> Schedule:
        """Another one with its state, which has been through a JSON file."""
        other = self.make()
        other.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        return other

    def _assert_windows(self, holds: Callable[[Window, int], bool]) -> None:
        for length, plan in self._plans():
            for window in plan:
                assert holds(window, length), f"of {length} steps: {window}"
