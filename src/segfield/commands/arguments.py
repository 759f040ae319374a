"""From a verb's signature to its command line and YAML, by jsonargparse; its errors become sentences."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings
from jsonargparse._actions import ActionConfigFile

from segfield.commands.sentences import sentence
from segfield.errors import SettingError

set_parsing_settings(docstring_parse_attribute_docstrings=True)


def call_with_words(verb: str, function: Callable[..., Any], words: Sequence[str], example: str = "") -> Any:
    """Parse the words after a verb and call its function.

    A function of one dataclass (`train(recipe)`) takes the dataclass's fields as options and a YAML by --recipe; its
    first field may stand without its name, before all others. Any other function takes its parameters: those without
    default by position, and the first one in any case.

    Raises:
        SettingError: if the words do not fit, with the close spellings of what does.
    """
    recipe = _only_dataclass(function)
    parser = ArgumentParser(
        prog=f"segfield {verb}",
        description=inspect.getdoc(function).split("\n\n")[0] if function.__doc__ else None,  # type: ignore[union-attr]
        epilog=f"example: {example}" if example else None,
        exit_on_error=False,
        allow_abbrev=False,
    )
    # --batch-size and --batch_size are the same option
    words = [re.sub(r"^--[^=]+", lambda found: "--" + found[0][2:].replace("-", "_"), word) for word in words]
    if recipe is not None:
        parser.add_argument(
            "--recipe", action=ActionConfigFile, help="YAML with any of these settings; later options win"
        )
        parser.add_class_arguments(recipe, as_group=False)
        first: str | None = dataclasses.fields(recipe)[0].name
    else:
        _add_parameters(parser, function)
        first = _nameless(function)
    if first and words and not words[0].startswith("-"):
        # at the end: what is named on the command line wins over the YAML's
        words = [*words[1:], f"--{first}", words[0]]
    if any(word in ("-h", "--help") for word in words):
        parser.print_help()
        return None
    if recipe is not None and hasattr(recipe, "read"):
        for file in _recipe_files(words):
            recipe.read(file)  # for its sentences about a file that is no recipe
        words += _displaced(words, getattr(recipe, "ALTERNATIVES", ()))
        words = _with_value(words, getattr(recipe, "ALONE", {}))
    settings = _parse(parser, _spell_out_flags(words, parser))
    if recipe is not None:
        settings.pop("recipe", None)
        return function(recipe.from_dict(settings) if hasattr(recipe, "from_dict") else recipe(**settings))
    return function(**settings)


def _add_parameters(parser: ArgumentParser, function: Callable[..., Any]) -> None:
    hints = _parameter_types(function)
    lists = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is parameter.empty and typing.get_origin(hints.get(name)) is list
    ]
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip=set(lists))
    for name in lists:
        parser.add_argument(name, nargs="+", type=typing.get_args(hints[name])[0])


def _nameless(function: Callable[..., Any]) -> str | None:
    """The parameter that may stand without its name though it has a default: the first one (`segfield data camvid`)."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    optional = first is not None and first.kind is first.POSITIONAL_OR_KEYWORD and first.default is not first.empty
    return first.name if first is not None and optional else None


def _displaced(words: Sequence[str], alternatives: Sequence[Sequence[str]]) -> list[str]:
    """Words that take a YAML's setting back where its alternative is named: `--time 30m` over a YAML's epochs."""
    named = {word[2:].split("=")[0] for word in words if word.startswith("--")}
    if "recipe" not in named:
        return []
    return [f"--{name}=null" for group in alternatives if named & {*group} for name in group if name not in named]


def _spell_out_flags(words: Sequence[str], parser: ArgumentParser) -> list[str]:
    """`--overwrite` alone means `--overwrite true`."""
    switches = [action for action in parser._actions if getattr(action, "_typehint", None) is bool]
    flags = {option for action in switches for option in action.option_strings}
    spelt: list[str] = []
    for word, following in zip(words, [*words[1:], ""]):
        spelt += [word, "true"] if word in flags and following.lower() not in ("true", "false") else [word]
    return spelt


def _with_value(words: Sequence[str], alone: Mapping[str, str]) -> list[str]:
    """Options that may stand alone, with the value that they mean then."""
    spelt: list[str] = []
    for word, following in zip(words, [*words[1:], "--"]):
        value = alone.get(word.removeprefix("--")) if following.startswith("--") else None
        spelt += [word] if value is None else [word, value]
    return spelt


def _recipe_files(words: Sequence[str]) -> list[str]:
    """The FILEs of --recipe FILE and --recipe=FILE."""
    named = [following for word, following in itertools.pairwise(words) if word == "--recipe"]
    return named + [word.partition("=")[2] for word in words if word.startswith("--recipe=")]


def _parse(parser: ArgumentParser, words: list[str]) -> dict[str, Any]:
    try:
        parsed: Namespace = parser.parse_args(words)
        settings: dict[str, Any] = parser.instantiate_classes(parsed).as_dict()
    except (ArgumentError, TypeError, ValueError) as error:
        options = {option for action in parser._actions for option in action.option_strings if option[:2] == "--"}
        raise SettingError(sentence(str(error), parser.prog, sorted(options))) from error
    return settings


def _parameter_types(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' types; the type of what is returned may be imported for type checkers alone."""
    written = {name: hint for name, hint in inspect.get_annotations(function).items() if name != "return"}
    return typing.get_type_hints(types.SimpleNamespace(__annotations__=written), getattr(function, "__globals__", None))


def _only_dataclass(function: Callable[..., Any]) -> Any:
    hints = _parameter_types(function)
    names = list(inspect.signature(function).parameters)
    first = hints.get(names[0]) if len(names) == 1 else None
    return first if dataclasses.is_dataclass(first) else None
