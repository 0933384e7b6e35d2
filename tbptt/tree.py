"""Trees: any nesting of tuples, lists, dicts, namedtuples, dataclasses and registered classes around leaves.

A thin layer on optree (its namespace here is ``"tbptt"``). The rules:

- None is a node without leaves: a state of None stays None. ``none_is_leaf=True`` counts it as a leaf.
- A dict's leaves come in the order of its sorted keys, so that two dicts with equal keys have one structure however
  they were filled; `map` gives back a dict in the order of the one it was given.
- A dataclass is a node, one child a field, without being registered; other classes say how with `register`.
- Everything else is a leaf: tensors, arrays, numbers, strings.
"""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import optree

from tbptt.backends import owner_of
from tbptt.errors import ConfigurationError, StructureError
from tbptt.types import Tree

Structure: TypeAlias = Any
"""What is left of a tree without its leaves: an `optree.PyTreeSpec`. Compares by value and prints readably."""

_NAMESPACE = "tbptt"
_seen: set[type] = {tuple, list, dict, int, float, bool, str, type(None), np.ndarray}


def _never_a_leaf(value: Any) -> bool:
    """Answers optree's question "stop here?" with no, and uses the occasion to register a dataclass it sees first."""
    kind = type(value)
    if kind not in _seen:
        if dataclasses.is_dataclass(kind):
            register_dataclass(kind)
        _seen.add(kind)
    return False


def flatten(tree: Tree, none_is_leaf: bool = False) -> tuple[list[Any], Structure]:
    """The leaves in order, and the structure that `unflatten` puts them back into.

    >>> from tbptt import tree
    >>> leaves, structure = tree.flatten({"h": 1, "c": (2, None)})
    >>> leaves, tree.unflatten(structure, [10, 20])
    ([2, 1], {'h': 20, 'c': (10, None)})
    """
    return optree.tree_flatten(tree, _never_a_leaf, none_is_leaf=none_is_leaf, namespace=_NAMESPACE)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Tree:
    """A tree of that structure around these leaves.

    Raises:
        StructureError: if there are more or fewer leaves than the structure holds.
    """
    values = list(leaves)
    if len(values) != structure.num_leaves:
        raise StructureError(
            f"The structure {structure} holds {structure.num_leaves} leaves; {len(values)} were given."
        )
    return optree.tree_unflatten(structure, values)


def structure(tree: Tree, none_is_leaf: bool = False) -> Structure:
    """The tree without its leaves."""
    return flatten(tree, none_is_leaf)[1]


def leaves(tree: Tree, none_is_leaf: bool = False) -> list[Any]:
    """The leaves in order."""
    return flatten(tree, none_is_leaf)[0]


def paths(tree: Tree, root: str = "", none_is_leaf: bool = False) -> list[str]:
    """Where each leaf sits, written as Python would reach it, in the order of `leaves`.

    >>> from tbptt import tree
    >>> tree.paths({"h": 1, "c": (2, 3)}, root="state")
    ["state['c'][0]", "state['c'][1]", "state['h']"]
    """
    accessors = optree.tree_accessors(tree, _never_a_leaf, none_is_leaf=none_is_leaf, namespace=_NAMESPACE)
    return [accessor.codify(root) for accessor in accessors]


def map(function: Callable[..., Any], tree: Tree, *rest: Tree, none_is_leaf: bool = False) -> Tree:
    """The tree of `function(leaf, leaf of rest[0], ...)`.

    >>> from tbptt import tree
    >>> tree.map(lambda a, b: a + b, (1, [2, None]), (10, [20, None]))
    (11, [22, None])

    Raises:
        StructureError: if the trees differ in structure; it names the place and what was found on either side.
    """
    values, spec = flatten(tree, none_is_leaf)
    columns = [values]
    for other in rest:
        check_same_structure(tree, other, none_is_leaf=none_is_leaf)
        columns.append(leaves(other, none_is_leaf))
    return optree.tree_unflatten(spec, builtins.map(function, *columns))


def broadcast(prefix: Tree, tree: Tree, names: tuple[str, str]) -> list[Any]:
    """For every leaf of `tree` what `prefix` says about it: a leaf of the prefix counts for everything below its place.

    None counts as a leaf of the prefix, so "nothing" can be said of a subtree. `names` are for the error's message.

    >>> from tbptt import tree
    >>> tree.broadcast((1, None), ("x", {"a": "y", "b": "z"}), ("axes", "the batch"))
    [1, None, None]

    Raises:
        StructureError: if the prefix is not the upper part of the tree.
    """
    said = []
    none_or_leaf, spec = flatten(tree, none_is_leaf=True)
    try:
        said = optree.broadcast_prefix(prefix, tree, _never_a_leaf, none_is_leaf=True, namespace=_NAMESPACE)
    except ValueError as error:
        check_same_structure(prefix, tree, names, none_is_leaf=True)
        raise StructureError(f"{names[0]} does not have the structure of {names[1]}, {spec}.") from error
    return [about for about, leaf in zip(said, none_or_leaf, strict=True) if leaf is not None]


def stack(trees: Sequence[Tree], axis: int = 0) -> Tree:
    """One tree whose leaves are the given trees' leaves, stacked along a new axis.

    Tensors stay tensors of their engine; arrays and numbers become NumPy arrays.

    >>> from tbptt import tree
    >>> tree.stack([{"loss": 1.0}, {"loss": 2.0}])
    {'loss': array([1., 2.])}

    Raises:
        ConfigurationError: if there is no tree.
        StructureError: if they differ in structure.
    """
    if not trees:
        raise ConfigurationError("tree.stack needs at least one tree; the list is empty.")

    def stack_leaves(*values: Any) -> Any:
        owner = owner_of(values[0])
        return np.stack(values, axis=axis) if owner is None else owner.tensors.stack(list(values), axis=axis)

    return map(stack_leaves, trees[0], *trees[1:])


def is_node(value: Any) -> bool:
    """Whether the value is a node, so that trees continue below it. None is one."""
    return not optree.all_leaves([value], _never_a_leaf, namespace=_NAMESPACE)


def register(
    cls: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Any]],
    unflatten: Callable[[Any, Sequence[Any]], Any],
) -> None:
    """Make a class a node of trees.

    >>> from tbptt import tree
    >>> class Memory:
    ...     def __init__(self, *past): self.past = past
    >>> tree.register(Memory, lambda m: (m.past, None), lambda extra, past: Memory(*past))
    >>> tree.map(lambda x: -x, Memory(1, 2)).past
    (-1, -2)

    Args:
        cls: the class; its subclasses are registered on their own.
        flatten: an object to ``(children, extra)``; `extra`, hashable and compared by value, is part of the structure.
        unflatten: ``(extra, children)`` to an object.

    Raises:
        ConfigurationError: if the class is registered already.
    """
    _register(cls, flatten, unflatten, optree.AutoEntry)


def register_dataclass(cls: Any) -> None:
    """Make a dataclass a node whose children are its fields. Trees do this by themselves when they meet one.

    Objects are rebuilt field by field without calling ``__init__``, because a ``__post_init__`` that checks shapes has
    no business with paths or specifications. What is not a field is not kept.
    """
    names = [field.name for field in dataclasses.fields(cls)]

    def take_apart(value: Any) -> tuple[list[Any], None, list[str]]:
        return [getattr(value, name) for name in names], None, names

    def put_together(_: None, children: Sequence[Any]) -> Any:
        value = cls.__new__(cls)
        for name, child in zip(names, children, strict=True):
            object.__setattr__(value, name, child)  # a frozen dataclass forbids the ordinary way
        return value

    _register(cls, take_apart, put_together, optree.GetAttrEntry)


def _register(cls: Any, take_apart: Any, put_together: Any, entry: type[optree.PyTreeEntry]) -> None:
    if not isinstance(cls, type):
        raise ConfigurationError(f"A class was expected, to be registered as a node of trees; received {cls!r}.")
    try:
        optree.register_pytree_node(cls, take_apart, put_together, path_entry_type=entry, namespace=_NAMESPACE)
    except ValueError as error:
        raise ConfigurationError(f"{cls.__qualname__} is a node of trees already; a class registers once.") from error
    _seen.add(cls)


def check_same_structure(
    expected: Tree,
    received: Tree,
    names: tuple[str, str] = ("the first tree", "the second"),
    none_is_leaf: bool = False,
) -> None:
    """Nothing if both trees have one structure.

    Raises:
        StructureError: naming the first place where they part and what each of them has there.
    """
    if structure(expected, none_is_leaf) == structure(received, none_is_leaf):
        return
    path, here, there = _first_difference(expected, received, "", none_is_leaf) or ("", "one structure", "another")
    where = f"At {path}" if path else "At the root"
    raise StructureError(
        f"Two trees should have the same structure. {where}, {names[0]} has {here} and {names[1]} has {there}. "
        f"Give both the same nesting, keys and lengths."
    )


def _first_difference(a: Tree, b: Tree, path: str, none_is_leaf: bool) -> tuple[str, str, str] | None:
    ends = [(value is None and none_is_leaf) or not is_node(value) for value in (a, b)]
    if all(ends):
        return None
    if any(ends) or type(a) is not type(b):
        return path, _describe(a), _describe(b)
    one_a, one_b = (
        optree.tree_flatten_one_level(value, none_is_leaf=none_is_leaf, namespace=_NAMESPACE) for value in (a, b)
    )
    if one_a.entries != one_b.entries or one_a.metadata != one_b.metadata:
        return path, _describe(a), _describe(b)
    for entry, child_a, child_b in zip(one_a.entries, one_a.children, one_b.children, strict=True):
        step = one_a.path_entry_type(entry, one_a.type, one_a.kind).codify()
        found = _first_difference(child_a, child_b, path + step, none_is_leaf)
        if found:
            return found
    return None


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if not is_node(value):
        return f"a leaf ({type(value).__name__})"
    if isinstance(value, dict):
        return f"a {type(value).__name__} with the keys {sorted(value, key=repr)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
