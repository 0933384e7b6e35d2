"""A comparison as files: every difference as CSV, the outcome as JSON, pictures."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tbptt.comparison.comparison import Comparison
from tbptt.comparison.recording import Head

_COLUMNS = ("window", "moment", "name", "max_absolute", "max_relative", "max_ulp", "scale", "allowed", "beyond")


def write_report(folder: Path, comparison: Comparison, heads: tuple[Head, Head]) -> list[Path]:
    """Write ``differences.csv``, ``summary.json`` and, if matplotlib is there, pictures; the paths of all.

    Args:
        folder: is made if it is not there.
        comparison: with at least one window.
        heads: what the two runs were run on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "differences.csv", folder / "summary.json"]
    with paths[0].open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for window, each in comparison.rows:
            numbers = (each.maximum, each.relative, each.ulp, each.scale, each.allowed)
            writer.writerow((window, each.moment, each.name, *numbers, int(each.is_beyond)))
    paths[1].write_text(json.dumps(_plain(_summary(comparison, heads)), indent=2) + "\n")
    try:
        from tbptt.comparison.pictures import draw
    except ImportError:
        return paths
    return paths + draw(folder, comparison)


def _summary(comparison: Comparison, heads: tuple[Head, Head]) -> dict[str, Any]:
    parting = comparison.parting
    return {
        "verdict": "same" if comparison.is_same else "different",
        "said": comparison.verdict,
        "windows": comparison.windows,
        "runs": [asdict(head) for head in heads],
        "first_difference": None
        if parting is None
        else {"place": asdict(parting.place), **parting.difference._asdict(), "relative": parting.difference.relative},
        "largest_before": comparison.largest_before,
        "moments": [row._asdict() for row in comparison.summaries()],
        "losses": comparison.losses,
    }


def _plain(value: Any) -> Any:
    """With texts for what JSON has no numbers for."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
