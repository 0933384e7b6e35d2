"""A comparison drawn: losses, how far the runs are apart, and where. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure  # no pyplot: the user's backend and open figures stay as they are

from tbptt.comparison.comparison import Comparison
from tbptt.comparison.moments import MOMENTS

_FLOOR = 1e-18
"""What no difference at all is drawn as."""


def draw(folder: Path, comparison: Comparison) -> list[Path]:
    """Write ``losses.png``, ``differences.png`` and ``parameters.png``; the paths."""
    figures = {"losses": _losses(comparison), "differences": _curves(comparison), "parameters": _heat_map(comparison)}
    paths = []
    for name, figure in figures.items():
        if figure is not None:
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], dpi=120)
    return paths


def _losses(comparison: Comparison) -> Figure | None:
    if not comparison.losses:
        return None
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    one, other = np.array(comparison.losses).T
    axes.plot(one, linewidth=2.4, alpha=0.45, label=comparison.one)
    axes.plot(other, linewidth=0.9, linestyle="--", color="black", label=comparison.other)
    axes.set(xlabel="window", ylabel="loss", title=f"loss on {comparison.one} and {comparison.other}")
    axes.legend()
    return figure


def _curves(comparison: Comparison) -> Figure:
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    for moment in MOMENTS:
        if moment != "start" and (curve := comparison.curve(moment)):
            heights = np.clip(list(curve.values()), _FLOOR, 1e18)
            axes.plot(list(curve), heights, linewidth=1.0, label=moment)
    if comparison.parting is not None:
        axes.axvline(comparison.parting.place.window, color="tab:red", linestyle=":", label="parted")
    axes.set(xlabel="window", ylabel="largest difference / scale", yscale="log", title="how far the runs are apart")
    axes.legend(ncols=2)
    return figure


def _heat_map(comparison: Comparison) -> Figure | None:
    rows = comparison.rows.at("update")
    if not rows.window.size:
        return None
    numbers, row_of = np.unique(rows.name, return_inverse=True)
    windows, column_of = np.unique(rows.window, return_inverse=True)
    names = [comparison.rows.name(number) for number in numbers]
    table = np.full((len(names), len(windows)), np.nan)
    table[row_of, column_of] = np.clip(rows.relative, _FLOOR, 1e18)
    figure = Figure(figsize=(10, 1.6 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    top = max(1e-12, float(np.nanmax(table)))
    picture = axes.imshow(
        table,
        aspect="auto",
        interpolation="nearest",
        norm=LogNorm(1e-17, top),
        extent=(windows[0] - 0.5, windows[-1] + 0.5, len(names) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="window", title="parameters after the update: largest difference / scale")
    figure.colorbar(picture, ax=axes)
    return figure
