"""The floors of docs/architecture.md: imports go down, never up; commands and their help load no torch at module level."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.told import WORDS, whole_sentences

SOURCE = Path(__file__).resolve().parents[1] / "src"

# First match wins; a module may import its own floor and those below.
FLOORS = (
    ("segfield.commands", 6),
    ("segfield.doctor", 6),
    ("segfield.__main__", 6),
    ("segfield.training.recipe", 2),  # settings alone: read by the command line
    ("segfield.training.recipe_limits", 2),
    ("segfield.training.adversarial_config", 2),
    ("segfield.training.semi_supervised_config", 2),
    ("segfield.training", 5),
    ("segfield.forecasting", 5),
    ("segfield.segmenter", 4),
    ("segfield.exported", 4),
    ("segfield.inference", 3),
    ("segfield.segmentation", 2),
    ("segfield.drawing", 2),
    ("segfield.polygons", 2),
    ("segfield.evaluation", 2),
    ("segfield.crf", 2),
    ("segfield.models", 1),
    ("segfield.losses", 1),
    ("segfield.data", 1),
    ("segfield.classes", 0),
    ("segfield.errors", 0),
    ("segfield.compiled", 0),
    ("segfield.machine", 0),
    ("segfield.control_groups", 0),
    ("segfield.load", 0),
    ("segfield.openmp", 0),
)
SIDEWAYS = {("data", "losses"), ("data", "models"), ("models", "losses"), ("losses", "models"), ("models", "data")}


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        if name != "segfield":
            yield name, path


def _floor(module: str) -> int:
    return next(floor for prefix, floor in FLOORS if module == prefix or module.startswith(prefix + "."))


def _imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(("name", "path"), list(_modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_down(name: str, path: Path) -> None:
    for imported in _imports(path):
        if not imported.startswith("segfield."):
            continue
        assert _floor(imported) <= _floor(name), f"{name} imports {imported}, which is upstairs"
        rooms = (name.split(".")[1], imported.split(".")[1])
        assert rooms not in SIDEWAYS, f"{name} imports {imported}, across the floor"


@pytest.mark.parametrize("path", sorted((SOURCE / "segfield" / "commands").glob("*.py")), ids=lambda p: p.stem)
def test_verbs_import_no_torch_at_module_level(path: Path) -> None:
    assert not any(name.split(".")[0] in ("torch", "torchvision", "timm") for name in _imports(path, True))


def test_no_file_is_over_400_lines() -> None:
    long = {path.name: len(path.read_text().splitlines()) for _, path in _modules()}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_messages_are_matched_by_their_keys() -> None:
    """The setting or file and the mend, not the whole sentence, which may be worded anew; see tests/told.py."""
    long = whole_sentences(Path(__file__).parent)
    assert not long, f"more than {WORDS} words in a row: put `.*` (in `says`: ` … `) where any words may stand"
