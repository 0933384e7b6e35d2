"""What an engine promises about its own optimizers (`torch.optim`, `keras.optimizers`), as configure_optimizers may return them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tbptt.types import Number, Parameter, Tensor

if TYPE_CHECKING:
    from tbptt.protocols.backend import Backend  # which holds `Interop`, which makes these

Evaluate: TypeAlias = Callable[[bool], tuple[Tensor, Sequence[Tensor | None]]]
"""``evaluate(recompute) -> (loss, gradients)``. With False it may answer with what has been computed already, since the
parameters are still the same; with True it runs forward and gradient again."""


class NativeOptimizer(Protocol):
    """An optimizer of the engine with the face of `tbptt.optim.Optimizer`: what is computed stays the engine's business.

    An update is three pieces, as there: `rates` on the host, `update` on the engine, `advance` on the host. Made by
    ``backend.interop.native_optimizer``.
    """

    step_count: int
    """Updates done so far, by this object and by the one whose state it was given."""

    @property
    def native(self) -> Any:
        """The engine's optimizer. Whoever knows it (a learning-rate scheduler, a Keras callback) may change it at any time."""
        ...

    @property
    def backend(self) -> Backend:
        """The engine the parameters belong to."""
        ...

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, in the order gradients are expected in."""
        ...

    @property
    def param_groups(self) -> list[Any]:
        """Groups with ``"params"`` and ``"lr"``; setting ``"lr"`` takes effect at the next update."""
        ...

    @property
    def lr(self) -> float:
        """The learning rate of the coming update, if the groups have one rate; set it to a number for all of them.

        Raises:
            ConfigurationError: if the groups' rates differ; on setting, if it is negative or no number, or if the
                engine's own schedule decides.
        """
        ...

    @lr.setter
    def lr(self, rate: Number) -> None: ...

    @property
    def uses_closure(self) -> bool:
        """Whether one update evaluates the loss several times, so that it needs `step_with` (L-BFGS)."""
        ...

    def rates(self) -> list[float]:
        """The learning rate of each group for the coming update."""
        ...

    def update(self, gradients: Sequence[Tensor | None], rates: Sequence[Number | Tensor]) -> None:
        """The engine's part of an update. It reads no value, so it may be part of a compiled step.

        A parameter whose gradient is None is left alone.

        Raises:
            GradientError: if all gradients are None.
        """
        ...

    def step_with(self, evaluate: Evaluate) -> None:
        """An update by an optimizer that evaluates the loss itself, as often as it wants; once, where one is enough.

        The first evaluation is asked for with ``recompute=False``. Not counted: `advance` does that.
        """
        ...

    def advance(self) -> None:
        """The host's part of an update: count it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on from here as arrays and plain numbers, in the layout of `tbptt.optim`.

        ``{"optimizer": "Adam", "step_count": 200, "groups": [{"hyperparameters": {...}, "slots": {...}}]}``. What is
        in it are the engine's own names and numbers, so it goes back into the same optimizer of the same engine.
        """
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state_dict` gave.

        Raises:
            StructureError: if it is another optimizer's, or does not fit the parameters.
        """
        ...
