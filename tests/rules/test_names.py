"""Every public name says what it promises."""

from __future__ import annotations

import ast
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


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)
