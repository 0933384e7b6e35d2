"""Weights from and to torch: a ``state_dict`` of `torch.nn` layers, or of a model whose children have our names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tbptt.errors import WeightsError
from tbptt.interop.exchange import Loading, Place, as_array, check_names, places
from tbptt.interop.layouts import torch_layouts
from tbptt.nn.module import Module
from tbptt.nn.weights import faults


def load_torch_state_dict(
    module: Module, state_dict: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> None:
    """Load the weights of a torch model: ``load_torch_state_dict(ours, theirs.state_dict())``.

    Taken are `torch.nn.LSTM`, `GRU`, `RNN`, their cells, `Linear`, `Embedding` and `LayerNorm` for our layers of those names; a
    module's own parameters go as they are. Two biases of an LSTM, an RNN or a GRU's gates are summed into our one. Values take
    the dtypes of our parameters. ``batch_first`` and dropout have no weights.

    >>> import numpy as np
    >>> from tbptt import interop, nn, ops
    >>> linear = nn.Linear(2, 1)
    >>> interop.load_torch_state_dict(linear, {"weight": np.array([[1.0, 2.0]]), "bias": np.array([3.0])})
    >>> ops.to_numpy(linear.bias).tolist()
    [3.0]

    Args:
        module: one layer of ours, or a model of any depth.
        state_dict: names to torch tensors or arrays.
        names: where a module is called something else there: our path to theirs, for everything below it too.
            ``{"": "module"}`` if all their names begin with ``module.``.

    Raises:
        WeightsError: listing everything missing, unexpected, of another shape or of a kind we have not (bidirectional,
            ``proj_size``), or if it is no state dict (a model, a path, a checkpoint around one); nothing is loaded then.
        ConfigurationError: if `names` speaks of a module that is not there.
    """
    _check_is_state_dict(state_dict)
    arrays = {name: as_array(value) for name, value in state_dict.items()}
    found = [(place, torch_names(module, place, names)) for place in places(module, torch_layouts)]
    expected = {theirs[name]: shape for place, theirs in found for name, shape in place.layout.shapes.items()}
    loading = Loading(
        "The weights in this state dict",
        "Build the module like the torch model; where its parts have other names there, say which: "
        f"names={_prefix(expected, arrays)}.",
    )
    loading.faults += [
        *_refused(set(arrays) - set(expected)),
        *faults(expected, {n: a.shape for n, a in arrays.items()}, "the state dict"),
    ]
    for place, theirs in found if not loading.faults else []:
        loading.take(place, {name: arrays[full] for name, full in theirs.items()})
    loading.finish()


def torch_state_dict(
    module: Module, names: Mapping[str, str] | None = None, convert: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Our weights as torch's model of the same structure names them: ``theirs.load_state_dict(torch_state_dict(ours, ...))``.

    Our one bias becomes torch's first, its second is zero (of a GRU: zero but for the candidate).

    >>> from tbptt import interop, nn
    >>> {name: array.shape for name, array in interop.torch_state_dict(nn.RNN(1, 2)).items()}
    {'weight_ih_l0': (2, 1), 'weight_hh_l0': (2, 2), 'bias_ih_l0': (2,), 'bias_hh_l0': (2,)}

    Args:
        module: one layer of ours, or a model of any depth.
        names: as in `load_torch_state_dict`.
        convert: made of each array; ``convert=torch.from_numpy`` gives what torch's ``load_state_dict`` takes.

    Raises:
        ConfigurationError: if `names` speaks of a module that is not there.
    """
    state: dict[str, Any] = {}
    for place in places(module, torch_layouts):
        theirs = torch_names(module, place, names)
        state |= {theirs[name]: array for name, array in place.arrays().items()}
    return {name: convert(array) if convert else array for name, array in state.items()}


def torch_names(module: Module, place: Place, names: Mapping[str, str] | None) -> dict[str, str]:
    """The full name in a state dict of each array of a place, by its name in the layer."""
    given = check_names(names, [path for path, _ in module.named_modules()])
    prefix = place.path
    above = [path for path in given if path in ("", prefix) or prefix.startswith(f"{path}.")]
    if above:
        longest = max(above, key=len)
        rest = prefix[len(longest) :].lstrip(".")
        prefix = ".".join(part for part in (given[longest], rest) if part)
    return {name: f"{prefix}.{name}".lstrip(".") for name in place.layout.shapes}


def _check_is_state_dict(value: Any) -> None:
    expected = "Expected is what theirs.state_dict() gives, names to tensors;"
    if isinstance(value, str | os.PathLike):
        raise WeightsError(
            f"{expected} received a path, {os.fspath(value)!r}. Read it: torch.load(path, weights_only=True)."
        )
    if not isinstance(value, Mapping):
        kind = type(value)
        raise WeightsError(
            f"{expected} received a {kind.__module__}.{kind.__name__}. Of a torch model hand over model.state_dict()."
        )
    inside = next((name for name, entry in value.items() if isinstance(entry, Mapping)), None)
    if inside is not None:
        raise WeightsError(
            f"{expected} received a mapping of {', '.join(map(repr, value))}, and {inside!r} is one itself. Hand over the entry "
            f"that is the model's: checkpoint[{inside!r}]."
        )


def _prefix(expected: Mapping[str, Any], received: Mapping[str, Any]) -> str:
    """What to say of other names, which may be ours behind a prefix: DataParallel's ``module.``, torch.compile's ``_orig_mod.``."""
    first = next(iter(received), "").partition(".")[0]
    return f"{{'': {first!r}}}" if {f"{first}.{name}" for name in expected} == set(received) else "{'ours': 'theirs'}"


def _refused(names: Iterable[str]) -> list[str]:
    """What no layer of ours computes, once for each torch layer that has it."""
    kinds = {
        r"(.*?)\.?weight_ih_l\d+_reverse": "is bidirectional: it reads the future, and no state can be carried backwards",
        r"(.*?)\.?weight_hr_l\d+": "has a proj_size: its h is a projection, which no layer of ours has",
        r"(.*?)\.?(?:parametrizations\..+|weight\w*_(?:g|orig))": "computes its weights from others (weight_norm, spectral_norm, "
        "pruning): make them plain before, with the remove_... function of what was applied",
    }
    found = {
        f"refused: {match[1] or 'the layer'} {reason}"
        for pattern, reason in kinds.items()
        for name in names
        if (match := re.fullmatch(pattern, name))
    }
    return sorted(found)
