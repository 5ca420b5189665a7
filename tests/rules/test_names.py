"""Names say what they stand for, and every public one what it promises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.node import ROOT


def test_every_public_function_and_class_has_a_docstring() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in sorted((ROOT / "newsletter").rglob("*.py"))
        for node in _public(ast.parse(file.read_text("utf-8")))
        if not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_name_says_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "manager", "misc", "common", "data", "info"}
    files = [*sorted((ROOT / "newsletter").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))]
    named = [(file, node.name) for file in files for node in _public(ast.parse(file.read_text("utf-8")))]
    named += [(file, file.stem) for file in files]
    found = [f"{file.relative_to(ROOT)}: {name}" for file, name in named if empty & _words(name)]
    assert found == []


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)
