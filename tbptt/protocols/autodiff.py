"""What an engine promises about gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from tbptt.types import Tensor


class Tape(Protocol):
    """One recorded forward pass. Used as ``with tape: ...``; pure, so nothing accumulates anywhere."""

    def __enter__(self) -> Tape: ...

    def __exit__(self, *exception: Any) -> None: ...

    def watch(self, tensors: list[Tensor]) -> None:
        """Record what happens to these tensors from now on, although they are no parameters.

        Called inside the ``with`` block, before they are used. The tensors themselves are left as they were when
        the block ends.
        """
        ...

    def gradient(
        self,
        targets: list[Tensor],
        sources: list[Tensor],
        output_gradients: list[Tensor | None],
        retain: bool | None = None,
    ) -> list[Tensor | None] | None:
        """Gradients of Σ ⟨target, output gradient⟩ with respect to each source, dense, in the source's dtype.

        An output gradient of None means ones, so a target that is no scalar counts as its sum. A source that no
        target depends on gives None. If no target depends on *anything* that was recorded the answer is None.
        Repeated rows of an embedding's gradient are summed: the result is a dense tensor.

        `retain` says of a persistent tape whether it will be asked again; where the engine can, the record is let go if not.
        """
        ...


class Autodiff(Protocol):
    """The module ``autodiff`` of an adapter."""

    def tape(self, persistent: bool = False) -> Tape:
        """A fresh tape. A persistent one answers `gradient` more than once."""
        ...

    def stop_gradient(self, x: Tensor) -> Tensor:
        """The same values with no past. Shares memory where the engine can."""
        ...

    def no_grad(self) -> AbstractContextManager[Any]:
        """A scope in which no tape records."""
        ...

    def detect_anomaly(self) -> AbstractContextManager[Any]:
        """A scope in which a NaN in a backward pass is an error of the engine's own that names the operation; slow.

        An engine may look at forward passes and at infinities too. In steps that run eagerly; what is compiled is not looked into.
        """
        ...
