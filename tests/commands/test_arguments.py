"""Tests of the command line: what a verb's function is called with, and the sentences for words that do not fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import pytest

from segfield.commands.arguments import call_with_words
from segfield.errors import SettingError


@dataclass(frozen=True)
class Settings:
    """Some settings."""

    data: str
    """Where."""
    rate: float = 0.5
    """How fast."""
    kind: Literal["poly", "cosine"] = "poly"
    """Which."""
    size: tuple[int, int] = (1, 2)
    """How large."""
    options: dict[str, Any] = field(default_factory=dict)
    """More."""
    compile: bool = False
    """Whether."""


def verb(settings: Settings) -> Settings:
    """Do it."""
    return settings


def act(first: str, others: list[str], *, flips: bool = False, count: int | None = None) -> tuple[Any, ...]:
    """Do something.

    Args:
        first: the one.
        others: the rest.
        flips: mirrored.
        count: how many.
    """
    return first, others, flips, count


def test_a_setting_is_the_same_as_option_and_in_a_yaml(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("data: here\nrate: 0.25\nkind: cosine\nsize: [3, 4]\noptions: {width: 8}\ncompile: true\n")
    spoken = [
        "here",
        "--rate",
        "0.25",
        "--kind=cosine",
        "--size",
        "[3, 4]",
        "--options",
        "{width: 8}",
        "--compile",
        "true",
    ]
    expected = Settings("here", 0.25, "cosine", (3, 4), {"width": 8}, True)
    assert call_with_words("verb", verb, ["--recipe", str(recipe)]) == expected
    assert call_with_words("verb", verb, spoken) == expected


@pytest.mark.parametrize("words", [["mine", "--recipe", "{}"], ["--recipe", "{}", "--data", "mine"]])
def test_data_named_on_the_command_line_wins_over_the_recipes(tmp_path, words):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("data: theirs\nrate: 0.25\n")
    assert call_with_words("verb", verb, [w.format(recipe) for w in words]) == Settings("mine", 0.25)


def test_later_options_win_over_the_recipe(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("data: theirs\nrate: 0.25\n")
    assert call_with_words("verb", verb, ["--recipe", str(recipe), "--rate", "1"]).rate == 1


@pytest.mark.parametrize(
    ("words", "flips"),
    [
        (["a", "b", "c"], False),
        (["a", "b", "c", "--flips"], True),
        (["--flips", "a", "b", "c"], True),
        (["--flips", "--count", "3", "a", "b", "c"], True),
        (["a", "b", "c", "--flips", "false"], False),
        (["a", "b", "c", "--flips=true"], True),
    ],
)
def test_a_switch_may_stand_alone(words, flips):
    first, others, found, _ = call_with_words("act", act, words)
    assert (first, others, found) == ("a", ["b", "c"], flips)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["d", "--rte", "1"], "--rte.*mean --rate"),
        (["d", "--rate", "fast"], "rate is fast.*number"),
        (["d", "--size", "3,4"], r"size is 3,4.*\[0\.5, 2\]"),
        (["d", "--options", "{width"], r"options is \{width.*\{width: 32\}"),
        (["d", "--kind", "cosin"], "kind is cosin.*mean cosine"),
        (["d", "e"], "'e' is one word"),
    ],
)
def test_words_that_do_not_fit_are_told_in_a_sentence(words, sentence):
    with pytest.raises(SettingError, match=sentence):
        call_with_words("verb", verb, words)


def test_dashes_and_underscores_are_the_same():
    def noted(*, batch_size: int = 1) -> int:
        """Note.

        Args:
            batch_size: how many.
        """
        return batch_size

    assert call_with_words("noted", noted, ["--batch-size", "4"]) == call_with_words(
        "noted", noted, ["--batch_size", "4"]
    )


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], (None, False)),
        (["camvid"], ("camvid", False)),
        (["camvid", "--get"], ("camvid", True)),
        (["--get", "--name", "camvid"], ("camvid", True)),
    ],
)
def test_an_optional_first_parameter_may_stand_without_its_name(words, found):
    def fetch(name: str | None = None, *, get: bool = False) -> tuple[str | None, bool]:
        """Fetch.

        Args:
            name: what.
            get: now.
        """
        return name, get

    assert call_with_words("fetch", fetch, words) == found


def test_no_parameter_that_must_be_named_may():
    def quiet(*, name: str = "x") -> str:
        """Nothing by position.

        Args:
            name: what.
        """
        return name

    with pytest.raises(SettingError, match="'y' is one word"):
        call_with_words("quiet", quiet, ["y"])


@dataclass(frozen=True)
class Budget:
    """Settings of which one stands."""

    ALTERNATIVES: ClassVar = (("epochs", "time"),)

    data: str
    """Where."""
    epochs: int | None = None
    """How often."""
    time: str | None = None
    """How long."""

    @classmethod
    def read(cls, file: str) -> None:
        """All files will do."""


def plan(budget: Budget) -> Budget:
    """Plan it."""
    return budget


@pytest.mark.parametrize(
    ("yaml", "words", "expected"),
    [
        ("epochs: 9", [], Budget("d", epochs=9)),
        ("epochs: 9", ["--time", "3m"], Budget("d", time="3m")),
        ("epochs: 9", ["--time=3m"], Budget("d", time="3m")),
        ("time: 5m", ["--epochs", "3"], Budget("d", epochs=3)),
        ("time: 5m", ["--epochs", "3", "--time", "7m"], Budget("d", epochs=3, time="7m")),  # for the recipe to refuse
    ],
)
def test_an_option_takes_the_place_of_its_alternative_in_the_yaml(tmp_path, yaml, words, expected):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(f"data: d\n{yaml}\n")
    assert call_with_words("plan", plan, ["--recipe", str(recipe), *words]) == expected
