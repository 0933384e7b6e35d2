"""How fast gradients fade with the lag, and the bias a truncation leaves: Aicher, Foti & Fox 2019 (arXiv:1905.07473), section 3.

φ_k is the norm of a loss' gradient with respect to the state k steps back. Beyond a lag τ it is taken to fall geometrically.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from tbptt.types import Array

Ratio: TypeAlias = Literal["least_squares", "max", "quantile"]
METHODS = ("least_squares", "max", "quantile")
_QUANTILE = 0.95


def decay_ratio(norms: Array, tau: int, method: Ratio = "least_squares") -> float:
    """φ_(k+1)/φ_k beyond lag τ; 0 if gradients are gone by then.

    >>> import numpy as np
    >>> from tbptt.schedules.decay import decay_ratio
    >>> round(decay_ratio(0.8 ** np.arange(50), tau=30), 12)
    0.8

    Args:
        norms: φ_0, φ_1, ...
        tau: the lag from which they fall geometrically.
        method: ``"least_squares"``: slope of log φ; ``"max"``: the largest mean slope from lag τ on to any later lag;
            ``"quantile"``: the 95 % quantile of the mean slopes between all pairs of later lags.
    """
    lags = np.arange(tau, len(norms))
    present = norms[lags] > 0
    lags = lags[present]
    logs = np.log(norms[lags])
    if len(lags) < 2:
        return 0.0
    if method == "least_squares":
        slope = np.polyfit(lags - lags.mean(), logs, 1)[0]
    elif method == "max":
        slope = np.max((logs[1:] - logs[0]) / (lags[1:] - lags[0]))
    else:
        later, earlier = np.tril_indices(len(lags), -1)
        slope = np.quantile((logs[later] - logs[earlier]) / (lags[later] - lags[earlier]), _QUANTILE)
    return float(np.exp(slope))


def absolute_bias(norms: Array, tau: int, ratio: float, steps: Array) -> Array:
    """A(K): a bound on what gradients beyond K steps add up to, Σ φ_i from K to τ and a geometric tail beyond.

    >>> import numpy as np
    >>> from tbptt.schedules.decay import absolute_bias
    >>> norms = 0.5 ** np.arange(20)
    >>> absolute_bias(norms, 10, 0.5, np.array([1, 2, 15])) * 2.0 ** np.array([1, 2, 15])
    array([2., 2., 2.])
    """
    if ratio >= 1:
        return np.full(len(steps), np.inf)
    from_lag = np.cumsum(norms[: tau + 1][::-1])[::-1]  # Σ φ_i from i to τ
    tail = norms[tau] * ratio / (1 - ratio)
    inside = np.minimum(steps, tau)
    beyond = norms[tau] * ratio ** np.maximum(steps - tau, 0) / (1 - ratio)
    return np.asarray(np.where(steps <= tau, from_lag[inside] + tail, beyond))


def relative_bias(norms: Array, cumulative: Array, tau: int, ratio: float, steps: Array) -> Array:
    """δ(K): the bound A(K) relative to the gradient, which is at least max over K' of the cumulative gradient to K' less A(K').

    >>> import numpy as np
    >>> from tbptt.schedules.decay import relative_bias
    >>> norms = 0.5 ** np.arange(60)
    >>> relative_bias(norms, np.cumsum(norms), 40, 0.5, np.array([1, 2, 3])).round(12)
    array([0.5  , 0.25 , 0.125])

    Args:
        norms: φ_0, φ_1, ...
        cumulative: norms of the sums of gradients with respect to the last 1, 2, ... states.
        tau, ratio: of the decay.
        steps: the K that are asked about.
    """
    every = np.arange(1, len(cumulative) + 1)
    least = np.max(cumulative - absolute_bias(norms, tau, ratio, every))
    if not least > 0:
        return np.full(len(steps), np.inf)
    return np.asarray(absolute_bias(norms, tau, ratio, steps) / least)
