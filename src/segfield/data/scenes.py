"""Drawn street scenes as a data set: the embedded default, still or moving, with exact labels, nothing to download."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from segfield.data.dataset import Dataset, Sample, unknown_split
from segfield.data.drawing.materials import SCENE_CLASSES
from segfield.data.drawing.scene import LARGEST, SMALLEST, draw_scene, draw_sequence
from segfield.data.files import write_text
from segfield.data.images import write_png
from segfield.errors import DataError, SettingError, did_you_mean

__all__ = ["SCENE_CLASSES", "SceneOptions", "Scenes", "draw_scene", "draw_sequence", "open_scenes", "write_scenes"]
_STILLS, _FILMS = 96, 12
_MOST = 1_000_000


@dataclass(frozen=True)
class SceneOptions:
    """What may stand after `scenes:`, as `count=64,size=128x192,seed=0`."""

    count: int = 0
    """Number of scenes: streets, each with its own light and camera; 0: 96 stills, or 12 films."""
    size: tuple[int, int] = (160, 240)
    """Height and width in pixels, as `160x240`."""
    seed: int = 0
    """Another seed, other streets: no scene of one seed comes back under another."""
    frames: int = 1
    """Pictures of each scene; more than one makes a film."""
    fps: float = 17.0
    """Pictures a second in a film."""
    jpeg: int = 0
    """Quality 1..95 to pass the images through JPEG; 0: not."""

    def __post_init__(self) -> None:
        if self.count == 0:
            object.__setattr__(self, "count", _STILLS if self.frames == 1 else _FILMS)
        ranges: dict[str, tuple[float, float, float]] = {
            "count": (self.count, 1, _MOST),
            "frames": (self.frames, 1, _MOST),
            "seed": (self.seed, 0, 2**40),
            "fps": (self.fps, 0.01, 1000),
            "jpeg": (self.jpeg, 0, 95),
            "size": (min(self.size), SMALLEST, LARGEST),
            "size ": (max(self.size), SMALLEST, LARGEST),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise SettingError(f"scenes: {name.strip()}={value} is out of range; give {low} to {high}")

    @classmethod
    def parse(cls, options: str) -> SceneOptions:
        """Read `count=64,size=128x192`; nothing at all is good, too.

        Raises:
            SettingError: with the part that cannot be read, and how it is written.
        """
        examples = {"count": "96", "size": "160x240", "seed": "0", "frames": "30", "fps": "17", "jpeg": "60"}
        known = [field.name for field in fields(cls)]
        given: dict[str, int | float | tuple[int, int]] = {}
        for part in filter(None, (p.strip() for p in options.split(","))):
            name, equals, text = (s.strip() for s in part.partition("="))
            if name not in known:
                raise SettingError(f"scenes: there is no option '{name}'; {did_you_mean(name, known)}")
            if name in given:
                raise SettingError(f"scenes: '{name}' is given twice; give it once")
            value = _value(name, text) if equals else None
            if value is None:
                raise SettingError(f"scenes: '{part}' cannot be read; write {name}={examples[name]}")
            given[name] = value
        return cls(**given)  # type: ignore[arg-type]


def _value(name: str, text: str) -> int | float | tuple[int, int] | None:
    if name == "size":
        sides = re.fullmatch(r"(\d{1,9})(?:\s*[xX×]\s*(\d{1,9}))?", text)
        return (int(sides[1]), int(sides[2] or sides[1])) if sides else None
    if name == "fps":
        return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else None


class Scenes(Dataset):
    """Street scenes, drawn when they are asked for.

    Sample i of a data set of stills is `draw_scene(size, seed · 1,000,000 + i)`, called `scene00012`; a film's pictures
    are called `seq0003/00012`. The splits share no street: of the scenes, in order, three fifths are train, one fifth
    val, one fifth test.
    """

    classes = SCENE_CLASSES

    def __init__(self, options: SceneOptions | None = None) -> None:
        self.options = options or SceneOptions()

    @property
    def names(self) -> Sequence[str]:
        o = self.options
        if o.frames == 1:
            return [f"scene{i:05d}" for i in range(o.count)]
        return [f"seq{i:04d}/{t:05d}" for i in range(o.count) for t in range(o.frames)]

    def __len__(self) -> int:
        return self.options.count * self.options.frames

    @property
    def splits(self) -> Sequence[str]:
        return [name for name, scenes in self._scenes_of().items() if scenes]

    def _scenes_of(self) -> dict[str, range]:
        count = self.options.count
        held_out = max(1, round(count / 5)) if count >= 3 else 0
        train, val = count - 2 * held_out, count - held_out
        return {"train": range(train), "val": range(train, val), "test": range(val, count)}

    def __getitem__(self, index: int) -> Sample:
        o = self.options
        if not -len(self) <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        scene, frame = divmod(index % len(self), o.frames)
        image, labels = draw_scene(o.size, o.seed * _MOST + scene, frame / o.fps, o.jpeg)
        name = f"scene{scene:05d}" if o.frames == 1 else f"seq{scene:04d}/{frame:05d}"
        return Sample(name, image, labels)

    def split(self, name: str) -> Dataset:
        if name not in self.splits:
            raise unknown_split(name, self.splits)
        scenes, frames = self._scenes_of()[name], self.options.frames
        return self.subset(range(scenes.start * frames, scenes.stop * frames), name)

    def describe(self) -> str:
        o = self.options
        kind = "street scenes" if o.frames == 1 else f"films of street scenes, {o.frames} frames at {o.fps:g} a second"
        sizes = ", ".join(f"{len(self.split(name))} {name}" for name in self.splits)
        return (
            f"scenes: {o.count} drawn {kind}, {o.size[0]}x{o.size[1]} pixels, seed {o.seed}: {sizes} "
            f"(60/20/20 by street, none in two splits); {len(self.classes)} classes: {', '.join(self.classes.names)}"
        )


def open_scenes(options: str = "") -> Scenes:
    """The data set of `scenes:OPTIONS`, e.g. `count=96,size=160x240,seed=0,frames=1`.

    Raises:
        SettingError: if an option is unknown, cannot be read or is out of range.
    """
    return Scenes(SceneOptions.parse(options))


def write_scenes(folder: str | Path, options: str = "count=12") -> Path:
    """Write drawn scenes as a folder of images and masks, to look at or to learn the layout from.

    Makes `images/SPLIT/NAME.png`, `masks/SPLIT/NAME.png` (palette PNG, values are ids) and `classes.yaml`.

    Args:
        folder: a new or an empty folder.
        options: as for `open_scenes`.

    Returns:
        The folder.

    Raises:
        DataError: if there are files in the folder already.
        SettingError: if an option cannot be used.
    """
    dataset, target = open_scenes(options), Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is there already and would be overwritten; name a new or an empty folder")
    write_text(target / "classes.yaml", yaml.safe_dump(dataset.classes.as_dict(), sort_keys=False, allow_unicode=True))
    palette = dataset.classes.colour_array()
    for split in dataset.splits:
        for sample in dataset.split(split):
            name = f"{sample.name.replace('/', '_')}.png"
            write_png(target / "images" / split / name, sample.image)
            if sample.labels is not None:
                write_png(target / "masks" / split / name, sample.labels, palette)
    return target
