"""The index of rows names tests that are there, and all tests of this room."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from numerics.rows import ROWS, WITHOUT, Row

ROOT = Path(__file__).parents[2]


@cache
def names_in(path: Path) -> set[str]:
    """Names of its test functions, those of classes included."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test")}


def file_of(name: str) -> Path:
    if "/" in name:
        return ROOT / name
    (path,) = (ROOT / "tests").rglob(name)  # base names are unique
    return path


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.item)
def test_tests_of_a_row_are_there(row: Row) -> None:
    assert row.own
    for reference in (*row.own, *row.peers):
        name, test = reference.split("::")
        assert test in names_in(file_of(name)), reference


def test_each_row_is_listed_once_and_each_test_of_this_room_is_under_a_row() -> None:
    items = [row.item for row in ROWS]
    assert len(set(items)) == len(items) and not set(items) & set(WITHOUT)
    referenced = {reference for row in ROWS for reference in (*row.own, *row.peers)}
    for path in Path(__file__).parent.glob("test_*.py"):
        if path != Path(__file__):
            assert {f"{path.name}::{test}" for test in names_in(path)} <= referenced
