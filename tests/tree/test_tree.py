"""Trees: what is a node, in what order leaves come, and what an error names."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from tbptt import ops, tree
from tbptt.errors import ConfigurationError, StructureError
from tbptt.protocols import Backend

Pair = collections.namedtuple("Pair", ["first", "second"])


@dataclasses.dataclass
class State:
    hidden: Any
    cell: Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: Any
    derived: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.value, int | float):
            raise TypeError("only numbers")


class Memory:
    def __init__(self, past: list[Any], size: int) -> None:
        self.past, self.size = past, size


tree.register(Memory, lambda memory: (memory.past, memory.size), lambda size, past: Memory(list(past), size))

SHAPES = [
    5,
    None,
    (1, 2),
    [1, (2, 3)],
    {"b": 1, "a": (2, None)},
    Pair(1, [2, None]),
    State(1, (2, 3)),
    collections.OrderedDict(z=1, a=2),
    [],
    {"layers": [(1, 2), (3, 4)], "memory": None},
]


@pytest.mark.parametrize("value", SHAPES, ids=str)
def test_flatten_and_unflatten_give_back_an_equal_tree_of_the_same_types(value: Any) -> None:
    leaves, structure = tree.flatten(value)
    again = tree.unflatten(structure, leaves)
    assert again == value
    assert type(again) is type(value)
    assert structure == tree.structure(value)


def test_none_is_a_node_without_leaves_unless_it_is_asked_for() -> None:
    assert tree.leaves((1, None)) == [1]
    assert tree.map(lambda x: x + 1, {"a": None, "b": 1}) == {"a": None, "b": 2}
    assert tree.leaves((1, None), none_is_leaf=True) == [1, None]


def test_dict_leaves_come_in_the_order_of_sorted_keys_and_map_keeps_the_dicts_own_order() -> None:
    value = {"b": 1, "a": 2}
    assert tree.leaves(value) == [2, 1]
    assert list(tree.map(lambda x: x, value)) == ["b", "a"]
    assert tree.structure(value) == tree.structure({"a": 0, "b": 0})


def test_a_dataclass_is_a_node_unasked_and_is_rebuilt_without_its_init() -> None:
    assert tree.map(lambda x: x * 10, State(1, (2, None))) == State(10, (20, None))
    assert tree.map(str, Frozen(3)).value == "3"  # __post_init__ would refuse a string


def test_a_registered_class_is_a_node_whose_extra_belongs_to_the_structure() -> None:
    doubled = tree.map(lambda x: 2 * x, Memory([1, 2], size=7))
    assert (doubled.past, doubled.size) == ([2, 4], 7)
    with pytest.raises(StructureError):
        tree.map(lambda a, b: a, Memory([1], size=7), Memory([1], size=8))
    with pytest.raises(ConfigurationError, match="Memory is a node of trees already"):
        tree.register(Memory, lambda memory: ((), None), lambda extra, children: Memory([], 0))


def test_paths_are_written_as_python_reaches_them() -> None:
    value = (State({"h": 1}, [2]), Pair(3, None))
    assert tree.paths(value, "batch") == ["batch[0].hidden['h']", "batch[0].cell[0]", "batch[1].first"]


DIFFERENT = [
    ((1, 2), (1, 2, 3), "the root", "a tuple of 2", "a tuple of 3"),
    ((1, [2, 3]), (1, (2, 3)), r"\[1\]", "a list of 2", "a tuple of 2"),
    ({"a": {"x": 1}}, {"a": {"y": 1}}, r"\['a'\]", r"keys \['x'\]", r"keys \['y'\]"),
    (State(1, (1, 2)), State(1, [1, 2]), r"\.cell", "a tuple of 2", "a list of 2"),
    (Pair(1, None), Pair(1, 5), r"\.second", "None", r"a leaf \(int\)"),
    ({"s": [1, 2]}, {"s": 3}, r"\['s'\]", "a list of 2", r"a leaf \(int\)"),
]


@pytest.mark.parametrize(("first", "second", "path", "here", "there"), DIFFERENT, ids=lambda x: str(x)[:20])
def test_trees_of_different_structure_are_an_error_that_names_path_and_both_sides(
    first: Any, second: Any, path: str, here: str, there: str
) -> None:
    with pytest.raises(StructureError, match=rf"At {path}, .*{here}.*{there}"):
        tree.map(lambda a, b: a, first, second)


def test_unflatten_with_too_few_leaves_says_how_many_there_should_be() -> None:
    with pytest.raises(StructureError, match="holds 2 leaves; 1 were given"):
        tree.unflatten(tree.structure((1, 2)), [1])


def test_broadcast_says_the_same_about_everything_below_a_prefix() -> None:
    names = ("axes", "the batch")
    assert tree.broadcast((1, None), (7, {"a": 8, "b": None, "c": 9}), names) == [1, None, None]
    assert tree.broadcast(0, [1, (2, 3)], names) == [0, 0, 0]
    with pytest.raises(StructureError, match=r"axes has a tuple of 2 and the batch has a list of 2"):
        tree.broadcast((1, 2), [1, 2], names)


def test_stack_of_numbers_and_arrays_is_numpy() -> None:
    stacked = tree.stack([{"loss": 1.0, "x": np.zeros(2)}, {"loss": 2.0, "x": np.ones(2)}])
    np.testing.assert_array_equal(stacked["loss"], [1.0, 2.0])
    np.testing.assert_array_equal(stacked["x"], [[0, 0], [1, 1]])
    with pytest.raises(ConfigurationError, match="at least one tree"):
        tree.stack([])


def test_stack_of_tensors_stays_on_their_engine(backend: Backend) -> None:
    stacked = tree.stack([(ops.asarray([1.0, 2.0]), None), (ops.asarray([3.0, 4.0]), None)], axis=1)
    assert ops.is_tensor(stacked[0])
    assert stacked[1] is None
    np.testing.assert_array_equal(ops.to_numpy(stacked[0]), [[1.0, 3.0], [2.0, 4.0]])


def test_tensors_of_either_engine_are_leaves(backend: Backend) -> None:
    x = ops.ones((2, 3))
    assert not tree.is_node(x)
    assert [type(leaf) for leaf in tree.leaves({"x": x})] == [type(x)]
    assert all(tree.is_node(node) for node in itertools.chain(SHAPES[1:], [Memory([], 0)]))
