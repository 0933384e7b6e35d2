"""What may be logged, as plain Python: metrics as numbers, hyperparameters as JSON or as one flat level."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tbptt.backends import owner_of
from tbptt.errors import ConfigurationError


def scalars(metrics: Mapping[str, Any]) -> dict[str, int | float]:
    """Every metric as a Python number; all of them are looked at before any is kept.

    >>> import numpy as np
    >>> scalars({"epoch": np.int64(2), "loss": np.float32(0.5)})
    {'epoch': 2, 'loss': 0.5}

    Raises:
        ConfigurationError: for a value that is no scalar number.
    """
    return {str(name): _scalar(name, value) for name, value in metrics.items()}


def _scalar(name: str, value: Any) -> int | float:
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):  # NumPy's floats too
        return float(value)
    shape, owner = tuple(getattr(value, "shape", ())), owner_of(value)
    try:
        if shape or isinstance(value, str):  # one-element arrays and "0.5" convert on some engines and versions only
            raise TypeError("not a scalar number")
        return float(value if owner is None else owner.autodiff.stop_gradient(value))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The metric {name!r} cannot be logged. Expected a number or a scalar tensor; received a {type(value).__name__}"
            f"{f' of shape {shape}' if shape else f', {value!r}'} ({error}). Log its mean or its sum, "
            f"and settings with log_hyperparams."
        ) from error


def checked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The hyperparameters themselves.

    Raises:
        ConfigurationError: if they are no mapping.
    """
    if not isinstance(params, Mapping):
        raise ConfigurationError(
            f"log_hyperparams expected a mapping of names to values; received a {type(params).__name__}. "
            f"Pass a dict; of an argparse.Namespace, vars(namespace)."
        )
    return params


def plain(value: Any) -> Any:
    """The value as what strict JSON can say; anything else as its text.

    >>> plain({"lr": 1e-3, "betas": (0.9, float("inf")), "schedule": range(3)})
    {'lr': 0.001, 'betas': [0.9, 'inf'], 'schedule': 'range(0, 3)'}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value)


def flat(params: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Nested hyperparameters as one level, names joined by ``/``; what is neither number nor text becomes its text.

    >>> flat({"optimizer": {"lr": 0.1, "betas": (0.9, 0.99)}, "clip": None})
    {'optimizer/lr': 0.1, 'optimizer/betas': '[0.9, 0.99]', 'clip': 'None'}
    """
    return dict(_leaves(plain(params), ""))


def _leaves(params: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in params.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}/")
        else:
            yield path + name, value if isinstance(value, bool | int | float | str) else str(value)
