"""Weights from and to Keras layers: lists of arrays as ``layer.get_weights()`` gives and ``layer.set_weights()`` takes them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tbptt.errors import WeightsError
from tbptt.interop.exchange import Loading, Place, as_array, places
from tbptt.interop.keras_matching import Source, match
from tbptt.interop.layouts import keras_layouts
from tbptt.nn.module import Module

ADVICE = (
    "Build the module like the Keras model; where names and order do not say which layer is which, say it: "
    "names={'ours': 'theirs'}."
)


def load_keras_weights(module: Module, weights: Any, names: Mapping[str, Any] | None = None) -> None:
    """Load the weights of Keras layers.

    Taken are LSTM, GRU (``reset_after=True``), SimpleRNN and their cells, Dense, Embedding and LayerNormalization for our LSTM,
    GRU, RNN, Linear, Embedding and LayerNorm; a module's own parameters go as they are. Kernels are transposed, a GRU's gates
    put in our order. Lists say nothing of activations or epsilons: ours must be those of the Keras layer (files are checked).

    >>> import numpy as np
    >>> from tbptt import interop, nn, ops
    >>> linear = nn.Linear(2, 1)
    >>> interop.load_keras_weights(linear, [np.array([[1.0], [2.0]]), np.array([3.0])])
    >>> ops.to_numpy(linear.weight).tolist()
    [[1.0, 2.0]]

    Args:
        module: one layer of ours, or a model of any depth.
        weights: for one layer ``layer.get_weights()``; for one with several layers (`num_layers`) a list of such lists. For a
            model a mapping to these: ``{layer.name: layer.get_weights() for layer in keras_model.layers}``, or keyed by our paths.
        names: our path to theirs, or to a list of theirs where ours has several layers. What is not in it is matched by equal
            name, else in order by kind and shape where that leaves no choice.

    Raises:
        WeightsError: listing everything missing, unexpected, of another shape or of a kind we have not, or if it is no list of
            arrays (a layer, a path); nothing is loaded then.
        ConfigurationError: if `names` speaks of a module that is not there.
    """
    named = weights if isinstance(weights, Mapping) else {"": weights}
    sources = [source for name, value in named.items() for source in _sources(name, value)]
    load_sources(module, sources, names, "These Keras weights")


def keras_weights(module: Module) -> Any:
    """Our weights as Keras has them, in the forms that `load_keras_weights` takes: ``dense.set_weights(keras_weights(linear))``.

    >>> from tbptt import interop, nn
    >>> [array.shape for array in interop.keras_weights(nn.LSTM(2, 3))]
    [(2, 12), (3, 12), (12,)]
    >>> interop.keras_weights(nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 1))).keys()
    dict_keys(['0', '1'])

    Returns:
        For one layer the arrays for ``set_weights``; for one with several layers (`num_layers`) a list of these. For a model
        a dict of these by our path.
    """
    found: dict[str, Any] = {}
    for place in places(module, keras_layouts):
        arrays = list(place.arrays().values())
        if place.key == place.path:
            found[place.path] = arrays
        else:
            found.setdefault(place.path, []).append(arrays)
    return found[""] if set(found) == {""} else found


def load_sources(
    module: Module, sources: list[Source], names: Mapping[str, Any] | None, what: str
) -> list[tuple[Place, Source]]:
    """Match, check, load; the answer says what went where.

    Raises:
        WeightsError: listing everything that does not fit; nothing is loaded then.
    """
    loading = Loading(what, ADVICE)
    pairs, wrong = match(places(module, keras_layouts), sources, names)
    loading.faults += wrong
    for place, source in pairs if not wrong else []:
        loading.take(place, dict(zip(place.layout.shapes, source.arrays, strict=True)))
    loading.finish()
    return pairs


def _sources(name: str, value: Any) -> list[Source]:
    """One Keras layer, or several under one name; nothing for a layer without weights."""
    if isinstance(value, str | os.PathLike) or not isinstance(value, Sequence):
        raise WeightsError(
            f"The weights of {name or 'a layer'} are expected as layer.get_weights() gives them, a list of arrays, those of a "
            f"model as {{layer.name: layer.get_weights() for layer in model.layers}}; received a {type(value).__name__}. "
            f"Files are read by interop.load_keras_file(module, path)."
        )
    if value and isinstance(value[0], list | tuple):
        return [found for i, item in enumerate(value) for found in _sources(f"{name}.{i}".lstrip("."), item)]
    return [Source(name, [as_array(array) for array in value])] if value else []
