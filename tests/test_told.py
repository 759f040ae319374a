from __future__ import annotations

from pathlib import Path

import pytest

from tests.told import longest_run, says, whole_sentences


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


def test_a_run_of_words_is_counted_between_gaps() -> None:
    assert longest_run("there is no loss 'dise'; did you mean dice?") == 9
    assert longest_run(r"loss 'dise'.*did you mean dice") == 4
    assert longest_run("loss 'dise' … mean dice?") == 2
    assert longest_run(r"\(3, 4\).*5 bands|a\.png") == 1


def test_whole_sentences_are_found_where_they_are_matched(tmp_path: Path) -> None:
    sentence = "there is no such thing in here at all"
    (tmp_path / "test_a.py").write_text(
        f"""
def test_said():
    with raises(E, match="thing.*here"):
        pass
    assert says("{sentence}", told)
    print("{sentence}")

@parametrize("why", ["{sentence}"])
def test_why(why):
    with raises(E, match=why):
        pass

@parametrize("why", ["{sentence}"])
def test_why_not(why):
    pass
"""
    )
    assert [line.split()[0] for line in whole_sentences(tmp_path)] == ["test_a.py:5:", "test_a.py:8:"]
