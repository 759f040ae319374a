"""Class tables in files: YAML or JSON with the keys of ClassTable, or text with one name (and colour) a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from segfield.classes import ClassTable, Colour
from segfield.data.files import unreadable
from segfield.errors import DataError

CLASS_FILES = ("classes.yaml", "classes.yml", "classes.json", "classes.txt")
_WITH_COLOUR = re.compile(r"^(?P<name>.*?)[\s,;:]+(?P<r>\d{1,3})[\s,;]+(?P<g>\d{1,3})[\s,;]+(?P<b>\d{1,3})$")


def read_class_table(path: str | Path) -> ClassTable:
    """Read a class table from a file.

    YAML or JSON: the keys of `ClassTable.from_dict`, or a plain list of names. Text: a name a line, each followed by
    its colour `R G B` or none of them; lines that begin with # and empty lines do not count.

    Raises:
        DataError: if the file cannot be read or does not hold a class table.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "class table") from error
    try:
        if path.suffix.lower() == ".json":
            return _from_structure(json.loads(text))
        if path.suffix.lower() in (".yaml", ".yml"):
            return _from_structure(yaml.safe_load(text))
        return _from_lines(text.splitlines())
    except (DataError, yaml.YAMLError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from error


def _from_structure(content: Any) -> ClassTable:
    if isinstance(content, list) and all(isinstance(name, (str, int)) for name in content):
        return ClassTable(tuple(str(name) for name in content))
    if isinstance(content, dict):
        return ClassTable.from_dict(content)
    raise DataError("expected a list of names, or a table with the key names; write names: [background, cell]")


def _from_lines(lines: list[str]) -> ClassTable:
    names: list[str] = []
    colours: list[Colour] = []
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        match = _WITH_COLOUR.match(line)
        if match and match["name"]:
            names.append(match["name"].rstrip(" ,;:"))
            r, g, b = (int(match[band]) for band in "rgb")
            if max(r, g, b) > 255:
                raise DataError(f"the colour of '{names[-1]}' is {r} {g} {b}; colours are 0 to 255")
            colours.append((r, g, b))
        else:
            names.append(line)
    if colours and len(colours) != len(names):
        raise DataError(f"{len(names)} names but {len(colours)} colours; give every line a colour R G B, or none")
    return ClassTable(tuple(names), tuple(colours))
