"""The same script on both engines: train `char_lm` on each, lay the curves side by side, draw them.

python examples/demo.py [--steps N] [--out DIRECTORY] [arguments of char_lm ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

ENGINES = ("torch", "tensorflow")


def train(engine: str, out: Path, steps: int, arguments: list[str]) -> dict:
    """Run char_lm in a process of its own."""
    report = out / f"{engine}.json"
    script = Path(__file__).with_name("char_lm.py")
    command = [sys.executable, str(script), "--max-steps", str(steps), "--json", str(report), *arguments]
    subprocess.run(command, check=True, env={**os.environ, "TBPTT_BACKEND": engine})
    return json.loads(report.read_text())


def compare(console: Console, runs: list[dict]) -> float:
    """Print the two curves side by side; return the largest difference between their losses."""
    first, second = (run["losses"] for run in runs)
    differences = [abs(a - b) for a, b in zip(first, second, strict=True)]
    table = Table("window", *(run["backend"] for run in runs), "difference", title="loss, nats per character")
    last = len(first) - 1
    for index in sorted({0, 1, 2, 5, 10, 20, 50, *range(0, last, max(1, last // 10)), last} & set(range(last + 1))):
        table.add_row(str(index), f"{first[index]:.6f}", f"{second[index]:.6f}", f"{differences[index]:.1e}")
    for name, key in (("training", "train_loss"), ("validation", "val_loss")):
        a, b = (run[key] for run in runs)
        table.add_row(name, f"{a:.6f}", f"{b:.6f}", f"{abs(a - b):.1e}", end_section=key == "val_loss")
    table.add_row("ms per window", *(f"{1000 * run['seconds_per_window']:.1f}" for run in runs), "")
    console.print(table)
    worst = max(range(len(differences)), key=differences.__getitem__)
    console.print(f"largest difference between the engines: {differences[worst]:.2e} nats, at window {worst}")
    console.print(f"largest over the first 50 windows: {max(differences[:50]):.2e} nats")
    console.print("Single precision rounds differently on each engine, and training amplifies it; try --precision 64.")
    return differences[worst]


def draw(runs: list[dict], path: Path) -> None:
    """Both curves, and their difference on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (curves, difference) = pyplot.subplots(
        2, 1, figsize=(9, 6.5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for run, style in zip(runs, ({"linewidth": 2.5, "alpha": 0.5}, {"linewidth": 0.9, "color": "black"}), strict=True):
        label = f"{run['backend']}  ({1000 * run['seconds_per_window']:.0f} ms per window)"
        curves.plot(run["losses"], label=label, **style)
    curves.set(ylabel="loss (nats per character)", title="one script, two engines")
    curves.legend()
    first, second = (run["losses"] for run in runs)
    difference.semilogy([max(abs(a - b), 1e-9) for a, b in zip(first, second, strict=True)], linewidth=0.8, color="C3")
    difference.set(xlabel="window", ylabel="|difference|")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1600, help="windows on each engine")
    parser.add_argument("--out", type=Path, default=Path("demo-out"))
    options, arguments = parser.parse_known_args()
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    runs = []
    for engine in ENGINES:
        console.rule(f"TBPTT_BACKEND={engine} python examples/char_lm.py --max-steps {options.steps}")
        runs.append(train(engine, options.out, options.steps, arguments))
    compare(console, runs)
    draw(runs, options.out / "char_lm.png")
    console.print(f"both curves: {options.out / 'char_lm.png'}")


if __name__ == "__main__":
    main()
