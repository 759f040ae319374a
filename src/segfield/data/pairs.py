"""Lists of pairs: text with an image and its mask a line, and CSV with the columns image, mask and split."""

from __future__ import annotations

import csv
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segfield.data.files import unreadable
from segfield.errors import DataError, did_you_mean

_COLUMNS = {
    "image": ("image", "img", "image_path", "images", "filename", "file", "path"),
    "mask": ("mask", "label", "labels", "mask_path", "label_path", "masks", "annotation", "target"),
    "split": ("split", "set", "subset", "fold"),
}
_CSV_SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Pair:
    """One line of a list: files that exist, and the split where the list names one."""

    image: Path
    mask: Path | None = None
    split: str | None = None


def read_pairs(path: str | Path, root: Path | None = None) -> list[Pair]:
    """Read a list of pairs.

    Paths are relative to the list's folder or to `root`. Leading folders that are not there are dropped, so that lists
    which carry the folders of another machine (`/SegNet/CamVid/train/a.png`, `C:\\data\\a.png`) work where the rest of
    the path does. In text lists a tab, a comma or blanks part image and mask; names with blanks need no quotes.

    Raises:
        DataError: naming file and line where an image or mask is missing, or a column is.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error, "list") from error
    finder = _Finder(path, [path.parent] if root is None else [root, path.parent])
    rows = _table_rows(path, text) if path.suffix.lower() in _CSV_SUFFIXES else None
    if rows is not None:
        pairs = [finder.pair(number, parts) for number, parts in rows]
    else:
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
        pairs = [finder.line(number, line) for number, line in lines if line and not line.startswith("#")]
    if not pairs:
        raise DataError(f"{path} lists no images; write an image and its mask on each line")
    return pairs


def _table_rows(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """(line number, [image, mask, split]) of a CSV; the header may be absent where the order is image, mask, split."""
    lines = text.splitlines()
    delimiter = max("\t;,", key=lines[0].count) if lines else ","
    rows = [
        (number, [cell.strip() for cell in row]) for number, row in enumerate(csv.reader(lines, delimiter=delimiter), 1)
    ]
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        return []
    header = [cell.casefold() for cell in rows[0][1]]
    places = {
        key: next((header.index(word) for word in words if word in header), None) for key, words in _COLUMNS.items()
    }
    if places["image"] is None:
        if any(Path(cell).suffix for cell in header):
            return rows
        raise DataError(f"{path}: no column 'image' among {', '.join(header)}; {did_you_mean('image', header)}")
    return [(number, [_cell(row, places[key]) for key in ("image", "mask", "split")]) for number, row in rows[1:]]


def _cell(row: list[str], place: int | None) -> str:
    return row[place] if place is not None and place < len(row) else ""


class _Finder:
    """Looks up the paths of one list; remembers how many leading folders had to go."""

    def __init__(self, path: Path, roots: list[Path]) -> None:
        self.path = path
        self.roots = roots
        self.dropped = 0

    def line(self, number: int, line: str) -> Pair:
        """A line of a text list, taken apart where both parts are files."""
        for delimiter in ("\t", ",", ";"):
            if delimiter in line:
                return self.pair(number, [part.strip() for part in line.split(delimiter)])
        if '"' in line:
            return self.pair(number, shlex.split(line.replace("\\", "/")))
        words = line.split()
        if len(words) == 1 or (len(words) == 2 and self.find(words[0]) is not None):
            return self.pair(number, words)
        for i in range(1, len(words)):
            # Two words may be parted by more than one blank: cut the line itself, not the joined words.
            head = line.split(maxsplit=i)[-1]
            parts = [line[: -len(head)].strip(), head]
            if all(self.find(part) is not None for part in parts):
                return self.pair(number, parts)
        return self.pair(number, [line] if self.find(line) is not None else words)

    def pair(self, number: int, parts: list[str]) -> Pair:
        image, mask, split = (*parts, "", "")[:3]
        found = self.find(image)
        if found is None:
            raise self._missing(number, "image", image)
        if not mask:
            return Pair(found, None, split or None)
        found_mask = self.find(mask)
        if found_mask is None or found_mask == found:
            raise self._missing(number, "mask", mask)
        return Pair(found, found_mask, split or None)

    def find(self, written: str) -> Path | None:
        """The file that a list means by `written`, or None."""
        for spelling in dict.fromkeys((written, written.replace("\\", "/"))):
            if spelling.startswith("/") and Path(spelling).is_file():
                return Path(spelling)
            parts = [part for part in PurePosixPath(spelling).parts if part != "/"]
            for drop in sorted(range(len(parts)), key=lambda n: n != self.dropped):
                for root in self.roots:
                    candidate = root.joinpath(*parts[drop:])
                    if candidate.is_file():
                        self.dropped = drop
                        return candidate
        return None

    def _missing(self, number: int, kind: str, written: str) -> DataError:
        return DataError(
            f"{self.path}, line {number}: the {kind} '{written}' is not there; paths are relative to {self.roots[0]}"
        )
