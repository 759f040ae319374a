"""The folder predictions go to: which settings it was made with, and which images and videos are complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segfield.classes import ClassTable
from segfield.data.files import unreadable, write_text
from segfield.data.images import write_png
from segfield.data.output_plan import Output, OutputFolder
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
        legend: whether the picture of the classes' colours is written beside.
    """

    folder: Path
    kinds: tuple[str, ...]
    endings: Mapping[str, str] = field(default_factory=lambda: KINDS)
    settings_file: str = SETTINGS_FILE
    clip_kinds: tuple[str, ...] = ()
    legend: bool = False
    place: OutputFolder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        owner = self.settings_file.removesuffix(".json")
        object.__setattr__(self, "place", OutputFolder(self.folder, owner))

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
        self,
        settings: Mapping[str, Any],
        base: Path,
        images: Sequence[Input],
        mine: Sequence[Input],
        overwrite: bool,
        read: Iterable[str | Path] = (),
        sources: Mapping[Input, Path] | None = None,
    ) -> None:
        """Begin or go on: see that all can be written, write the settings, or compare them with those the folder was made with.

        Args:
            settings: what results depend on; JSON-able.
            base: the folder image names are relative to.
            images: all images of the job, and
            mine: those of this part of it; with `overwrite`, what was made of them is removed.
            overwrite: begin anew even if the folder was made with other settings; all that was made with them is removed.
            read: further files that the job reads: segmenter, class table and the like.
            sources: a further file that the outputs of each image are made of, such as its labels.

        Raises:
            SettingError: if the folder was made with other settings and `overwrite` is not given; or as `OutputFolder.check`.
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
        self.place.written.follows_older = bool(found) and not self.place.written.exists()
        for image in mine:
            if is_video(image.file):
                self._refuse_others_folder(image)
        anew = list(images if differing or not found else mine) if overwrite else []
        made_of = sources or {}
        waiting = [image for image in mine if not self.is_complete(image, *filter(None, [made_of.get(image)]))]
        self._check(images, [*anew, *waiting], [*read, *made_of.values()])
        self.place.written.begin()
        if overwrite:
            # Whatever stood there came of other settings: were it left, a run stopped half-way would take it for its own.
            old = self.place.written.files() if differing else [file for image in anew for file in self._all_of(image)]
            self.place.remove(old, emptied=bool(differing))
        if found != wanted:
            with self.writing():
                write_text(self.folder / self.settings_file, _json(wanted))

    def writing(self) -> AbstractContextManager[None]:
        """While entered, what is written goes into the folder's record, and takes the place of nothing else."""
        return self.place.writing(besides=[self.folder / self.settings_file])

    def write_legend(self, classes: ClassTable) -> Path:
        """The picture of class colours and names, beside the outputs; one that was changed since it was written stays."""
        file = self.folder / LEGEND_FILE
        if not os.path.lexists(file) or self.place.written.vouches(file):
            with self.writing():
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
        if not isinstance(found, dict) or "images_of" not in found or file.is_symlink():
            raise SettingError(
                f"'{file}' is there already and holds no settings of segfield {self.place.owner}; "
                "give another --out, or move it away"
            )
        return found

    def _check(self, images: Sequence[Input], written: Sequence[Input], read: Sequence[str | Path]) -> None:
        outputs = [output for image in images for output in self._planned(image)]
        replaced = {output.path for image in written for output in self._planned(image)}
        if self.legend:
            outputs.append(Output(self.folder / LEGEND_FILE))  # one that the user has changed is kept
        outputs.append(Output(self.folder / self.settings_file))
        inputs = [*(image.file for image in images), *read]
        self.place.check(outputs, inputs, replaced, own=[self.folder / self.settings_file])

    def _planned(self, image: Input) -> list[Output]:
        if not is_video(image.file):
            return [Output(file) for file in self.outputs(image)]
        made = [Output(file, kind == "ids") for kind, file in self.clip_outputs(image).items()]
        return [*made, Output(self.clip_report(image))]

    def _all_of(self, image: Input) -> list[Path]:
        """What may have been made of an image or video by an earlier start, of every kind there is."""
        if is_video(image.file):
            return [*(_clip_output(self.folder, kind, image.name) for kind in CLIP_KINDS), self.clip_report(image)]
        return [self.output(kind, image.name) for kind in self.endings]

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


def _json(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a name that is no text in any alphabet
        text = json.dumps(settings, indent=2)
    return text + "\n"


def _clip_output(folder: Path, kind: str, name: str) -> Path:
    return Path(folder, kind, name + CLIP_KINDS[kind])


def _relative(base: Path, folder: Path) -> str:
    """The way from the results to the images: stays true when both move together, or are mounted elsewhere."""
    try:
        return Path(os.path.relpath(base, folder.resolve())).as_posix()
    except ValueError:  # another drive
        return base.as_posix()
