"""Sentences made of a parser's messages, written here as jsonargparse writes them."""

from __future__ import annotations

import pytest

from segfield.commands.sentences import sentence

OPTIONS = ["--augment.flip", "--augment.scale", "--data", "--epochs", "--learning_rate", "--optimiser"]
UNION = """Parser key "epochs":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'int'>, <class 'NoneType'>]
  Errors:
    - Expected a <class 'int'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: many"""
NESTED = """Parser key "augment.crop":
  Does not validate against any of the Union subtypes
  Subtypes: [tuple[int, int], <class 'NoneType'>]
  Errors:
    - Expected a <class 'int'>. Got value: a
    - Expected a <class 'NoneType'>
  Given value type: <class 'list'>
  Given value: [32, 'a']"""
LITERAL = "Parser key \"optimiser\":\n  Expected a typing.Literal['adamw', 'sgd']. Got value: adamv"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Unrecognized arguments: --learning_rat=1", "there is no option --learning_rat; did you mean --learning_rate?"),
        ("Unrecognized arguments: --zzz 1", "there is no option --zzz; see segfield train --help"),
        ("Unrecognized arguments: surplus", "'surplus' is one word too many; see segfield train --help"),
        ("Option 'epoch' is not accepted", "there is no setting 'epoch'; did you mean epochs?"),
        ("Group 'augment' does not accept option 'scal'", "there is no setting 'augment.scal'; did you mean augment.scale"),
        ("argument --data: expected one argument", "--data lacks its value; write --data VALUE, or --data=VALUE"),
        ("the following arguments are required: segmenter, data", "segmenter, data must be given; see"),
        ('Key "data" is required but not included', "data must be given; see segfield train --help"),
        ('Parser key "augment":\nUnable to load config \'7\'\n - more', "augment is 7; give its settings one by one, e.g. --"),
        (UNION, "epochs is many; a whole number or null is expected, see segfield train --help"),
        (NESTED, "augment.crop is [32, 'a']; a list such as [0.5, 2] or null is expected"),
        (LITERAL, "optimiser is adamv; did you mean adamw? Known: adamw, sgd"),
        ("Parser key \"epochs\":\n  Expected a <class 'float'>. Got value: x", "epochs is x; a number is expected"),
        ("something\n  quite   else.", "something quite else; see segfield train --help"),
    ],
)  # fmt: skip
def test_a_message_becomes_a_sentence(message: str, expected: str) -> None:
    told = sentence(message, "segfield train", OPTIONS)
    assert told.startswith(expected)
    assert "\n" not in told and "<class" not in told


def test_long_values_are_cut() -> None:
    told = sentence(
        f"Parser key \"epochs\":\n  Expected a <class 'int'>. Got value: {'9' * 5000}", "segfield train", OPTIONS
    )
    assert len(told) < 300
    assert "99…; a whole number is expected" in told
