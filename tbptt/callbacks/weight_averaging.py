"""What averages of the weights along training share: keeping them, and swapping them in and out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from tbptt import ops
from tbptt.autodiff import stop_gradient
from tbptt.callbacks.base import Callback
from tbptt.nn.native import parameters_of
from tbptt.types import Parameter, Tensor

if TYPE_CHECKING:
    from tbptt.trainer.trainer import Trainer


class WeightAveraging(Callback):
    """Base of the averages: they live on the device beside the parameters, and become the model's weights when training ends.

    A subclass says by `share` how much of its way to the current weights an average goes, and calls `update`. Before the first
    update there are no averages, and nothing is swapped; the first one copies the weights.

    >>> import numpy as np, tbptt
    >>> from tbptt import nn, ops
    >>> class Halfway(tbptt.callbacks.WeightAveraging):
    ...     def share(self):
    ...         return 0.5
    >>> layer, averaging = nn.Linear(1, 1, bias=False), Halfway()
    >>> for value in (0.0, 8.0):
    ...     ops.assign(layer.weight, np.full((1, 1), value))
    ...     averaging.update(layer)
    >>> with averaging.averaged_weights():
    ...     float(ops.to_numpy(layer.weight)[0, 0])
    4.0
    >>> float(ops.to_numpy(layer.weight)[0, 0])
    8.0
    """

    evaluates_averages: ClassVar[bool] = False
    """Whether validation runs, and a `ModelCheckpoint` is written, with the averages in place of the weights."""

    updates: int = 0
    """How many updates the averages are made of."""

    def __init__(self) -> None:
        self._parameters: list[Parameter] = []
        self._averages: list[Tensor] = []
        self._originals: list[Tensor] = []

    def share(self) -> float:
        """How far the coming update moves the averages towards the weights: average += share·(weight − average)."""
        raise NotImplementedError(f"{type(self).__name__} must define share().")

    def update(self, module: Any) -> None:
        """Take in the module's current weights."""
        if not self.updates:
            self._parameters = parameters_of(module)
            self._averages = [_wide_copy(parameter) for parameter in self._parameters]
        else:
            share = self.share()
            for index, parameter in enumerate(self._parameters):
                average = self._averages[index]
                weight = ops.astype(stop_gradient(parameter), ops.dtype(average))
                self._averages[index] = ops.add(average, ops.multiply(ops.subtract(weight, average), share))
        self.updates += 1

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """A scope in which the model's weights are the averages; afterwards they are what they were, to the bit."""
        self._swap_in()
        try:
            yield
        finally:
            self._swap_back()

    def on_fit_start(self, trainer: Trainer, module: Any) -> None:
        """Forget the averages of an earlier run."""
        self._forget()

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        """The averages become the model's weights."""
        self._swap_in()
        self._forget()

    def on_exception(self, trainer: Trainer, module: Any, exception: BaseException) -> None:
        """Leave the model with its own weights, also in the midst of a validation."""
        self._swap_back()

    def _swap_in(self) -> None:
        if self._averages and not self._originals:
            self._originals = [_copy(parameter) for parameter in self._parameters]
            _write(self._parameters, self._averages)

    def _swap_back(self) -> None:
        if self._originals:
            _write(self._parameters, self._originals)
            self._originals = []

    def _forget(self) -> None:
        self._parameters, self._averages, self._originals, self.updates = [], [], [], 0


def _copy(parameter: Parameter) -> Tensor:
    return ops.astype(stop_gradient(parameter), ops.dtype(parameter), copy=True)


def _wide_copy(parameter: Parameter) -> Tensor:
    """In float32 where the parameter is a half, which small steps would leave where it is."""
    kind = "float32" if ops.finfo(parameter).bits < 32 else ops.dtype(parameter)
    return ops.astype(stop_gradient(parameter), kind, copy=True)


def _write(parameters: list[Parameter], values: list[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        ops.assign(parameter, value)
