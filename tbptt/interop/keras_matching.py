"""Which Keras layer is which layer of ours: by a name that was given, by equal names, else in order by kind and shape.

Nothing is guessed: where several Keras layers could be one of ours and neither names nor order say which, both sides are listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tbptt.interop.exchange import Place, check_names
from tbptt.interop.keras_configs import KINDS, setting_faults
from tbptt.nn.weights import faults
from tbptt.types import Array


class Source(NamedTuple):
    """One Keras layer's arrays, in the order of its ``get_weights()``."""

    name: str
    arrays: Sequence[Array]
    aliases: tuple[str, ...] = ()
    """further names it may be called by: its place in the file"""
    kind: str | None = None
    """Keras' class, where it is known"""
    config: Mapping[str, Any] = {}
    """the layer's settings, where they are known"""
    series: str = ""
    """among those of one series it stands in the model's order"""

    def answers_to(self, name: str) -> bool:
        """Whether this is one of its names."""
        return name == self.name or name in self.aliases


def match(
    places: list[Place], sources: list[Source], names: Mapping[str, Any] | None
) -> tuple[list[tuple[Place, Source]], list[str]]:
    """Pairs of our layers and Keras', and what is wrong: with the matching, else with the shapes and settings of the pairs."""
    places = list(places)
    given = check_names(names, sorted({place.path for place in places} | {place.key for place in places}))
    pairs, wrong = _by_given_names(places, sources, given)
    for place in [p for p in places if not _has(pairs, p)]:
        named = [source for source in sources if source.answers_to(place.key) and not _has(pairs, source)]
        if len(named) == 1:
            pairs.append((place, named[0]))
    pairs += _in_order([p for p in places if not _has(pairs, p)], [s for s in sources if not _has(pairs, s)])
    left, over = [p for p in places if not _has(pairs, p)], [s for s in sources if not _has(pairs, s)]
    if len(left) == len(over) == 1 and _is_kind(left[0], over[0]):
        pairs.append((left.pop(), over.pop()))  # what does not fit is said more exactly of a pair
    wrong += [fault for source in over for fault in setting_faults(source.name, None, source.kind, source.config)]
    wrong += [f"missing: {_describe(place)}" for place in left] + [
        f"unexpected: {_describe(source)}" for source in over
    ]
    for place, source in pairs:
        wrong += _pair_faults(place, source)
    return pairs, wrong


def _by_given_names(
    places: list[Place], sources: list[Source], given: Mapping[str, Any]
) -> tuple[list[tuple[Place, Source]], list[str]]:
    pairs: list[tuple[Place, Source]] = []
    wrong: list[str] = []
    for path, theirs in given.items():
        ours = [place for place in places if path in (place.path, place.key)]
        listed = [theirs] if isinstance(theirs, str) else list(theirs)
        if len(listed) != len(ours):
            wrong.append(f"names: {path} is {len(ours)} Keras layers, and names lists {len(listed)}: {listed}")
            continue
        for place, name in zip(ours, listed, strict=True):
            called = [source for source in sources if source.answers_to(name)]
            if len(called) == 1:
                pairs.append((place, called[0]))
            else:
                wrong.append(f"names: {path} is to be {name!r}, and {len(called)} Keras layers have that name")
    return pairs, wrong


def _in_order(places: list[Place], sources: list[Source]) -> list[tuple[Place, Source]]:
    """Pairs of as many of ours as could be as many of theirs, where these could be nothing else."""
    groups: dict[tuple[int, ...], list[Place]] = {}
    for place in places:
        fitting = tuple(i for i, source in enumerate(sources) if _fits(place, source))
        groups.setdefault(fitting, []).append(place)
    pairs = []
    for fitting, group in groups.items():
        others = {i for other in groups if other != fitting for i in other}
        found = [sources[i] for i in fitting]
        if len(found) == len(group) and not others & set(fitting) and len({source.series for source in found}) == 1:
            pairs += list(zip(group, found, strict=True))
    return pairs


def _fits(place: Place, source: Source) -> bool:
    return [array.shape for array in source.arrays] == list(place.layout.shapes.values()) and _is_kind(place, source)


def _is_kind(place: Place, source: Source) -> bool:
    kind = KINDS.get(source.kind or "")
    return kind is None or isinstance(place.module, kind)


def _pair_faults(place: Place, source: Source) -> list[str]:
    """What is wrong with one pair: settings that make another function of it, or arrays."""
    where = f"{place.key}." if place.key else ""
    settings = setting_faults(place.key, place.module, source.kind, source.config)
    if not _is_kind(place, source):
        settings.append(
            f"kind: {place.key or 'the layer'} is a {type(place.module).__name__}, Keras' {source.name} a {source.kind}"
        )
    shapes = {f"{where}{name}": shape for name, shape in place.layout.shapes.items()}
    received = {
        name: array.shape
        for name, array in zip([*shapes, *(f"{where}{i}" for i in range(len(shapes), 99))], source.arrays, strict=False)
    }
    bias = f"{where}bias"
    if len(shapes.get(bias, ())) == 2 and received.get(bias) == shapes[bias][1:]:
        reason = setting_faults(place.key, place.module, "GRU", {"reset_after": False})
        return list(dict.fromkeys([*settings, *reason]))
    rows = shapes.get(bias, (0,))[-1]
    if rows and received.get(bias) == (2 * rows,):
        kind = "CuDNNGRU" if len(shapes[bias]) == 2 else "CuDNNLSTM"
        return list(dict.fromkeys([*settings, *setting_faults(place.key, place.module, kind, {})]))
    return settings + faults(shapes, received, f"Keras' {source.name}" if source.name else "the Keras weights")


def _describe(side: Place | Source) -> str:
    if isinstance(side, Place):
        name, kind, shapes = side.key, type(side.module).__name__, list(side.layout.shapes.values())
    else:
        name, kind, shapes = side.name, f"Keras {side.kind or 'layer'}", [array.shape for array in side.arrays]
    return f"{name or 'the layer itself'} ({kind}) of {', '.join(map(str, shapes))}"


def _has(pairs: list[tuple[Place, Source]], one: Place | Source) -> bool:
    return any(one is part for pair in pairs for part in pair)
