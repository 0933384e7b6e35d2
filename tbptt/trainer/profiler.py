"""Where the time of a run went: seconds by what was done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tbptt.errors import ConfigurationError


class Profiler:
    """Measures what the trainer does, by name; ``Trainer(profiler="simple")`` makes one and prints its table at the end.

    >>> from tbptt.trainer.profiler import Profiler
    >>> profiler = Profiler()
    >>> with profiler.profile("next batch"):
    ...     pass
    >>> profiler.calls["next batch"]
    1
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    @contextmanager
    def profile(self, action: str) -> Iterator[None]:
        """Count the block's time towards an action."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[action] = self.seconds.get(action, 0.0) + time.perf_counter() - started
            self.calls[action] = self.calls.get(action, 0) + 1

    def summary(self) -> str:
        """A table, the longest first. Parts of a window's step are listed where the step is not one program."""
        from io import StringIO

        from rich.console import Console  # here: a tenth of the time `import tbptt` may take
        from rich.table import Table

        table = Table("action", "calls", "total s", "mean ms", title="Where the time went")
        for action in sorted(self.seconds, key=lambda name: -self.seconds[name]):
            total, calls = self.seconds[action], self.calls[action]
            table.add_row(action, str(calls), f"{total:.3f}", f"{1000 * total / calls:.3f}")
        text = StringIO()
        Console(file=text, width=100).print(table)
        return text.getvalue()


def as_profiler(profiler: str | Profiler | None) -> Profiler | None:
    """What the trainer's argument names.

    Raises:
        ConfigurationError: if it is none of these.
    """
    if profiler is None or isinstance(profiler, Profiler):
        return profiler
    if profiler == "simple":
        return Profiler()
    raise ConfigurationError(f"profiler= is 'simple', a Profiler, or None; received {profiler!r}.")
