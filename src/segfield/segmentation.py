"""Segmentation: labels, and if kept probabilities and entropy, of one image; drawn, saved, turned to polygons."""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.classes import Array, ClassTable
from segfield.drawing import Picture, draw_overlay, with_legend
from segfield.errors import DataError, SettingError, did_you_mean
from segfield.polygons import Polygon, geojson_of, trace_polygons

# What can be saved, with the ending of its file: it goes to FOLDER/KIND/NAME.ENDING.
KINDS = {
    "ids": ".png",
    "palette": ".png",
    "overlay": ".jpg",
    "probabilities": ".npz",
    "entropy": ".png",
    "polygons": ".geojson",
}
_LINES_AT_ONCE = 64
_JPEG_LIMIT = 65500  # pixels a side, of the format


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a segmenter says of one image.

    Attributes:
        labels: (H, W) class ids.
        classes: their names and colours.
        probabilities: (K, H, W) float16 or float32, or None where they were not kept.
        name: of the image, without its ending; '/' divides folders.
        kept_entropy: (H, W) float32, where the entropy was computed and the probabilities let go.
    """

    labels: Array
    classes: ClassTable
    probabilities: Array | None = None
    name: str = ""
    kept_entropy: Array | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 2:
            raise DataError(f"labels are (H, W); found an array of {self.labels.shape}")
        wanted = (len(self.classes), *self.labels.shape)
        if self.probabilities is not None and self.probabilities.shape != wanted:
            raise DataError(f"probabilities of these labels and classes are {wanted}; found {self.probabilities.shape}")

    @property
    def entropy(self) -> npt.NDArray[np.float32]:
        """(H, W) float32: entropy of the class probabilities over its largest, log K. 0 certain … 1 all classes alike.

        Raises:
            SettingError: if neither probabilities nor entropy were kept.
        """
        if self.kept_entropy is not None:
            return self.kept_entropy
        if self.probabilities is None:
            raise SettingError(
                "this segmentation keeps neither probabilities nor entropy; predict with keep_entropy=True"
            )
        entropy = np.empty(self.labels.shape, dtype=np.float32)
        for top in range(0, len(entropy), _LINES_AT_ONCE):
            lines = slice(top, top + _LINES_AT_ONCE)
            entropy[lines] = normalised_entropy(self.probabilities[:, lines])
        return entropy

    def overlay(self, image: Array, alpha: float = 0.5, boundaries: bool = False, legend: bool = False) -> Picture:
        """Class colours over the image: (H, W, 3) uint8; with `legend`, the names at its right (then wider).

        Args:
            image: (C, H, W) as it was predicted, any number of bands, or an (H, W, 3) uint8 picture.
            alpha: weight of the colour, 0..1.
            boundaries: white lines where the class changes.
            legend: add the colours and names of the classes that occur.
        """
        drawn = draw_overlay(self._picture(image), self.labels, self.classes, alpha, boundaries)
        return with_legend(drawn, self.labels, self.classes) if legend else drawn

    def palette_image(self) -> Picture:
        """The labels in their classes' colours: (H, W, 3) uint8."""
        drawn: Picture = self.classes.colour_array()[self.labels]
        return drawn

    def polygons(self) -> list[Polygon]:
        """Every region as {class_id, exterior, holes}, exact along pixel edges; see `segfield.polygons`."""
        return trace_polygons(self.labels, self.classes.ignored_id)

    def to_geojson(self) -> dict[str, Any]:
        """The polygons as a GeoJSON FeatureCollection in pixel coordinates."""
        return geojson_of(self.polygons(), self.classes)

    def save(
        self,
        folder: str | Path,
        what: Iterable[str] = ("ids", "palette"),
        image: Array | None = None,
        source: bool = False,
    ) -> list[Path]:
        """Write FOLDER/KIND/NAME for each kind, each file whole or not at all.

        Args:
            folder: made where absent.
            what: of `KINDS`: 'ids' (8- or 16-bit PNG of class ids), 'palette' (PNG in the classes' colours),
                'overlay' (JPEG), 'probabilities' (NPZ, float16 (K, H, W)), 'entropy' (16-bit PNG, 65535 = 1),
                'polygons' (GeoJSON).
            image: (C, H, W) or (H, W, 3); needed for the overlay.
            source: write the values the data set's own files use, in place of ids.

        Returns:
            the files, in the order of `what`.

        Raises:
            SettingError: if a kind is unknown, or needs what is not here.
        """
        kinds = checked_kinds(what)
        if "overlay" in kinds and image is None:
            raise SettingError("an overlay is drawn on the image; give save(..., image=image)")
        if "probabilities" in kinds and self.probabilities is None:
            raise SettingError("this segmentation keeps no probabilities; predict with keep_probabilities=True")
        files = []
        for kind in kinds:
            file = output_file(folder, kind, self.name or "segmentation")
            self._write(kind, file, image, source)
            files.append(file)
        return files

    def _write(self, kind: str, file: Path, image: Array | None, source: bool) -> None:
        # These write; data/images.py brings in the readers' libraries, which a Segmentation alone does not need.
        from segfield.data.files import replacing, write_atomically, write_text
        from segfield.data.images import write_png

        if kind == "ids":
            write_png(file, png_values(self.classes.to_source(self.labels) if source else self.labels))
        elif kind == "palette":
            if self.labels.dtype == np.uint8:
                write_png(file, self.labels, palette=self.classes.colour_array())
            else:
                write_png(file, self.palette_image())
        elif kind == "overlay" and image is not None:
            write_atomically(file, _jpeg(self.overlay(image, boundaries=True)))
        elif kind == "entropy":
            write_png(file, np.rint(self.entropy * 65535).astype(np.uint16))
        elif kind == "probabilities" and self.probabilities is not None:
            with replacing(file) as unfinished:
                _write_npz(unfinished, self.probabilities)
        else:
            write_text(file, json.dumps(self.to_geojson(), ensure_ascii=False) + "\n")

    def _picture(self, image: Array) -> Picture:
        if image.dtype == np.uint8 and image.shape == (*self.labels.shape, 3):
            return image
        from segfield.data.preview import preview

        picture: Picture = preview(image)
        return picture


def normalised_entropy(probabilities: Array) -> npt.NDArray[np.float32]:
    """−Σ p log p / log K over the first axis: (K, ...) → (...) float32, 0..1; 0 where there is but one class."""
    if len(probabilities) == 1:
        return np.zeros(probabilities.shape[1:], dtype=np.float32)
    p = probabilities.astype(np.float32)
    logarithms = np.log(np.maximum(p, np.finfo(np.float32).tiny))
    entropy = -np.einsum("k...,k...->...", p, logarithms) / math.log(len(p))
    return np.asarray(np.clip(entropy, 0, 1), dtype=np.float32)


def checked_kinds(what: Iterable[str]) -> list[str]:
    """The kinds of output asked for, each once. Raises SettingError for an unknown one."""
    kinds = list(dict.fromkeys([what] if isinstance(what, str) else what))
    for kind in kinds:
        if kind not in KINDS:
            raise SettingError(f"'{kind}' cannot be saved; {did_you_mean(kind, KINDS)}")
    if not kinds:
        raise SettingError(f"nothing is to be saved; choose among {', '.join(KINDS)}")
    return kinds


def output_file(folder: str | Path, kind: str, name: str) -> Path:
    """Where an output of an image goes: FOLDER/KIND/NAME.ENDING. Raises SettingError for a name that leads out of the folder."""
    path = Path(folder, kind, name + KINDS[kind])
    if ".." in Path(name).parts or not path.is_relative_to(Path(folder, kind)) or not Path(name).name:
        raise SettingError(
            f"the name '{name}' leads out of the folder '{folder}'; give one without '..' and not absolute"
        )
    return path


def png_values(labels: Array) -> Array:
    """Labels in the smallest unsigned dtype a PNG can hold. Raises DataError for values outside 0..65535."""
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high > 65535:
        raise DataError(f"a PNG holds values 0 to 65535, the labels go from {low} to {high}; choose another ignored id")
    return labels.astype(np.uint8 if high <= 255 else np.uint16)


def _jpeg(picture: Picture) -> bytes:
    from PIL import Image

    step = -(-max(picture.shape[:2]) // _JPEG_LIMIT)
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture[::step, ::step])).save(data, "JPEG", quality=92, subsampling=0)
    return data.getvalue()


def _write_npz(path: Path, probabilities: Array) -> None:
    """A compressed NPZ with the one array 'probabilities', packed a class at a time to hold no second volume."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("probabilities.npy", "w", force_zip64=True) as member,
    ):
        header = {"descr": "<f2", "fortran_order": False, "shape": probabilities.shape}
        np.lib.format.write_array_header_1_0(member, header)
        for plane in probabilities:
            member.write(np.ascontiguousarray(plane, dtype="<f2").tobytes())
