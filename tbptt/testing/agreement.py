"""One training on several engines, and an assertion that it is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import tbptt
from tbptt import backends, dtypes
from tbptt.comparison import Comparison, EnoughWindows, Record, Recorder, Tolerance
from tbptt.errors import ConfigurationError
from tbptt.nn.native import backend_of_model


def assert_backends_agree(
    build: Callable[[], Any],
    data: Any,
    steps: int | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    *,
    backends: Sequence[str] | None = None,
    seed: int = 0,
    precision: str = "64-true",
    lockstep: bool = False,
    **trainer: Any,
) -> Comparison:
    """Train the same thing on each engine, and compare data, states, losses, gradients and parameters of every window.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, optim
    >>> from tbptt.testing import assert_backends_agree
    >>> class Echo(tbptt.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn = nn.GRU(1, 1)
    ...     def training_step(self, batch, batch_idx, hiddens):
    ...         outputs, hiddens = self.rnn(batch, hiddens)
    ...         return nn.functional.mse_loss(outputs, batch), hiddens
    ...     def configure_optimizers(self):
    ...         return optim.Adam(self.parameters(), lr=1e-2)
    >>> comparison = assert_backends_agree(Echo, [np.ones((4, 20, 1))], steps=6, truncated_bptt_steps=5)
    >>> comparison.windows
    6

    Args:
        build: makes the model, on the engine that is current; called once per engine, after the seed is set.
        data: batches, as for `Trainer.fit`; or a function that gives them, for what can be gone through only once.
        steps: windows to train on, through the data as often as it takes; None: through it once.
        rtol, atol: tolerated are differences of ``atol + rtol · scale``, the scale of an array being its largest magnitude; None
            for what rounding explains (`tbptt.comparison.Tolerance`).
        backends: which engines; all installed if None. The first is what the others are compared with.
        seed: of everything drawn.
        precision: of the trainer; differences of ``"64-true"`` are rounding and nothing else.
        lockstep: begin every window from the first engine's parameters and state, so that rounding cannot grow: for chaotic
            settings (high learning rates, plain RNNs) and long runs in 32 bits.
        trainer: further arguments of `Trainer`: ``truncated_bptt_steps``, ``state_carry``, ``gradient_clip_val``, ... Every engine
            gets copies of its own: a schedule that draws, or a callback that counts, begins anew.

    Returns:
        The comparison with the last engine.

    Raises:
        AssertionError: naming the first difference: window, moment, parameter, worst element, both values.
        ConfigurationError: if there are fewer than two engines, the data can be gone through only once, or `build` makes a model of
            another engine than the current one.
    """
    __tracebackhide__ = True
    names = _names(backends)
    if isinstance(data, Iterator):
        raise ConfigurationError(
            f"The data is a {type(data).__name__}, which is used up after one engine. Give a list, a stream, or a function that "
            f"makes it."
        )
    first, *others = names
    records: list[Record] = []
    run = partial(_run, build=build, data=data, steps=steps, seed=seed, precision=precision, options=trainer)
    run(first, write=records.append)
    comparison = Comparison(first, first)
    for name in others:
        comparison = Comparison(first, name, Tolerance(rtol, atol), "always" if lockstep else "grown")
        beside = _Beside(comparison, records)
        run(name, write=beside.write, follow=beside.corrections())
        beside.end()
        assert comparison.is_same, comparison.verdict
    return comparison


class _Beside:
    """A run that is compared with one that has been, window by window, and goes on from that one's states where it must."""

    def __init__(self, comparison: Comparison, records: list[Record]) -> None:
        self._comparison, self._records, self._windows = comparison, records, 0

    def write(self, record: Record) -> None:
        """Take the next window."""
        if self._windows < len(self._records):
            self._comparison.add(self._records[self._windows], record)
        self._windows += 1

    def corrections(self) -> Iterator[Record]:
        """What to go on from after each window."""
        while self._windows <= len(self._records):
            yield self._comparison.correction(self._records[self._windows - 1])

    def end(self) -> None:
        """There are no more windows."""
        if self._windows != len(self._records):
            self._comparison.end(one_ended=self._windows > len(self._records))


def _names(asked: Sequence[str] | None) -> list[str]:
    names = backends.installed() if asked is None else list(asked)
    if len(names) < 2:
        raise ConfigurationError(f"Two engines are needed to compare them; there is {', '.join(names) or 'none'}.")
    for name in backends.in_order(names):
        backends.load(name)
    return names


def _run(
    name: str,
    *,
    build: Callable[[], Any],
    data: Any,
    steps: int | None,
    seed: int,
    precision: str,
    options: dict[str, Any],
    write: Callable[[Record], Any],
    follow: Iterable[Record] | None = None,
) -> None:
    options = copy.deepcopy(options)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    length = {"max_epochs": 1 if steps is None else None, "max_steps": -1 if steps is None else _NO_END}
    with (
        backends.use_backend(name),
        dtypes.dtype_scope("float64" if precision == "64-true" else dtypes.default_dtype()),
    ):
        tbptt.seed_everything(seed)
        model = build()
        _check(name, model)
        trainer = tbptt.Trainer(**{**length, **quiet, "precision": precision, **options})
        trainer.callbacks.append(Recorder(write, steps, follow=follow))
        with suppress(EnoughWindows):
            trainer.fit(model, data() if callable(data) else data)


def _check(name: str, model: Any) -> None:
    wanted, found = backends.current_backend().name, backend_of_model(model).name
    if found != wanted:
        raise ConfigurationError(
            f"build() made a {type(model).__name__} that belongs to {found}, while it was to be trained on {name}. Make the model "
            f"of tbptt.nn and tbptt.ops, which follow the current engine, or let build() ask tbptt.current_backend().name which of "
            f"several models to make."
        )


_NO_END = 2**62
"""More optimizer steps than come: the recorder ends the run."""
