"""How tests read a message: the setting or file and the mend are looked for, whatever the words between them.

A sentence may be worded anew without a test that fails; what `whole_sentences` gives is to be written with gaps.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

WORDS = 5  # that may stand in a row; `.*` or ` … ` goes between what must be there


def says(keys: str, text: str) -> bool:
    """True where the text holds the keys in their order; `` … `` stands between two of them."""
    place = 0
    for key in keys.split(" … "):
        place = text.find(key, place)
        if place < 0:
            return False
        place += len(key)
    return True


def whole_sentences(folder: Path) -> list[str]:
    """Every pattern below a folder of tests with more than `WORDS` words in a row, with its file and line."""
    return [
        f"{file.relative_to(folder)}:{text.lineno}: {text.value}"
        for file in sorted(folder.rglob("test_*.py"))
        for text in _patterns(ast.parse(file.read_text(encoding="utf-8")))
        if longest_run(str(text.value)) > WORDS
    ]


def longest_run(pattern: str) -> int:
    """Words (two letters or more in a row) between two gaps of a pattern."""
    pieces = re.split(r"\.[*+]\??| … |\|", pattern)
    return max(sum(bool(re.search(r"[^\W\d_]{2}", word)) for word in piece.split()) for piece in pieces)


def _patterns(tree: ast.Module) -> Iterator[ast.Constant]:
    """What is given as ``match=`` or to `says`, and the parameters of a test that uses them so."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        for keyword in call.keywords:
            if keyword.arg == "match":
                yield from _texts(keyword.value)
        if isinstance(call.func, ast.Name) and call.func.id == "says":
            yield from _texts(call.args[0])
    for test in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)]
        if any(isinstance(k.value, ast.Name) for call in calls for k in call.keywords if k.arg == "match"):
            for decorator in test.decorator_list:
                yield from _texts(decorator)


def _texts(node: ast.AST) -> Iterator[ast.Constant]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner
