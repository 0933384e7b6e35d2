"""A module's weights, hyperparameters and the run's counters in one file: safetensors with JSON beside the tensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tbptt import nn
from tbptt.errors import ConfigurationError, WeightsError
from tbptt.nn import weights

_KEY = "tbptt_checkpoint"


def save(path: str | os.PathLike[str], model: Any, hooks: Any, counters: dict[str, int]) -> None:
    """Write a checkpoint; it appears whole or not at all.

    Raises:
        ConfigurationError: if a hook added something that is not made of numbers, strings, lists and dicts.
    """
    checkpoint: dict[str, Any] = {
        **counters,
        "module": type(model).__qualname__,
        "hyper_parameters": _plain(dict(getattr(model, "hparams", {}) or {})),
    }
    hooks("on_save_checkpoint", checkpoint)
    try:
        text = json.dumps(checkpoint)
    except TypeError as error:
        raise ConfigurationError(
            f"on_save_checkpoint put something into the checkpoint that JSON cannot hold: {error}. Expected numbers, strings, "
            f"lists and dicts; convert arrays with .tolist()."
        ) from error
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    weights.save(nn.native.named_tensors_of(model), path, {_KEY: text})


def load(path: str | os.PathLike[str], model: Any, hooks: Any = None) -> dict[str, Any]:
    """Read the weights into the model; the rest is the answer, and ``on_load_checkpoint`` is told.

    Raises:
        WeightsError: if there is no such file, or it does not fit; nothing is loaded then.
    """
    checkpoint = read(path)
    weights.load(nn.native.named_tensors_of(model), path)
    if hooks is not None:
        hooks("on_load_checkpoint", checkpoint)
    return checkpoint


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a checkpoint holds besides weights.

    Raises:
        WeightsError: if it is none.
    """
    text = weights.metadata(path).get(_KEY)
    if text is None:
        raise WeightsError(
            f"{os.fspath(path)!r} is a weight file, not a checkpoint: it holds no hyperparameters or counters. Make the module "
            f"and call module.load_weights(path), or save with trainer.save_checkpoint(path)."
        )
    return json.loads(text)  # type: ignore[no-any-return]


def load_module(cls: type[Any], path: str | os.PathLike[str], hyperparameters: dict[str, Any]) -> Any:
    """A module of that class from a checkpoint (`Module.load_from_checkpoint`)."""
    checkpoint = read(path)
    arguments = {**checkpoint["hyper_parameters"], **hyperparameters}
    try:
        module = cls(**arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{cls.__qualname__} cannot be made from the hyperparameters in {os.fspath(path)!r}, {sorted(arguments)}: {error}. "
            f"Call self.save_hyperparameters() in its __init__, or give the missing ones: "
            f"{cls.__qualname__}.load_from_checkpoint(path, name=value)."
        ) from error
    weights.load(nn.native.named_tensors_of(module), path)
    module.on_load_checkpoint(checkpoint)
    return module


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The entries that JSON can hold; a layer or an array given as an argument is to be given again when loading."""
    kept = {}
    for name, value in values.items():
        try:
            json.dumps(value)
        except TypeError:
            continue
        kept[name] = value
    return kept
