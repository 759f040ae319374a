"""What jsonargparse says about words that do not fit → one sentence with the value found, what is expected and the mend."""

from __future__ import annotations

import re
from collections.abc import Sequence

from segfield.errors import did_you_mean

_LONGEST = 100  # characters of a value or a message that are shown
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text (in quotes, in a YAML)",
    "tuple": "a list such as [0.5, 2]",
    "list": "a list such as [0.5, 2]",
    "Sequence": "a list such as [0.5, 2]",
    "dict": "settings such as {width: 32}",
    "NoneType": "null",
}


def sentence(message: str, prog: str, options: Sequence[str]) -> str:
    """Turn a parser's message into a sentence.

    Args:
        message: of jsonargparse or argparse, of one or many lines.
        prog: what --help follows, e.g. 'segfield train'.
        options: all options there are, with their dashes.
    """
    see = f"see {prog} --help"
    names = [option.lstrip("-") for option in options]
    found = re.search(r"[Uu]nrecognized arguments: (\S+)", message)
    if found:
        return _unknown_word(found[1].split("=")[0], options, see)
    found = re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", message)
    if found:
        return f"there is no setting '{found[1]}.{found[2]}'; {_near(f'{found[1]}.{found[2]}', names, see)}"
    found = re.search(r"Option '([\w.]+)' is not accepted", message)
    if found:
        return f"there is no setting '{found[1]}'; {_near(found[1], names, see)}"
    found = re.search(r"argument (--[\w.]+): expected one argument", message)
    if found:
        return (
            f"{found[1]} lacks its value; write {found[1]} VALUE, or {found[1]}=VALUE for one that begins with a dash"
        )
    found = re.search(r"the following arguments are required: (.*)", message) or re.search(
        r"[Kk]ey [\"']*([\w.]+)[\"']* is required", message
    )
    if found:
        return f"{found[1]} must be given; {see}"
    found = re.search(r'Parser key "([\w.]+)":\s*Unable to load config [\'"](.*?)[\'"]', message)
    if found:
        inner = next((name for name in names if name.startswith(f"{found[1]}.")), f"{found[1]}.NAME")
        return f"{found[1]} is {_short(found[2])}; give its settings one by one, e.g. --{inner}, {see}"
    found = re.search(r'Parser key "([\w.]+)":\s*(.*)', message, re.DOTALL)
    values = re.findall(r"(?:Given|Got) value: (.*)", found[2]) if found else []
    if found and values:
        return _value(found[1], found[2], _short(values[-1]), see)
    return f"{_short(message)}; {see}"


def _unknown_word(word: str, options: Sequence[str], see: str) -> str:
    if word.startswith("--"):
        return f"there is no option {word}; {_near(word, options, see)}"
    return f"'{word}' is one word too many; {see}"


def _near(name: str, known: Sequence[str], see: str) -> str:
    near = did_you_mean(name, known).partition(" Known: ")[0]
    return near if near.startswith("did") else see


def _value(name: str, expected: str, value: str, see: str) -> str:
    """'epochs is abc; a whole number or null is expected'."""
    choices = re.search(r"Literal\[(.*?)\]", expected)
    if choices:
        known = re.findall(r"'([^']*)'", choices[1])
        return f"{name} is {value}; {did_you_mean(value, known)}"
    subtypes = re.search(r"Subtypes: \[(.*)\]", expected)
    # tuple[int, int] counts as a tuple: what is inside the brackets does not
    told = re.sub(r"\[[^\[\]]*\]", "", subtypes[1]) if subtypes else expected.partition("Got value")[0]
    kinds = [kind for kind in _KINDS if re.search(rf"\b{kind}\b", told)]
    wanted = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds)) or _short(told)
    return f"{name} is {value}; {wanted} is expected, {see}"


def _short(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
