"""``tbptt compare``: one training script on several engines, and where their runs part."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tbptt import backends
from tbptt.comparison.comparison import Comparison, Follow
from tbptt.comparison.recording import Head, Reader, Record, Writer
from tbptt.comparison.report import write_report
from tbptt.comparison.scripts import Script, Settings
from tbptt.comparison.table import table
from tbptt.comparison.together import side_by_side
from tbptt.comparison.tolerances import Tolerance
from tbptt.errors import ConfigurationError, RecordingError, ScriptError
from tbptt.files import replacing

SAME, DIFFERENT = 0, 1


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="run a training script on several engines and say where their runs part",
        description="Run a training script once per engine, from equal seeds, in processes of their own, and compare data, states, "
        "losses, gradients, clipped gradients and parameters of every window. Exit status: 0 the same, 1 different, 2 failed.",
        epilog="The script's own arguments come last, after --:  tbptt compare train.py --steps 100 -- --width 64",
    )
    parser.add_argument("script", type=Path, help="a training script that uses tbptt.Trainer")
    parser.add_argument("--backends", metavar="A,B", help="default: all installed")
    parser.add_argument("--precision", choices=("32", "64"), help="bits of a number (default: as the script says)")
    parser.add_argument("--steps", type=_count, metavar="N", help="windows (default: until the script ends)")
    parser.add_argument("--seed", type=int, default=0, help="set before the script begins (default: 0)")
    parser.add_argument("--rtol", type=float, help="tolerated, relative to an array's largest element")
    parser.add_argument("--atol", type=float, help="tolerated besides (defaults: what rounding explains in that dtype)")
    parser.add_argument("--elements", type=_count, metavar="N", help="of each array compare at most N elements")
    parser.add_argument(
        "--lockstep",
        action="store_true",
        help="begin every window from the first run's parameters and state, so that rounding cannot grow over windows",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="keep the first engine's run, to compare with later"
    )
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with a run that was kept")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write CSV, JSON, pictures and what was printed")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it; the exit status."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = 120  # a file or a pipe has no width, and the table would be folded to 80
    names = _backends(options)
    tolerance = Tolerance(options.rtol, options.atol).checked()
    if options.record:
        if options.record.is_dir():
            raise ConfigurationError(
                f"--record needs the name of a file; received the folder {os.fspath(options.record)!r}."
            )
        options.record.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        golden = _golden(options.against, stack) if options.against else None
        settings = _settings(options, golden)
        follow: Follow = "never" if settings.elements is not None else "always" if options.lockstep else "grown"
        follows = [follow != "never" and (golden is not None or number > 0) for number in range(len(names))]
        scripts = [
            stack.enter_context(_script(options, name, settings._replace(follows=each), len(names)))
            for name, each in zip(names, follows, strict=True)
        ]
        heads = [*([golden.head] if golden else []), *(script.head for script in scripts)]
        for head in heads:
            console.print(f"{head}", highlight=False)
        labels = [*([f"the recording ({golden.head.backend})"] if golden else []), *names]
        comparisons = [Comparison(labels[0], label, tolerance, follow) for label in labels[1:]]
        runs: list[Iterable[Record]] = [*scripts]
        if options.record:
            runs[0] = stack.enter_context(_kept(scripts[0], options.record))
        try:
            windows = _walk(
                [*([golden] if golden else []), *runs], comparisons, settings.windows, scripts[-len(comparisons) :]
            )
        except (ScriptError, RecordingError):
            if any(comparison.windows for comparison in comparisons):
                console.print("One run failed. Up to there:")
                _say(console, comparisons, heads, options)
            raise
        if not windows:
            raise ConfigurationError(
                f"{options.script} trained no window with tbptt.Trainer.fit, so there is nothing to compare. Loops of one's own "
                f"are compared with tbptt.testing.assert_backends_agree or by hand."
            )
    status = _say(console, comparisons, heads, options)
    if options.record:
        console.print(f"wrote {options.record}", highlight=False, markup=False, soft_wrap=True)
    return status


def _walk(
    sources: list[Iterable[Record]], comparisons: list[Comparison], limit: int | None, scripts: list[Script]
) -> int:
    """Compare all windows, with progress shown and every window handed to who follows; their number."""
    with _progress(limit, comparisons) as count:

        def each(record: Record) -> None:
            count(record)
            for comparison, script in zip(comparisons, scripts, strict=False):
                if comparison.windows != limit:  # else it has ended, and nobody may read what is sent
                    script.send(comparison.correction(record))

        return side_by_side(sources, comparisons, limit, each)


def _say(console: Any, comparisons: list[Comparison], heads: list[Head], options: argparse.Namespace) -> int:
    for comparison, head in zip(comparisons, heads[1:], strict=True):
        if comparison.windows:
            console.print(table(comparison))
        console.print(comparison.verdict, highlight=False, markup=False, soft_wrap=True)
        if options.report:
            folder = options.report if len(comparisons) == 1 else options.report / comparison.other
            for path in write_report(folder, comparison, (heads[0], head)):
                console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    return SAME if all(comparison.is_same for comparison in comparisons) else DIFFERENT


def _backends(options: argparse.Namespace) -> list[str]:
    if not options.script.is_file():
        raise ConfigurationError(f"There is no script {os.fspath(options.script)!r}.")
    names = [name for each in (options.backends or "").split(",") if (name := each.strip())] or backends.installed()
    for name in names:
        backends.check(name)
    needed = 1 if options.against or options.record else 2
    if len(names) < needed:
        raise ConfigurationError(
            f"There is nothing to compare {' and '.join(names) or 'no engine'} with. Install another engine, name several with "
            f"--backends, or compare with a recording: --record FILE here or elsewhere, then --against FILE."
        )
    return names


def _golden(path: Path, stack: ExitStack) -> Reader:
    if not path.is_file():
        raise RecordingError(
            f"There is no recording {os.fspath(path)!r}. Make one with tbptt compare SCRIPT --record FILE."
        )
    return Reader(stack.enter_context(path.open("rb")), path)


def _settings(options: argparse.Namespace, golden: Reader | None) -> Settings:
    windows, elements = options.steps, options.elements
    if golden is not None:
        if elements is not None and elements != golden.head.elements:
            raise ConfigurationError(
                f"The recording keeps {golden.head.elements or 'all'} elements of each array, and --elements {elements} was asked "
                f"for. Leave it out."
            )
        windows = golden.head.windows if windows is None else windows
        elements = golden.head.elements
    if options.lockstep and elements is not None:
        raise ConfigurationError(
            "--lockstep hands whole parameters over and cannot be had with a part of the elements."
        )
    return Settings(options.seed, options.precision, windows, elements)


def _script(options: argparse.Namespace, name: str, settings: Settings, runs: int) -> Script:
    log = None
    if options.report:
        options.report.mkdir(parents=True, exist_ok=True)
        log = options.report / f"{name.replace(':', '.')}.log"
    threads = max(1, (os.cpu_count() or 1) // runs)
    return Script(options.script, options.script_arguments, name, settings, log, threads)


@contextmanager
def _kept(script: Script, path: Path) -> Iterator[Iterable[Record]]:
    """The script's windows, written down as they are read. The file takes its name when it is whole: a run that fails leaves the
    recording that was there, and one that is read here (``--against``) may be replaced.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        write = Writer(file, script.head)

        def written() -> Iterator[Record]:
            for record in script:
                write(record)
                yield record

        yield written()


@contextmanager
def _progress(windows: int | None, comparisons: list[Comparison]) -> Iterator[Callable[[Record], None]]:
    """How many windows have been compared, and how far apart the runs are, while somebody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("windows"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=windows)

        def count(record: Record) -> None:
            parted = next((each.parting for each in comparisons if each.parting is not None), None)
            largest = max((each.largest_before for each in comparisons), default=0.0)
            said = f"parted in window {parted.place.window}" if parted else f"largest difference {largest:.1e}"
            progress.update(task, advance=1, description=said)

        yield count


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be above 0; received {number}")
    return number
