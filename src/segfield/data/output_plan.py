"""One plan of outputs, made before anything is written: names unique, none an input, none outside, none somebody else's."""

from __future__ import annotations

import contextlib
import os
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from segfield.data.files import unwritable
from segfield.data.replacement import absolute, kept_by
from segfield.data.written import Written
from segfield.errors import SettingError

_LONGEST = 255  # bytes of a name, where the file system does not tell


class Output(NamedTuple):
    """A file to be written, or a folder of files that is written whole."""

    path: Path
    is_folder: bool = False


class OutputFolder:
    """The folder a command writes into, and its record there.

    What is at a planned name and not in the record is somebody else's and stays, whatever the command is told. What is in the
    record and has changed since is the user's by now: it is kept, and where it would have to be replaced, refused.

    Args:
        path: the folder, there or not.
        owner: the command, whose record it is.

    Attributes:
        given: the folder as it was named, and
        path: from the root.
        written: the record.
    """

    def __init__(self, path: str | Path, owner: str) -> None:
        self.given = Path(path)
        self.path = absolute(path)
        self.owner = owner
        self.written = Written(self.path, owner)
        self._besides: frozenset[Path] = frozenset()

    def check(
        self,
        outputs: Sequence[Output],
        inputs: Iterable[str | Path] = (),
        replaced: Collection[Path] | None = None,
        own: Collection[Path] = (),
    ) -> None:
        """See whether all of the plan can be written; nothing is touched.

        Args:
            outputs: every file and folder the command may write, now or in another process with the same command.
            inputs: files it reads.
            replaced: those of the outputs that are written or removed now; by default all of them. The others stay where
                they are there.
            own: those of the outputs that the caller knows by their content.

        Raises:
            SettingError: if a name is there twice, leads out of the folder, is that of an input, is one the file system cannot
                take, or is taken by a file that this command did not write.
        """
        self._refuse_ancestors()
        self._refuse_names(outputs)
        self._refuse_inputs(outputs, inputs)
        self.written.refresh()
        taken_away = {output.path for output in outputs} if replaced is None else set(replaced)
        led: set[Path] = set()
        for output in outputs:
            self._refuse_parents(output.path, led)
            if output.path not in own:
                self._refuse_foreign(output, output.path in taken_away)

    def is_foreign(self, path: Path) -> bool:
        """Whether something is there that the command did not write."""
        return os.path.lexists(path) and not self.written.knows(path)

    def remove(self, paths: Iterable[Path], emptied: bool = False) -> None:
        """Remove what is there of these files and folders, as far as it is as it was written.

        Args:
            paths: the files and folders.
            emptied: also folders that this leaves empty; not where another process may be about to write there.
        """
        for path in paths:
            if os.path.lexists(path) and self.written.vouches(path):
                _remove(path)
                if emptied:
                    self._remove_emptied(path)

    def _remove_emptied(self, path: Path) -> None:
        with contextlib.suppress(OSError):  # one that is not empty stays
            for parent in absolute(path).parents:
                if parent == self.path or not parent.is_relative_to(self.path):
                    return
                parent.rmdir()

    @contextlib.contextmanager
    def writing(self, besides: Iterable[str | Path] = ()) -> Iterator[None]:
        """While entered, what is written below the folder goes into the record, and nothing else's place is taken.

        Args:
            besides: files that the command changes in place by its purpose.
        """
        before, self._besides = self._besides, frozenset(Path(os.path.realpath(file)) for file in besides)
        try:
            with kept_by(self.path, self):
                yield
        finally:
            self._besides = before

    def admit(self, new: Path, place: Path) -> None:
        """As `replacement.Keeper`: the last look, just before a file appears."""
        if Path(os.path.realpath(place)) in self._besides:
            self.written.note(new, place)
            return
        self._refuse_parents(place, set())
        self._refuse_foreign(Output(place, new.is_dir()), True)
        self.written.note(new, place)

    def may_remove(self, file: Path) -> bool:
        """As `replacement.Keeper`."""
        return self.written.vouches(file)

    def _refuse_ancestors(self) -> None:
        there = next((each for each in (self.path, *self.path.parents) if each.exists()), self.path)
        if not there.is_dir():
            raise SettingError(f"--out '{self.path}' is a file or lies in one; name a folder")

    def _refuse_names(self, outputs: Sequence[Output]) -> None:
        longest = _longest_name(self.path)
        places: dict[tuple[str, ...], Path] = {}
        for path in dict.fromkeys(output.path for output in outputs):
            parts = self._parts(path)
            long = next((part for part in parts if len(os.fsencode(part)) > longest), None)
            if long is not None:
                raise SettingError(
                    f"the name '{long[:40]}…' of an output has {len(os.fsencode(long))} bytes, and the file system of "
                    f"'{self.path}' takes {longest}; shorten the name of the input it comes from"
                )
            key = tuple(folded(part) for part in parts)
            if key in places:
                raise _twice(places[key], path)
            places[key] = path
        for key, path in places.items():
            for end in range(1, len(key)):
                if key[:end] in places:
                    raise _twice(places[key[:end]], path)

    def _parts(self, path: Path) -> tuple[str, ...]:
        """The names below the folder."""
        for folder in (self.given, self.path):
            if path.is_relative_to(folder):
                parts = path.relative_to(folder).parts
                if parts and not any(part == ".." or "\0" in part for part in parts):
                    return parts
                break
        raise SettingError(f"'{path}' would lie outside of the folder '{self.path}'; give the input another name")

    def _refuse_inputs(self, outputs: Sequence[Output], inputs: Iterable[str | Path]) -> None:
        read: dict[tuple[int, int], Path] = {}
        real: dict[str, Path] = {}
        for file in map(Path, inputs):
            with contextlib.suppress(OSError):
                found = file.stat()
                read.setdefault((found.st_dev, found.st_ino), file)
                real[os.path.realpath(file)] = file
        folders = [f"{os.path.realpath(output.path)}{os.sep}" for output in outputs if output.is_folder]
        inside = (
            next((file for path, file in real.items() if path.startswith(tuple(folders))), None) if folders else None
        )
        if inside is not None:
            raise _is_input(inside, inside)
        for output in outputs:
            for look in (os.stat, os.lstat):
                with contextlib.suppress(OSError):
                    found = look(output.path)
                    if (found.st_dev, found.st_ino) in read:
                        raise _is_input(output.path, read[found.st_dev, found.st_ino])

    def _refuse_parents(self, path: Path, seen: set[Path]) -> None:
        """Folders between the output folder and a file must be folders of their own: a link may lead anywhere."""
        for parent in absolute(path).parents:
            if parent == self.path or parent in seen:
                return
            seen.add(parent)
            try:
                found = parent.lstat()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise unwritable(path, error) from error
            if stat.S_ISLNK(found.st_mode):
                raise SettingError(
                    f"'{parent}' is a link to '{os.path.realpath(parent)}', where nothing is written from '{self.path}'; "
                    "give another --out, or a folder in place of the link"
                )
            if not stat.S_ISDIR(found.st_mode):
                raise SettingError(
                    f"'{parent}' is a file, where a folder is needed; give another --out, or move it away"
                )

    def _refuse_foreign(self, output: Output, replaced: bool) -> None:
        path = output.path
        if not os.path.lexists(path):
            return
        written = self.written
        right_kind = output.is_folder == (path.is_dir() and not path.is_symlink())
        if right_kind and (written.vouches(path) if replaced else written.knows(path) or written.follows_older):
            return
        if right_kind and replaced and written.knows(path):
            raise SettingError(
                f"'{path}' was changed after segfield {self.owner} wrote it, so it is not replaced; "
                "give another --out, or move it away"
            )
        older = ""
        if written.follows_older:
            older = ", or by a version that kept no record of its files"
        raise SettingError(
            f"'{path}' is there already and was not written by segfield {self.owner} in '{self.path}'{older}; "
            "it is never replaced: give another --out, or move it away"
        )


def folded(name: str) -> str:
    """What names have in common that some file system takes for one: capitals and small letters, ways to write 'é'."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _twice(first: Path, second: Path) -> SettingError:
    return SettingError(
        f"'{first}' and '{second}' would take each other's place; rename one of the inputs they come from"
    )


def _is_input(output: Path, file: Path) -> SettingError:
    return SettingError(
        f"'{output}' would be written in the place of the input '{file}', which is never replaced; give another --out"
    )


def _longest_name(folder: Path) -> int:
    """Bytes that a name in the folder can have."""
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
    try:
        return int(os.pathconf(there, "PC_NAME_MAX"))
    except (OSError, ValueError, AttributeError):
        return _LONGEST


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            for inner in sorted(path.iterdir()):
                _remove(inner)
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
