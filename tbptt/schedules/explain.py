"""A plan as a table a person can read."""

from __future__ import annotations

from tbptt.schedules.base import Schedule, checked_plan


def explain(schedule: Schedule, length: int, most: int = 20) -> str:
    """The plan as text: one line a window, the middle left out where there are more than `most`."""
    windows = list(checked_plan(schedule, length))
    rows = [f"{index:>6}  {w.start:>9}  {w.stop:>9}  {w.steps:>6}" for index, w in enumerate(windows)]
    if len(rows) > most:
        left_out = len(rows) - most
        rows[most // 2 : len(rows) - most // 2] = [f"   ...  ({left_out} more)"]
    head = f"{schedule!r}: {length} steps in {len(windows)} window{'s' if len(windows) != 1 else ''}"
    return "\n".join([head, f"{'window':>6}  {'start':>9}  {'stop':>9}  {'steps':>6}", *rows])
