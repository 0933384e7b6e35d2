"""Norms of the gradients, logged before they are clipped."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tbptt import ops, optim
from tbptt.callbacks.base import Callback
from tbptt.errors import ConfigurationError
from tbptt.nn.native import named_parameters_of
from tbptt.types import Array, Tensor

if TYPE_CHECKING:
    from tbptt.trainer.optimization import OptimizerHandle
    from tbptt.trainer.trainer import Trainer


class GradientNormMonitor(Callback):
    """Logs ``grad_norm``, over all parameters of the optimizer, and with `per_parameter` ``grad_norm/<name>`` for each.

    The norms are those of the coming update, before clipping. They are computed on the device and fetched together, once, only
    where they are logged. A second optimizer logs ``grad_norm-1``.

    >>> import tbptt
    >>> norms = tbptt.callbacks.GradientNormMonitor(per_parameter=True, every_n_windows=50)
    >>> trainer = tbptt.Trainer(max_epochs=1, truncated_bptt_steps=64, callbacks=norms)

    Args:
        norm_type: p of (Σ|g|^p)^(1/p), more than 0; ``math.inf`` for the largest |g|.
        per_parameter: also log each parameter's own norm. A parameter without gradient has none.
        every_n_windows: of the windows that end in an update, log the first and every n-th after it.

    Raises:
        ConfigurationError: if `norm_type` is not more than 0 or `every_n_windows` less than 1.
    """

    def __init__(self, norm_type: float = 2.0, per_parameter: bool = False, every_n_windows: int = 1) -> None:
        if not float(norm_type) > 0:
            raise ConfigurationError(f"norm_type is {norm_type!r}; expected a number more than 0, or math.inf.")
        if every_n_windows < 1:
            raise ConfigurationError(f"every_n_windows is {every_n_windows!r}; expected 1 or more.")
        self.norm_type = float(norm_type)
        self.per_parameter = per_parameter
        self.every_n_windows = every_n_windows
        self._updates: Counter[int] = Counter()

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        """Count from here."""
        self._updates.clear()

    def on_before_optimizer_step(
        self, trainer: Trainer, module: Any, optimizer: OptimizerHandle, optimizer_idx: int
    ) -> None:
        """Log, if it is this update's turn."""
        gradients = optimizer.gradients
        if gradients is None:  # the user's own loop has put them where the engine keeps them
            return
        self._updates[optimizer_idx] += 1
        if (self._updates[optimizer_idx] - 1) % self.every_n_windows:
            return
        name = f"grad_norm-{optimizer_idx}" if optimizer_idx else "grad_norm"
        pairs = zip(optimizer.parameters, gradients, strict=True)
        present = [(parameter, gradient) for parameter, gradient in pairs if gradient is not None]
        norms = gradient_norms([gradient for _, gradient in present], self.norm_type)
        values = {name: _total(norms, self.norm_type)}
        if self.per_parameter:
            names = {id(parameter): label for label, parameter in named_parameters_of(module)}
            for index, ((parameter, _), norm) in enumerate(zip(present, norms, strict=True)):
                values[f"{name}/{names.get(id(parameter), index)}"] = float(norm)
        trainer.log_metrics(values)


def gradient_norms(gradients: list[Tensor], norm_type: float = 2.0) -> Array:
    """The norm of each, float64 on the host, fetched in one piece.

    >>> from tbptt import ops
    >>> from tbptt.callbacks.gradient_norm import gradient_norms
    >>> gradient_norms([ops.asarray([3.0, 4.0]), ops.asarray([[-2.0]])]).tolist()
    [5.0, 2.0]
    """
    if not gradients:
        return np.zeros(0)
    norms = [ops.astype(_norm(gradient, norm_type), "float64") for gradient in gradients]
    return np.array(ops.to_numpy(ops.stack(norms)))


def _norm(gradient: Tensor, norm_type: float) -> Tensor:
    if norm_type == 2.0:
        return optim.global_norm([gradient])
    # powers of halves leave their range
    sizes = ops.abs(ops.astype(gradient, "float32") if ops.finfo(gradient).bits < 32 else gradient)
    if math.isinf(norm_type):
        return ops.max(sizes)
    return ops.pow(ops.sum(ops.pow(sizes, norm_type)), 1.0 / norm_type)


def _total(norms: Array, norm_type: float) -> float:
    """The norm of the whole, which is the norm of its parts' norms."""
    if not norms.size:
        return 0.0
    return float(norms.max() if math.isinf(norm_type) else (norms**norm_type).sum() ** (1.0 / norm_type))
