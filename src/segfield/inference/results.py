"""The folder predictions go to: which settings it was made with, and which images and videos are complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segfield.classes import ClassTable
from segfield.data.files import unreadable, unwritable, write_text
from segfield.data.images import write_png
from segfield.data.video import is_video
from segfield.drawing import draw_legend
from segfield.errors import SettingError
from segfield.inference.clip_outputs import CLIP_KINDS
from segfield.inference.inputs import Input
from segfield.segmentation import KINDS

SETTINGS_FILE = "predict.json"
LEGEND_FILE = "legend.png"


@dataclass(frozen=True)
class ResultsFolder:
    """Where outputs go.

    An image is complete when all its outputs are there and none is older than the image itself: outputs are written
    whole or not at all, so nothing else has to be kept, and several processes can fill one folder.

    Attributes:
        folder: its path.
        kinds: what is saved of each image.
        endings: of the files of all kinds there are.
        settings_file: where the settings are kept; its name tells which command filled the folder.
        clip_kinds: what is saved of each video.
    """

    folder: Path
    kinds: tuple[str, ...]
    endings: Mapping[str, str] = field(default_factory=lambda: KINDS)
    settings_file: str = SETTINGS_FILE
    clip_kinds: tuple[str, ...] = ()

    def output(self, kind: str, name: str) -> Path:
        """Where an output goes: FOLDER/KIND/NAME.ENDING."""
        return Path(self.folder, kind, name + self.endings[kind])

    def outputs(self, image: Input) -> list[Path]:
        """The files of one image or video, whether they are there or not; a video's ids are a folder."""
        if is_video(image.file):
            return list(self.clip_outputs(image).values())
        return [self.output(kind, image.name) for kind in self.kinds]

    def clip_outputs(self, clip: Input) -> dict[str, Path]:
        """Where each kind of a video goes."""
        return {kind: _clip_output(self.folder, kind, clip.name) for kind in self.clip_kinds}

    def clip_report(self, clip: Input) -> Path:
        """Where the figures of a video's prediction go."""
        return Path(self.folder, "video", f"{clip.name}.json")

    def is_complete(self, image: Input, *sources: Path) -> bool:
        """Whether nothing is left to do for an image; `sources` are further files its outputs are made of."""
        try:
            made = max(file.stat().st_mtime for file in (image.file, *sources))
            return all(file.stat().st_mtime >= made for file in self.outputs(image))
        except OSError:
            return False

    def open(
        self, settings: Mapping[str, Any], base: Path, images: Sequence[Input], mine: Sequence[Input], overwrite: bool
    ) -> None:
        """Begin or go on: write the settings, or compare them with those the folder was made with.

        Args:
            settings: what results depend on; JSON-able.
            base: the folder image names are relative to.
            images: all images of the job, and
            mine: those of this part of it; with `overwrite`, their outputs are removed.
            overwrite: begin anew even if the folder was made with other settings.

        Raises:
            SettingError: if the folder was made with other settings, or holds such files of other origin, and
                `overwrite` is not given; or a video's ids would take the place of a folder that images were saved to.
        """
        wanted = {**settings, "images_of": _relative(base, self.folder)}
        found = self._settings()
        differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key)) if found else []
        if differing and not overwrite:
            told = "; ".join(
                f"{key.replace('_', ' ')}: {_said(found.get(key))} there, {_said(wanted.get(key))} now"
                for key in differing
            )
            raise SettingError(
                f"folder '{self.folder}' holds results of other settings ({told}); "
                "give another --out, or --overwrite to make them anew"
            )
        if not found and not overwrite:
            self._refuse_foreign(images)
        if overwrite:
            self._remove(images if differing or not found else mine)
        for image in mine:
            if is_video(image.file):
                self._refuse_others_folder(image)
        if found != wanted:
            write_text(self.folder / self.settings_file, json.dumps(wanted, indent=2, ensure_ascii=False) + "\n")

    def write_legend(self, classes: ClassTable) -> Path:
        """The picture of class colours and names, beside the outputs."""
        file = self.folder / LEGEND_FILE
        write_png(file, draw_legend(classes))
        return file

    def _settings(self) -> dict[str, Any]:
        file = self.folder / self.settings_file
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except NotADirectoryError as error:
            raise SettingError(f"--out '{self.folder}' is a file or lies in one; name a folder") from error
        except (OSError, ValueError) as error:
            raise unreadable(file, error, "settings") from error
        return found if isinstance(found, dict) else {"settings": found}

    def _refuse_foreign(self, images: Sequence[Input]) -> None:
        there = next((file for image in images for file in self.outputs(image) if file.exists()), None)
        if there is not None:
            raise SettingError(
                f"'{there}' is there already, in a folder without {self.settings_file}, so not made by this command; "
                "give another --out, or --overwrite to replace it"
            )

    def _remove(self, images: Sequence[Input]) -> None:
        # Whatever stood there came of other settings: were it left, a run stopped half-way would take it for its own.
        for image in images:
            if is_video(image.file):
                self._remove_clip(image)
                continue
            for kind in self.endings:
                _remove(self.output(kind, image.name))

    def _remove_clip(self, clip: Input) -> None:
        for kind in CLIP_KINDS:
            file = _clip_output(self.folder, kind, clip.name)
            if not file.is_dir() or self.clip_report(clip).is_file():  # else the folder holds what images gave
                _remove(file)
        _remove(self.clip_report(clip))

    def _refuse_others_folder(self, clip: Input) -> None:
        """Raises SettingError where a video's ids would take the place of a folder that no video's prediction made."""
        folder = self.clip_outputs(clip).get("ids")
        if folder is not None and folder.exists() and not self.clip_report(clip).is_file():
            raise SettingError(
                f"'{folder}' is there already and was not made of a video, so the ids of '{clip.file.name}' cannot go there; "
                "give another --out, or remove it"
            )


def _said(value: Any) -> str:
    """A setting in words; one that is not there is none."""
    return {"None": "none", "True": "yes", "False": "no"}.get(str(value), str(value))


def _remove(file: Path) -> None:
    try:
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(file, error) from error


def _clip_output(folder: Path, kind: str, name: str) -> Path:
    return Path(folder, kind, name + CLIP_KINDS[kind])


def _relative(base: Path, folder: Path) -> str:
    """The way from the results to the images: stays true when both move together, or are mounted elsewhere."""
    try:
        return Path(os.path.relpath(base, folder.resolve())).as_posix()
    except ValueError:  # another drive
        return base.as_posix()
