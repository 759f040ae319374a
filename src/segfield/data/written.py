"""The record of what segfield wrote into a folder: what it vouches for may be replaced, and is no input of a later start.

FOLDER/.segfield/OWNER-….jsonl has a line a file: its name below the folder, its size, and a digest of its content. A line is
written before its file appears, so that a stop between the two leaves nothing that nobody knows. Each process
has a record of its own, because several, on several machines, may fill one folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from segfield.data.replacement import absolute

RECORD = ".segfield"
# what older versions, which kept no record, wrote beside these files
_SETTINGS_OF_OLD = ("predict.json", "refine.json")
_FOLDERS_OF_OLD = ("ids", "palette", "overlay", "probabilities", "entropy", "polygons", "compare", "video")
_PICTURE_OF_OLD = "legend.png"


class Written:
    """What one command wrote into one folder.

    Args:
        folder: the folder.
        owner: the command.

    Attributes:
        follows_older: the folder was begun by a version that kept no record.
    """

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder = absolute(folder)
        self.owner = owner
        self.follows_older = False
        self._known: dict[str, set[tuple[int, str]]] = {}
        self._read: dict[Path, int] = {}
        self._own: Path | None = None

    def exists(self) -> bool:
        """Whether the command ever wrote here."""
        return any(_records(self.folder, self.owner))

    def knows(self, path: Path) -> bool:
        """Whether a file of that name was written here, or a folder of such files alone; it may have changed since."""
        if _is_folder(path):
            return all(self.knows(inner) for inner in path.iterdir())
        return bool(self._entries(path)) and not path.is_symlink()

    def vouches(self, path: Path) -> bool:
        """Whether a file is as it was written here, byte for byte; or a folder holds nothing but such files."""
        try:
            if _is_folder(path):
                return all(self.vouches(inner) for inner in path.iterdir())
            found = path.lstat()
            sizes = {size for size, _ in self._entries(path)}
            if not stat.S_ISREG(found.st_mode) or found.st_size not in sizes or self._is_led_away(path):
                return False
            return (found.st_size, _digest(path)) in self._entries(path)
        except OSError:
            return False

    def note(self, new: Path, place: Path) -> None:
        """Write down that the file or folder `new` is about to take `place`."""
        files = sorted(file for file in new.rglob("*") if file.is_file()) if new.is_dir() else [new]
        lines = []
        for file in files:
            name = self._name(place / file.relative_to(new) if new.is_dir() else place)
            entry = (file.stat().st_size, _digest(file))
            if entry not in self._known.get(name, ()):
                self._known.setdefault(name, set()).add(entry)
                lines.append({"file": name, "size": entry[0], "sha256": entry[1]})
        self._append(lines)

    def begin(self) -> None:
        """Begin a record, where there is none yet."""
        if not self.exists():
            self._append([{"begun": True, "older": self.follows_older}])

    def files(self) -> list[Path]:
        """All that was ever written here, whether it is there or not."""
        self.refresh()
        return [self.folder / name for name in self._known]

    def _entries(self, path: Path) -> set[tuple[int, str]]:
        name = self._name(path)
        if name not in self._known:
            self.refresh()  # another process may have written it
        return self._known.get(name, set())

    def _is_led_away(self, path: Path) -> bool:
        """Whether a link among the folders of `path` leads elsewhere."""
        place = Path(os.path.realpath(self.folder), absolute(path).relative_to(self.folder))
        return Path(os.path.realpath(place.parent)) != place.parent

    def _name(self, path: Path) -> str:
        return absolute(path).relative_to(self.folder).as_posix()

    def refresh(self) -> None:
        """Read what other processes wrote down since."""
        for record in _records(self.folder, self.owner):
            size = record.stat().st_size
            if self._read.get(record) == size:
                continue
            self._read[record] = size
            for line in _lines(record):
                if line.get("older"):
                    self.follows_older = True
                elif is_below(name := str(line.get("file", ""))):
                    entry = (line.get("size", -1), line.get("sha256", ""))
                    self._known.setdefault(name, set()).add(entry)  # type: ignore[arg-type]

    def _append(self, lines: list[dict[str, object]]) -> None:
        if not lines:
            return
        if self._own is None:
            self._own = self.folder / RECORD / f"{self.owner}-{secrets.token_hex(6)}.jsonl"
            self._own.parent.mkdir(parents=True, exist_ok=True)
        with self._own.open("ab") as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in lines).encode("ascii"))
            stream.flush()
            # not fsync: where the content alone can be synced, that is enough and cheaper
            getattr(os, "fdatasync", lambda _: None)(stream.fileno())


class OwnFiles:
    """The files that segfield wrote itself, learnt of while folders are walked from the top down.

    Args:
        folders: to begin with.
    """

    def __init__(self, *folders: str | Path) -> None:
        self._names: dict[str, set[str]] = {}
        self._folders: set[str] = set()
        for folder in folders:
            self.enter(folder)

    def enter(self, folder: str | Path) -> None:
        """Read the records of a folder, if there are any."""
        records = list(_records(Path(folder)))
        top = os.path.realpath(folder).replace(os.sep, "/").rstrip("/")
        for record in records:
            for line in _lines(record):
                if "file" in line:
                    name = str(line["file"])
                    self._names.setdefault(name.rsplit("/", 1)[-1], set()).add(f"{top}/{name}")
        if any(is_settings_file(Path(folder, name)) for name in _SETTINGS_OF_OLD) and (
            not records or any(line.get("older") for record in records for line in _lines(record))
        ):
            self._folders |= {f"{top}/{name}" for name in _FOLDERS_OF_OLD}
            for name in (_PICTURE_OF_OLD, *_SETTINGS_OF_OLD):
                self._names.setdefault(name, set()).add(f"{top}/{name}")

    def __contains__(self, file: str | Path) -> bool:
        """Whether a file, in a folder entered or below one, was written by segfield."""
        folder, name = os.path.split(file)
        if name not in self._names and not self._folders:
            return False
        here = os.path.realpath(folder).replace(os.sep, "/")
        if f"{here}/{name}" in self._names.get(name, ()):
            return True
        return any(here == folder or here.startswith(f"{folder}/") for folder in self._folders)


def without_own(files: Iterable[Path], *folders: Path) -> list[Path]:
    """The files that no record in one of the folders names as written by segfield."""
    own = OwnFiles(*folders)
    return [file for file in files if file not in own]


def is_below(name: str) -> bool:
    """Whether a name, '/' between folders, leads from a folder to a file below it and nowhere else."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not PurePosixPath(name).is_absolute() and ".." not in parts


def is_settings_file(file: Path) -> bool:
    """Whether a file is the settings of predictions or refinements, of this version or an older one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and "images_of" in found


def _records(folder: Path, owner: str = "*") -> Iterator[Path]:
    place = folder / RECORD
    if place.is_dir():
        yield from sorted(file for file in place.glob(f"{owner}-*.jsonl") if file.is_file())


def _lines(record: Path) -> Iterator[dict[str, object]]:
    """What a record says; a line cut off by a power cut says nothing."""
    try:
        text = record.read_bytes()
    except OSError:
        return
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
