"""A comparison as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tbptt.comparison.comparison import Comparison, counted

if TYPE_CHECKING:
    from rich.table import Table


def table(comparison: Comparison) -> Table:
    """A row for each moment: the largest difference (absolute, relative to its array's scale, in units of an element's last
    place), the factor it grows by from window to window, and where it was.
    """
    from rich.table import Table

    drawn = Table(
        title=f"{comparison.one} and {comparison.other}, {comparison.windows:,} windows", title_justify="left"
    )
    drawn.add_column("moment")
    for heading in ("absolute", "relative", "ulp", "growth"):
        drawn.add_column(heading, justify="right")
    drawn.add_column("largest at")
    parted_at = comparison.parting.difference.moment if comparison.parting else None
    for row in comparison.summaries():
        growth = "" if row.growth is None else f"× {row.growth:.4f}"
        drawn.add_row(
            row.moment,
            f"{row.maximum:.1e}" if row.maximum else "0",
            f"{row.relative:.1e}" if row.relative else "0",
            counted(row.ulp),
            growth,
            row.where,
            style="bold red" if row.moment == parted_at else None,
        )
    return drawn
