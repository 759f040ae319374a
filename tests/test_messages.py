"""Tests match the setting or file and the mend of a message, not its whole sentence: a sentence may be worded anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.told import says

TESTS = Path(__file__).parent
WORDS = 5  # that may stand in a row; `.*` or ` … ` goes between what must be there


def _longest_run(pattern: str) -> int:
    """Words (two letters or more in a row) between two gaps of a pattern."""
    pieces = re.split(r"\.[*+]\??| … |\|", pattern)
    return max(sum(bool(re.search(r"[^\W\d_]{2}", word)) for word in piece.split()) for piece in pieces)


def _texts(node: ast.AST) -> Iterator[ast.Constant]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner


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


def test_no_whole_sentence_is_matched() -> None:
    long = [
        f"{file.relative_to(TESTS)}:{text.lineno}: {text.value}"
        for file in sorted(TESTS.rglob("test_*.py"))
        for text in _patterns(ast.parse(file.read_text()))
        if _longest_run(text.value) > WORDS
    ]
    assert not long, f"match the setting and the mend, `.*` or ` … ` between them (at most {WORDS} words in a row)"


def test_a_run_of_words_is_counted_between_gaps() -> None:
    assert _longest_run("there is no loss 'dise'; did you mean dice?") == 9
    assert _longest_run(r"loss 'dise'.*did you mean dice") == 4
    assert _longest_run("loss 'dise' … mean dice?") == 2
    assert _longest_run(r"\(3, 4\).*5 bands|a\.png") == 1


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("b", True),
        ("a … c", True),
        ("c … a", False),
        ("a … a", False),
        ("d", False),
        ("a b", True),
        ("a … b … c", True),
    ],
)
def test_keys_stand_in_their_order(keys: str, found: bool) -> None:
    assert says(keys, "a b c") is found
