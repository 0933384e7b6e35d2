"""What an engine promises about compiling the pure window step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Compiled(Protocol):
    """A compiled function, and what became of it."""

    def __call__(self, *arguments: Any) -> Any:
        """Call it with trees of tensors; the answer is a tree of tensors."""
        ...

    @property
    def road(self) -> str:
        """How it runs, e.g. ``"tf.function with XLA"`` or ``"eager"``; where not every call runs alike, which runs how and why."""
        ...

    @property
    def traces(self) -> int:
        """How often the Python function was traced (eager: 0)."""
        ...

    @property
    def bakes_numbers(self) -> bool:
        """Whether a Python number among the arguments becomes part of the program, so that a new one means a new trace."""
        ...


class Compilation(Protocol):
    """The module ``compilation`` of an adapter."""

    def compile(self, function: Callable[..., Any], mode: bool | str, name: str) -> Compiled:
        """Turn a function of trees of tensors into the engine's compiled form.

        `mode` is ``"auto"`` (what is best on this engine by default), True (compile), or False (run as it is).
        Where the best form cannot be had, one warning that says why, and the next best.

        An engine that makes a program for each shape makes a handful for arguments that differ in the lengths of their axes
        alone, however many lengths come: one more program then serves any length, and in it ``x.shape`` holds None for an axis
        whose length has differed (`tbptt.ops.shape` gives a tensor). Lengths that stay may be given a program of their own later.
        """
        ...

    def set_deterministic(self, enabled: bool, warn_only: bool = False) -> None:
        """Have every operation give the same bits for the same inputs, in this process from here on, or no longer ask for it.

        An operation that cannot is an error; with `warn_only` a warning, on engines that can warn.
        An engine may not be able to go back: a request that has been made is then kept.
        """
        ...

    def set_float32_matmul_precision(self, precision: str) -> None:
        """Let matrix products of float32, those in recurrent kernels too, be computed in float32 (``"highest"``), or on devices
        that are faster so in a shorter format such as TF32 (``"high"``), in this process from here on.

        ``"highest"`` holds from the moment an adapter is imported: engines differ in what they do unless they are told.
        """
        ...

    def is_tracing(self) -> bool:
        """Whether Python is being traced now, so that values cannot be read."""
        ...
