"""Keras' weight files: ``.weights.h5`` and ``.keras`` of Keras 3 (and of Keras 2.13 on), ``.h5`` of Keras 2; read with h5py."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tbptt.errors import BackendNotInstalledError, WeightsError
from tbptt.files import replacing
from tbptt.interop.exchange import Place, check_names, places
from tbptt.interop.keras_configs import KINDS, LayerConfig, group_names, layer_configs, snake_case
from tbptt.interop.keras_matching import Source
from tbptt.interop.keras_weights import load_sources
from tbptt.interop.layouts import keras_layouts
from tbptt.nn.module import Module
from tbptt.types import Array

_NOT_LAYERS = ("optimizer", "metrics", "seed_generator", "random_generator")
"""Groups that hold no layer's weights."""
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
"""Groups in which the others are called by their classes."""
_CLASSES = {
    *map(snake_case, KINDS),
    "lstm_cell",
    "gru_cell",
    "simple_rnn_cell",
    "rnn",
    "time_distributed",
    "sequential",
}
"""Those of the groups that Keras calls by the class in a list, too."""


def load_keras_file(module: Module, path: str | os.PathLike[str], names: Mapping[str, Any] | None = None) -> None:
    """Load a file that Keras wrote: ``.weights.h5`` or ``.keras`` (Keras 3), ``.h5`` of a model or of weights alone (Keras 2).

    Layers are found as `load_keras_weights` finds them. Of a ``.keras`` file, and of a whole model's ``.h5``, the configuration is
    read too: the order of layers is then the model's, and settings that make another function of a layer (activations, a GRU's
    ``reset_after``, an epsilon that is not ours, ``go_backwards``, Bidirectional) are refused. A ``.weights.h5`` names
    layers by class and number (``lstm``, ``lstm_1``); the optimizer's state in files is not read.

    Raises:
        WeightsError: if there is no such file, it is none of Keras', or something does not fit, all of which is listed;
            nothing is loaded then.
        ConfigurationError: if `names` speaks of a module that is not there.
        BackendNotInstalledError: if h5py is not installed.
    """
    load_sources(module, read_sources(path), names, f"The weights in {os.fspath(path)!r}")


def save_keras_file(module: Module, path: str | os.PathLike[str], names: Mapping[str, Any] | None = None) -> None:
    """Write a file that a Keras model of the same layers reads with ``model.load_weights(path)``.

    ``.weights.h5`` is the format of Keras 3, read by a Sequential or functional model whose layers of each class are in our order;
    any other ``.h5`` is that of Keras 2, which Keras 3 reads too, whose layers with weights must be in our order altogether.

    Args:
        module: one layer of ours, or a model whose parameters all belong to layers Keras has.
        path: ends in ``.h5``; the file appears whole or not at all.
        names: our path to the name of the Keras layer, or to a list of names where ours has several layers.

    Raises:
        WeightsError: if the name ends otherwise, or a parameter belongs to no layer that Keras has.
        ConfigurationError: if `names` speaks of a module that is not there.
        BackendNotInstalledError: if h5py is not installed.
    """
    target = Path(path)
    if target.suffix != ".h5":
        raise WeightsError(
            f"Keras' weight files end in .weights.h5 (Keras 3) or .h5 (Keras 2); received {os.fspath(path)!r}. A .keras file "
            f"holds a whole model: make it in Keras, load the .weights.h5 into it, and save that."
        )
    found = places(module, keras_layouts)
    kinds = [_kind(place) for place in found]
    strangers = [place.key or "the module" for place, kind in zip(found, kinds, strict=True) if not kind]
    if strangers:
        raise WeightsError(
            f"Parameters of {', '.join(strangers)} belong to no layer that Keras has: no file of Keras' can hold them. Save "
            f"with module.save_weights(path), or hand them over by interop.keras_weights(module)."
        )
    with replacing(target) as partial, _h5py().File(partial, "w") as file:
        write = _write_keras_3 if target.name.endswith(".weights.h5") else _write_keras_2
        write(file, found, kinds, _layer_names(found, names))


def read_sources(path: str | os.PathLike[str]) -> list[Source]:
    """The layers in a file that have weights.

    Raises:
        WeightsError: if there is no such file, or it is none of Keras'.
        BackendNotInstalledError: if h5py is not installed.
    """
    h5py = _h5py()
    if not Path(path).is_file():
        raise WeightsError(f"There is no file {os.fspath(path)!r}. Write one with Keras: model.save(path).")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                configs = layer_configs(json.loads(archive.read("config.json")))
                with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                    return _keras_3(file, configs)
        with h5py.File(path, "r") as file:
            configs = layer_configs(json.loads(file.attrs["model_config"])) if "model_config" in file.attrs else []
            root = file.get("model_weights", file)
            if any(name in root.attrs for name in ("layer_names", "layer_names0")):
                return list(_keras_2(root, configs))
            return _keras_3(file, configs)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{os.fspath(path)!r} is no weight file of Keras, or a damaged one: {error}. Expected .weights.h5, .keras or .h5, as "
            f"model.save_weights(path) and model.save(path) write them."
        ) from error


def _keras_3(file: Any, configs: list[LayerConfig]) -> list[Source]:
    """Groups ``.../vars`` with datasets 0, 1, ...; their places in the file come from attributes and classes, not from names."""
    found = []
    for path, arrays in _groups_with_arrays(file, ""):
        owner = path.removesuffix("/cell")  # a recurrent layer's weights are its cell's
        i = next((i for i, c in enumerate(configs) if owner == c.path or owner.startswith(f"{c.path}/")), -1)
        found.append((i, _keras_3_layer(file, owner, arrays, configs[i] if i >= 0 else None)))
    return [source for _, source in sorted(found, key=lambda pair: pair[0])]


def _groups_with_arrays(group: Any, path: str) -> Iterator[tuple[str, list[Array]]]:
    for name in sorted(group, key=_natural):
        if name in _NOT_LAYERS or not hasattr(group[name], "keys"):
            continue
        if name == "vars":
            arrays = [_array(group["vars"][key]) for key in sorted(group["vars"], key=_natural)]
            if arrays:
                yield path, arrays
        else:
            yield from _groups_with_arrays(group[name], f"{path}/{name}".lstrip("/"))


def _keras_3_layer(file: Any, owner: str, arrays: list[Array], config: LayerConfig | None) -> Source:
    marked = file[f"{owner}/vars"].attrs.get("name") if f"{owner}/vars" in file else None
    alias = ".".join(part for part in owner.split("/") if part not in _CONTAINERS)
    name = config.name if config and owner == config.path else str(marked or alias)
    if config:
        return Source(name, arrays, (alias,), config.kind, config.config)
    kind = None
    if re.search(r"/(forward|backward)_layer(/|$)", owner):
        kind = "Bidirectional"
    elif owner.rpartition("/")[0].rpartition("/")[2] in _CONTAINERS:
        stem = re.sub(r"_\d+$", "", owner.rpartition("/")[2])
        kind = next((known for known in KINDS if snake_case(known) == stem), None)
    return Source(name if kind != "Bidirectional" else alias, arrays, (alias,), kind, {}, _series(owner))


def _series(owner: str) -> str:
    """The path without the numbers that count a class: what differs by these alone stands in the model's order. Two classes do not,
    nor a layer and one of a model inside, nor attributes of a subclassed model, which are written alphabetically (and those after
    "layers" in the alphabet as layers, without their names).
    """
    parts = owner.split("/")
    stems = [re.sub(r"_\d+$", "", part) for part in parts]
    counted = [before in _CONTAINERS or stem in _CLASSES for before, stem in zip(["", *parts], stems, strict=False)]
    return "/".join(stem if count else part for stem, part, count in zip(stems, parts, counted, strict=True))


def _keras_2(root: Any, configs: list[LayerConfig]) -> Iterator[Source]:
    """A group a layer, listed in the attribute ``layer_names``; its arrays in ``weight_names``: ``lstm/lstm_cell/kernel:0``."""
    for layer in [*_texts(root, "layer_names"), "top_level_model_weights"]:
        if layer not in root:
            continue
        parts: dict[
            str, list[Array]
        ] = {}  # a model inside, a stack of cells, a wrapper with two layers: several to a group
        for weight in _texts(root[layer], "weight_names"):
            if not any(word in weight for word in _NOT_LAYERS[2:]):
                parts.setdefault(weight.rpartition("/")[0], []).append(_array(root[layer][weight]))
        inside = [config for config in configs if config.top == layer]
        found = []
        for prefix, arrays in parts.items():
            inner = re.sub(r"/[^/]*_cell(_\d+)?$", "", prefix).rpartition("/")[2]
            name = layer if len(parts) == 1 else inner
            name = "" if name == "top_level_model_weights" else name
            called = (name, inner, prefix.rpartition("/")[2])
            i = next((i for i, config in enumerate(inside) if config.name in called), 0 if len(inside) == 1 else -1)
            config = inside[i] if i >= 0 else None
            kind = config.kind if config else None
            if re.search(r"(^|/)(forward|backward)_", prefix) and len(parts) > 1:
                kind = "Bidirectional"
            found.append((i, Source(name, arrays, (prefix,), kind, config.config if config else {})))
        # in a model inside, what is not trained is listed last
        yield from (source for _, source in sorted(found, key=lambda pair: pair[0]))


def _write_keras_3(file: Any, found: list[Place], kinds: list[str], names: list[str]) -> None:
    for place, kind, group, name in zip(found, kinds, group_names(kinds), names, strict=True):
        layer = file.create_group(f"layers/{group}")
        layer.create_group("vars").attrs["name"] = name
        recurrent = kind in ("LSTM", "GRU", "SimpleRNN")
        target = layer.create_group("cell/vars") if recurrent else layer["vars"]
        for i, array in enumerate(place.arrays().values()):
            target[str(i)] = array


def _write_keras_2(file: Any, found: list[Place], kinds: list[str], names: list[str]) -> None:
    file.attrs["layer_names"] = [name.encode() for name in names]
    file.attrs["backend"] = b"tensorflow"
    file.attrs["keras_version"] = b"2.0.0"  # without it readers take the file for Keras 1's, whose layout was another
    for place, kind, name in zip(found, kinds, names, strict=True):
        cell = f"/{group_names([kind])[0]}_cell" if kind in ("LSTM", "GRU", "SimpleRNN") else ""
        arrays = {f"{name}{cell}/{role}:0": array for role, array in place.arrays().items()}
        layer = file.create_group(name)
        layer.attrs["weight_names"] = [weight.encode() for weight in arrays]
        for weight, array in arrays.items():
            layer[weight] = array


def _layer_names(found: list[Place], names: Mapping[str, Any] | None) -> list[str]:
    """A name for each Keras layer: the given one, else ours."""
    given = check_names(names, sorted({place.path for place in found} | {place.key for place in found}))
    layers = []
    for place in found:
        name = given.get(place.key, given.get(place.path))
        if name is not None and not isinstance(name, str):
            name = name[[other.key for other in found if other.path == place.path].index(place.key)]
        layers.append(name or place.key.replace(".", "_") or _kind(place).lower())
    return layers


def _kind(place: Place) -> str:
    """Keras' class for a layer of ours; nothing for what Keras does not have."""
    if not place.layout.shapes.keys() & {"kernel", "embeddings", "gamma"}:
        return ""  # a module's own parameters
    return next((name for name, ours in KINDS.items() if isinstance(place.module, ours)), "")


def _texts(group: Any, name: str) -> list[str]:
    """A list of texts among the attributes, which Keras spreads over several where it is long: ``layer_names0``, ``...1``."""
    lists = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(lists)}" in group.attrs:
        lists.append(group.attrs[f"{name}{len(lists)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for part in lists for text in part]


def _array(dataset: Any) -> Array:
    array = np.asarray(dataset)
    if (
        array.dtype.kind == "V" and array.dtype.itemsize == 2
    ):  # bfloat16, which HDF5 has not: the upper half of a float32
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array


def _natural(name: str) -> tuple[Any, ...]:
    """Sorts ``lstm_10`` after ``lstm_9``."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name))


def _h5py() -> Any:
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise BackendNotInstalledError(
            "Keras' files are HDF5, which needs h5py, which is not installed. Install it with:  pip install 'tbptt[keras-files]'"
        ) from error
    return h5py
