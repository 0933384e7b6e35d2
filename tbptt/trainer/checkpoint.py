"""A module's weights, hyperparameters and the run's counters in one file: safetensors with JSON beside the tensors."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

from tbptt.errors import ConfigurationError, WeightsError
from tbptt.module.hyperparameters import Hyperparameters
from tbptt.nn import weights
from tbptt.nn.native import named_tensors_of

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
        "hparams_name": getattr(model, "hparams_name", None),
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
    weights.save(named_tensors_of(model), path, {_KEY: text})


def load(path: str | os.PathLike[str], model: Any, hooks: Any = None) -> dict[str, Any]:
    """Read the weights into the model; the rest is the answer, and ``on_load_checkpoint`` is told.

    Raises:
        WeightsError: if there is no such file, or it does not fit; nothing is loaded then.
    """
    checkpoint = read(path)
    weights.load(named_tensors_of(model), path)
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
    arguments = _init_arguments(cls, checkpoint, hyperparameters)
    try:
        module = cls(**arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{cls.__qualname__} cannot be made from the hyperparameters in {os.fspath(path)!r}, {sorted(arguments)}: {error}. "
            f"Call self.save_hyperparameters() in its __init__, or give the missing ones: "
            f"{cls.__qualname__}.load_from_checkpoint(path, name=value)."
        ) from error
    weights.load(named_tensors_of(module), path)
    module.on_load_checkpoint(checkpoint)
    return module


def _init_arguments(cls: type[Any], checkpoint: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What ``__init__`` is called with: saved hyperparameters that it takes (its base class may have saved more), those given.

    Where all of them came as one mapping or namespace they come as one again, and what is given may be an entry of it.
    """
    saved = checkpoint["hyper_parameters"]
    name: str = checkpoint.get("hparams_name") or ""
    parameters = inspect.signature(cls).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    if name in parameters:
        own = {key: value for key, value in given.items() if key in parameters}
        return {name: Hyperparameters(saved | {key: given[key] for key in given.keys() - own.keys()}), **own}
    return {key: value for key, value in saved.items() if takes_all or key in parameters} | given


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
