"""ClassTable: id, name and colour of every class, the ignored id, and how values in mask files map to ids and back."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.errors import DataError

Colour = tuple[int, int, int]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ClassTable:
    """The classes of a data set. Ids are 0 … K−1; `ignored_id` marks pixels where nothing is known.

    Args:
        names: name of each class, in id order.
        colours: RGB 0..255 of each class, in id order; drawn from a fixed wheel where not given.
        ignored_id: 255, or 65535 where there are more than 255 classes.
        source_values: value in the mask files → id, or the ignored id. Empty: values are ids already.
        source_colours: RGB in colour masks → id, or the ignored id. Empty: the classes' own colours.
        ignored_colour: the colour unknown pixels are drawn in.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    ignored_id: int = 255
    source_values: Mapping[int, int] = field(default_factory=dict)
    source_colours: Mapping[Colour, int] = field(default_factory=dict)
    ignored_colour: Colour = (0, 0, 0)

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.names)
        if not names:
            raise DataError("a class table needs at least one class; give names, e.g. classes: [background, cell]")
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise DataError(f"class names stand twice in the table: {', '.join(doubled)}; give each class its own name")
        ignored = self.ignored_id
        if ignored == 255 and len(names) > 255:
            ignored = 65535
        if 0 <= ignored < len(names):
            raise DataError(f"the ignored id {ignored} is also class '{names[ignored]}'; choose {max(255, len(names))}")
        colours = tuple((int(r), int(g), int(b)) for r, g, b in self.colours) or default_colours(names)
        if len(colours) != len(names):
            raise DataError(f"{len(names)} class names but {len(colours)} colours; give one colour for each class")
        for value, target in [*self.source_values.items(), *self.source_colours.items()]:
            if target != ignored and not 0 <= target < len(names):
                raise DataError(
                    f"mask value {value} maps to id {target}, but ids are 0 to {len(names) - 1} or {ignored}"
                )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "colours", colours)
        object.__setattr__(self, "ignored_id", ignored)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dtype(self) -> npt.DTypeLike:
        """Smallest dtype that holds every id and the ignored id: uint8, else int32."""
        return np.uint8 if max(self.ignored_id, len(self) - 1) <= 255 and self.ignored_id >= 0 else np.int32

    def colour_array(self) -> npt.NDArray[np.uint8]:
        """Colours by label value, the ignored id included: (max(K, ignored id + 1), 3) uint8."""
        table = np.full((max(len(self), self.ignored_id + 1), 3), self.ignored_colour, dtype=np.uint8)
        table[: len(self)] = np.array(self.colours, dtype=np.uint8)
        return table

    def value_to_id(self) -> dict[int, int]:
        """Every value that may stand in a mask file, with its id: the given mapping, or ids and ignored id as they are."""
        if self.source_values:
            return dict(self.source_values)
        return {**{i: i for i in range(len(self))}, self.ignored_id: self.ignored_id}

    def colour_to_id(self) -> dict[Colour, int]:
        """Every colour that may stand in a colour mask, with its id."""
        if self.source_colours:
            return dict(self.source_colours)
        ids = {self.ignored_colour: self.ignored_id}
        ids.update({colour: i for i, colour in enumerate(self.colours)})
        return ids

    def to_source(self, labels: Array) -> Array:
        """Labels → the values the data set's own files use (what a submission wants).

        The first source value of a class stands for it. The ignored id stays itself unless a value maps to it.
        """
        inverse: dict[int, int] = {}
        for value, target in self.value_to_id().items():
            inverse.setdefault(target, value)
        inverse.setdefault(self.ignored_id, self.ignored_id)
        missing = [self.names[i] for i in range(len(self)) if i not in inverse]
        if missing:
            raise DataError(f"no mask value maps to {', '.join(missing)}; add one to the table's source_values")
        table = np.zeros(max(inverse) + 1, dtype=np.int64)
        for target, value in inverse.items():
            table[target] = value
        values = table[labels]
        return (
            values.astype(np.uint8)
            if values.min(initial=0) >= 0 and values.max(initial=0) <= 255
            else values.astype(np.int32)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and dicts for JSON or YAML; `ClassTable.from_dict` takes them back."""
        return {
            "names": list(self.names),
            "colours": [list(colour) for colour in self.colours],
            "ignored_id": self.ignored_id,
            "source_values": {str(value): target for value, target in self.source_values.items()},
            "source_colours": [[list(colour), target] for colour, target in self.source_colours.items()],
            "ignored_colour": list(self.ignored_colour),
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> ClassTable:
        """The inverse of `as_dict`; only `names` is required.

        Raises:
            DataError: if a key is unknown or a value does not fit.
        """
        known = {"names", "colours", "ignored_id", "source_values", "source_colours", "ignored_colour"}
        unknown = sorted(set(table) - known)
        if unknown or "names" not in table:
            raise DataError(
                f"a class table has the keys {', '.join(sorted(known))} (names is required); found {sorted(table)}"
            )
        try:
            return cls(
                names=tuple(table["names"]),
                colours=tuple(_colour(c) for c in table.get("colours", ())),
                ignored_id=int(table.get("ignored_id", 255)),
                source_values={int(v): int(i) for v, i in dict(table.get("source_values", {})).items()},
                source_colours={_colour(c): int(i) for c, i in table.get("source_colours", ())},
                ignored_colour=_colour(table.get("ignored_colour", (0, 0, 0))),
            )
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the class table cannot be read: {error}; colours are [r, g, b], ids whole numbers"
            ) from error


def _colour(values: Sequence[int]) -> Colour:
    r, g, b = (int(v) for v in values)
    if not all(0 <= v <= 255 for v in (r, g, b)):
        raise ValueError(f"colour {list(values)} is not within 0..255")
    return (r, g, b)


def default_colours(names: Sequence[str]) -> tuple[Colour, ...]:
    """A distinct colour a class: the golden-angle walk round the hue circle, brightness in three steps; background is dark."""
    colours = []
    for i, name in enumerate(names):
        hue, value = (i * 0.61803398875) % 1.0, (0.95, 0.75, 0.55)[i % 3]
        r, g, b = colorsys.hsv_to_rgb(hue, 0.65 if i % 2 else 0.85, value)
        is_background = i == 0 and name.lower() == "background"
        colours.append((44, 44, 56) if is_background else (round(255 * r), round(255 * g), round(255 * b)))
    return tuple(colours)
