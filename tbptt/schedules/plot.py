"""A plan as a picture: what each update runs, how far its gradient reaches, and the weight of every lag."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tbptt.errors import ConfigurationError
from tbptt.schedules.base import Schedule, preview
from tbptt.schedules.lags import lag_weights
from tbptt.schedules.window import Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 40
"""Updates that are drawn at most; more would be thinner than a reader can tell apart."""

AVERAGED_STEPS = 400_000
"""About so many time steps of plans are the weights of lags the mean over, where plans differ."""

_NO_GRADIENT, _LOSS, _SEGMENT = "0.85", "tab:orange", "0.15"


def plot(schedule: Schedule, length: int, path: str | os.PathLike[str]) -> None:
    """Draw the plan that comes next for `length` steps into a picture file: PNG, SVG or PDF, by its name.

    Above, time across and updates down, at most the first 40: what runs without gradient, what the gradient flows through (darker:
    with a larger weight), what runs again, and whose losses count. Below, `lag_weights`: the mean over many plans if they differ.

    >>> import os, tempfile
    >>> from tbptt import schedules
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     schedules.Fixed(5, 12).plot(40, os.path.join(folder, "fixed.png"))
    ...     os.listdir(folder)
    ['fixed.png']

    Args:
        schedule: also a third party's. One that draws does so in a copy: it goes on as if nobody had asked.
        length: time steps of the sequence.
        path: of the file.

    Raises:
        ConfigurationError: if matplotlib is not installed.
        ScheduleError: if the plan does not hold together.
    """
    try:
        from matplotlib.figure import Figure  # no pyplot: the user's backend and open figures stay as they are
    except ImportError as error:
        raise ConfigurationError(
            "Drawing a schedule needs matplotlib, which is not installed. Install it with:  pip install 'tbptt[plot]'. "
            "The plan as text needs nothing: tbptt.schedules.explain(schedule, length)."
        ) from error
    windows = preview(schedule, length)
    rows = min(len(windows), ROWS)
    heights = (max(1.3, 0.4 + 0.18 * rows), 2.2)
    figure = Figure(figsize=(10, sum(heights) + 1.4), layout="constrained")
    plan, weights = figure.subplots(2, 1, height_ratios=heights)
    _draw_plan(plan, windows[:rows])
    _draw_weights(weights, schedule, length, windows)
    title = f"{schedule!r}: {length} steps, {len(windows)} update{'s' if len(windows) != 1 else ''}"
    figure.suptitle(title if rows == len(windows) else f"{title}, the first {rows} drawn", fontsize="medium")
    figure.savefig(path, dpi=120)


def _draw_plan(axes: Axes, windows: list[Window]) -> None:
    """A row of cells for each window."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    cells = [_cells(window) for window in windows]
    weights = [weight for row in cells for *_, weight in row if weight]
    low, high = min(weights, default=1.0), max(weights, default=1.0)
    norm, shades = LogNorm(low, max(high, low * 1.01)), ListedColormap(colormaps["Blues"](np.linspace(0.4, 1, 256)))

    def shade(weight: float | None) -> Any:
        return _NO_GRADIENT if weight is None else shades(norm(weight))

    hatched: dict[str, Any] = {"edgecolor": "white", "hatch": "////", "linewidth": 0}
    for row, (window, parts) in enumerate(zip(windows, cells, strict=True)):
        top, height = row - 0.42, 0.84
        spans = [(start, stop - start) for start, stop, _ in parts]
        axes.broken_barh(spans, (top, height), facecolors=[shade(weight) for *_, weight in parts])
        if window.run_from < window.start:
            again = [(window.run_from, window.start - window.run_from)]
            axes.broken_barh(again, (top, height), facecolor="none", **hatched)
        if window.trains:
            axes.broken_barh([(window.losses, window.stop - window.losses)], (row + 0.2, 0.22), facecolors=_LOSS)
        if window.segment is not None:
            starts = range(window.reach, window.stop, window.segment)
            axes.vlines(starts[1:], top, top + height, colors=_SEGMENT, linewidth=1, zorder=3)
    end = windows[-1].stop
    if end <= 100:  # a cell a step
        axes.vlines(range(1, end), -0.5, len(windows) - 0.5, colors="white", linewidth=0.4)
    flows = shade(low)
    key: list[tuple[bool, Any]] = [
        (bool(weights), Patch(facecolor=flows, label="gradient flows")),
        (any(w.run_from < w.start for w in windows), Patch(facecolor=flows, label="runs again", **hatched)),
        (
            any(weight is None for row in cells for *_, weight in row),
            Patch(facecolor=_NO_GRADIENT, label="no gradient"),
        ),
        (any(w.trains for w in windows), Patch(facecolor=_LOSS, label="its loss counts")),
        (
            any(w.segment is not None for w in windows),
            Line2D([], [], color=_SEGMENT, linewidth=1, label="run again from here"),
        ),
    ]
    handles = [handle for occurs, handle in key if occurs]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False, fontsize="small")
    if low < high:
        inset = axes.inset_axes((1.03, 0.0, 0.02, 0.55))
        bar = axes.figure.colorbar(ScalarMappable(norm, shades), cax=inset)
        bar.minorticks_off()
        ticks = np.geomspace(low, high, 3)
        bar.set_ticks(list(ticks), labels=[f"{tick:.3g}" for tick in ticks], fontsize="small")
        bar.set_label("weight", fontsize="small")
    axes.set(xlim=(0, end), ylim=(len(windows) - 0.5, -0.5), xlabel="time step", ylabel="update")
    _whole_ticks(axes)


def _cells(window: Window) -> list[tuple[int, int, float | None]]:
    """Start, stop and weight of its parts: that of the gradient from its last step; None where none flows."""
    weight, cells = 1.0, list[tuple[int, int, float | None]]()
    for piece in reversed(window.pieces()):
        cells.append((piece.start, piece.stop, weight if piece.recorded else None))
        weight *= piece.factor
    return cells[::-1]


def _draw_weights(axes: Axes, schedule: Schedule, length: int, windows: list[Window]) -> None:
    """The expected weight of lags, up to a little beyond the depth of nearly all gradients."""
    depths = [np.arange(window.losses, window.stop) + 1 - window.reach for window in windows]
    # Beyond that of nearly all, the few windows of a random schedule that are longer give a mean that is mostly noise.
    depth = int(np.quantile(np.concatenate([[1], *depths]), 0.9))
    lags = min(depth + depth // 4 + 1, length - length // 4 - 1)
    plans = int(np.clip(AVERAGED_STEPS // length, 2, 1000)) if _differ(schedule, length) else 1
    weights = lag_weights(schedule, length, lags, plans)
    axes.plot(weights, drawstyle="steps-mid", linewidth=1.2, marker="." if lags <= 60 else None)
    axes.axhline(1, color="0.6", linewidth=0.8, linestyle="--", zorder=0)
    axes.set(
        xlabel="lag: steps from a loss back into the past",
        ylabel="expected weight" if plans == 1 else f"mean weight, {plans} plans",
        xlim=(-0.5, lags + 0.5),
        ylim=(0, 1.12 * max(1, weights.max())),
    )
    _whole_ticks(axes, y=False)


def _differ(schedule: Schedule, length: int) -> bool:
    """Whether the schedule's next two plans are two."""
    drawing = copy.deepcopy(schedule)
    return list(drawing.plan(length)) != list(drawing.plan(length))


def _whole_ticks(axes: Axes, y: bool = True) -> None:
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis) if y else (axes.xaxis,):
        axis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
