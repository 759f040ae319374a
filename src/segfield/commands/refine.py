"""The verb `refine`: an image and its labels or probabilities → edges cleaned by the dense CRF. No classifier is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from segfield.errors import DataError, SettingError, did_you_mean

if TYPE_CHECKING:
    from segfield.classes import Array, ClassTable
    from segfield.crf.refiner import Refiner
    from segfield.inference.inputs import Input
    from segfield.inference.results import ResultsFolder
    from segfield.segmentation import Segmentation

SETTINGS_FILE = "refine.json"
# what can be kept, with its ending
SAVED = {"ids": ".png", "palette": ".png", "overlay": ".jpg", "probabilities": ".npz", "compare": ".png"}
_GAP = 4  # pixels between the pictures of a comparison


def refine(
    images: str,
    labels: str,
    out: str = "refined",
    *,
    save: str | Sequence[str] = "ids,palette,overlay",
    confidence: float = 0.7,
    unknown: str = "",
    classes: str | None = None,
    preset: str | None = None,
    bilateral_weight: float | None = None,
    bilateral_sxy: float | None = None,
    bilateral_srgb: float | None = None,
    gaussian_weight: float | None = None,
    gaussian_sxy: float | None = None,
    iterations: int | None = None,
    normalization: Literal["none", "before", "after", "symmetric"] | None = None,
    accuracy: Literal["fast", "fine", "exact"] | None = None,
    image_range: float | None = None,
    device: str = "auto",
    overwrite: bool = False,
    quiet: bool = False,
) -> list[Path]:
    """Clean the edges of labels or probabilities by the image they belong to, with a fully connected CRF.

    Args:
        images: image file, or folder of images.
        labels: labels of the image (PNG: palette, grey ids or RGB colours), or its probabilities (.npz, .npy:
            (K, H, W) or (H, W, K), as `segfield predict --save probabilities` writes them); or a folder of these, one for
            each image and of its name.
        out: folder the results go to.
        save: what to keep, divided by commas: ids (PNG, values as in the labels given), palette (PNG in their
            colours), overlay (JPEG), probabilities (NPZ), compare (PNG: image, before, after, what changed).
        confidence: how sure the given labels are, 0 to 1.
        unknown: value of pixels without a known label, which the CRF fills: a number, black, or a colour '#rrggbb'.
            Where it is not given, all labels are known.
        classes: class table with names and colours; otherwise each value or colour is a class.
        preset: parameters to begin with: the name of a preset or refiner (deeplab, pydensecrf_readme, guided_filter …), or a
            JSON file.
        bilateral_weight: weight of the kernel over position and colour.
        bilateral_sxy: its reach in pixels.
        bilateral_srgb: its reach in colour, in units of 0..255.
        gaussian_weight: weight of the kernel over position alone.
        gaussian_sxy: its reach in pixels.
        iterations: of the mean field.
        normalization: of the kernels.
        accuracy: fast or fine (lattice), or exact.
        image_range: the value that counts as white; where it is not given and the images have not 8 bits, it is found over all
            of them (1023, 4095, 16383 or 65535 of 16-bit files, 1 or 255 of floats, else their largest value) and told.
        device: auto (a GPU if there is one), cpu, cuda, cuda:1; the dense CRF runs on GPUs with CUDA or ROCm, all others on
            the processor.
        overwrite: make results anew that are there already, also where they were made with other settings.
        quiet: say nothing but errors.

    Returns:
        the output files of all complete images.

    Raises:
        SettingError: if a setting is unknown or out of range, or OUT was made with other settings.
        DataError: if a file cannot be used; of a folder, at the end: the others are complete.
    """
    from segfield.crf.refiner import describe_refiner
    from segfield.data.class_files import read_class_table
    from segfield.inference.given import is_array, table_of_labels
    from segfield.inference.results import ResultsFolder

    kinds = _kinds(save)
    options = {
        "bilateral_weight": bilateral_weight, "bilateral_sxy": bilateral_sxy, "bilateral_srgb": bilateral_srgb,
        "gaussian_weight": gaussian_weight, "gaussian_sxy": gaussian_sxy, "iterations": iterations,
        "normalization": normalization, "accuracy": accuracy, "image_range": image_range,
    }  # fmt: skip
    refiner = _refiner(preset, options)
    if not 0 < confidence < 1:
        raise SettingError(f"confidence is {confidence}; give how sure the labels are, between 0 and 1, e.g. 0.7")
    pairs, base = _pairs(images, labels, Path(out))
    refiner = _with_white(refiner, [image for image, _ in pairs], quiet)
    given_labels = [file for _, file in pairs if not is_array(file)]
    marked = str(unknown) or None
    table = read_class_table(classes) if classes else None
    if table is None and given_labels:
        table = table_of_labels(given_labels, marked)
    results = ResultsFolder(Path(out), kinds, endings=SAVED, settings_file=SETTINGS_FILE)
    settings = {"refiner": describe_refiner(refiner), "confidence": confidence, "unknown": marked, "classes": classes}
    inputs = [image for image, _ in pairs]
    read = [file for file in (classes, preset) if file]
    results.open({**settings, "labels_of": str(labels)}, base, inputs, inputs, overwrite, read, dict(pairs))
    job = _Job(refiner, results, table, confidence, quiet, _device(device))
    failed = job.run(pairs)
    if failed:
        rest = f"the other {len(pairs) - failed} are complete in '{out}'" if failed < len(pairs) else "none could be"
        raise DataError(f"{failed} of {len(pairs)} images could not be refined (named above, with the mend); {rest}")
    if not quiet:
        print(job.last_line(pairs))
    return [file for image in inputs for file in results.outputs(image)]


@dataclass
class _Job:
    """One refiner, one folder of results, and what was counted."""

    refiner: Refiner
    results: ResultsFolder
    table: ClassTable | None
    confidence: float
    quiet: bool
    device: Any = None
    changed: int = 0
    filled: int = 0
    pixels: int = 0
    done: int = 0

    def run(self, pairs: Sequence[tuple[Input, Path]]) -> int:
        """Refine what is not complete; gives the number of images that could not be."""
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True, highlight=False, soft_wrap=True)
        waiting = [pair for pair in pairs if not self.results.is_complete(*pair)]
        if len(waiting) < len(pairs) and not self.quiet:
            console.print(f"{len(pairs) - len(waiting)} of {len(pairs)} images are complete already", markup=False)
        shown = console.is_terminal and not self.quiet and len(waiting) > 1
        failed = 0
        for image, file in track(waiting, "refining", console=console, transient=True) if shown else waiting:
            try:
                with self.results.writing():
                    self._one(image, file)
                self.done += 1
            except DataError as error:
                if len(pairs) == 1:
                    raise
                failed += 1
                told = str(error)
                console.print(told if image.file.stem in told else f"{image.file}: {told}", markup=False)
        return failed

    def last_line(self, pairs: Sequence[tuple[Input, Path]]) -> str:
        """How many pixels changed, and where the result is."""
        kinds = f"{', '.join(self.results.kinds)} of {len(pairs)} image{'s' * (len(pairs) > 1)}"
        where = f"the result is in {self.results.folder} ({kinds})"
        if not self.done:
            return where
        filled = f", {self.filled:,} unknown ones were given one" if self.filled else ""
        share = 100 * self.changed / self.pixels
        return f"{self.changed:,} of {self.pixels:,} pixels ({share:.2g} %) changed their label{filled}; {where}"

    def _one(self, image: Input, file: Path) -> None:
        from segfield.data.images import read_image
        from segfield.inference.given import read_given
        from segfield.inference.refining import refine_segmentation

        pixels = read_image(image.file)
        height, width = pixels.shape[1:]
        before = read_given(file, (height, width), self.table, self.confidence, image.name)
        keep = "probabilities" in self.results.kinds
        after = refine_segmentation(before, pixels, self.refiner, keep_probabilities=keep, device=self.device)
        _write(before, after, pixels, self.results)
        unknown = before.labels == before.classes.ignored_id
        self.filled += int(unknown.sum())
        self.changed += int(((before.labels != after.labels) & ~unknown).sum())
        self.pixels += before.labels.size


def _device(name: str) -> Any:
    """The torch device that is meant; None for the processor. torch is loaded only where there can be another."""
    from segfield.machine import gpu_in_sight

    if name == "cpu" or (name == "auto" and not gpu_in_sight()):
        return None
    from segfield.inference.devices import pick_device

    return pick_device(name)


def _refiner(preset: str | None, options: dict[str, Any]) -> Refiner:
    """The preset with the options given in place of its own."""
    from segfield.crf.refiner import build_refiner, named_refiner

    begun = named_refiner(preset or "dense_crf")
    given = {key: value for key, value in options.items() if value is not None}
    return build_refiner({**begun.as_dict(), **given}) if given else begun


def _with_white(refiner: Refiner, images: Sequence[Input], quiet: bool) -> Refiner:
    """The refiner with the white of all images together, where these are of one kind and not of 8 bits."""
    from segfield.crf.refiner import in_range
    from segfield.data.images import read_image
    from segfield.data.value_range import RangeMeter

    if refiner.as_dict().get("image_range", 0) is not None:
        return refiner
    meter, kinds = RangeMeter(), set[str]()
    for image in images:
        try:
            pixels = read_image(image.file)
        except DataError:
            continue  # told where it is refined
        kinds.add(str(pixels.dtype))
        if "uint8" in kinds or len(kinds) > 1:
            return refiner
        meter.add(pixels, image.name)
    if not kinds:
        return refiner
    values = meter.found()
    if not quiet:
        print(f"note: {len(images)} images of {values}; give --image_range where white is another value")
    return in_range(refiner, values)


def _kinds(save: str | Sequence[str]) -> tuple[str, ...]:
    words = ",".join([save] if isinstance(save, str) else save).split(",")
    kinds = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for kind in kinds:
        if kind not in SAVED:
            raise SettingError(f"'{kind}' cannot be saved; {did_you_mean(kind, SAVED)}")
    if not kinds:
        raise SettingError(f"nothing is to be saved; choose among {', '.join(SAVED)}")
    return kinds


def _pairs(images: str, labels: str, out: Path) -> tuple[list[tuple[Input, Path]], Path]:
    """Each image with its labels, by the name below the two folders, without ending; and the images' folder."""
    from segfield.data.images import IMAGE_SUFFIXES
    from segfield.inference.given import GIVEN_SUFFIXES
    from segfield.inference.inputs import find_inputs

    found = find_inputs([images], out, IMAGE_SUFFIXES)
    if Path(labels).is_file() and len(found.images) == 1:
        return [(found.images[0], Path(labels))], found.base
    given = {item.name: item.file for item in find_inputs([labels], out, GIVEN_SUFFIXES).images}
    missing = [image for image in found.images if image.name not in given]
    if missing:
        have = next(iter(given), "")
        raise DataError(
            f"{len(missing)} of {len(found.images)} images have no labels of their name in '{labels}', e.g. "
            f"{missing[0].file.name} (there is {Path(have).name}, …); give each its image's name, without the ending"
        )
    return [(image, given[image.name]) for image in found.images], found.base


def _write(before: Segmentation, after: Segmentation, image: Array, results: ResultsFolder) -> None:
    from segfield.data.images import write_png

    name, kinds = after.name, [kind for kind in results.kinds if kind != "compare"]
    values = after.classes.source_values
    if "palette" in kinds and values and min(values) >= 0 and max(values) <= 255:
        # index for index as in the file given, so that one can take the other's place
        kinds.remove("palette")
        write_png(results.output("palette", name), after.classes.to_source(after.labels), _palette(after.classes))
    if kinds:
        after.save(results.folder, kinds, image=image, source=bool(values))
    if "compare" in results.kinds:
        write_png(results.output("compare", name), _comparison(before, after, image))


def _palette(classes: ClassTable) -> Array:
    """(256, 3): colours by the values in the files."""
    import numpy as np

    palette = np.zeros((256, 3), np.uint8)
    colours = classes.colour_array()
    for value, target in classes.source_values.items():
        palette[value] = colours[target]
    return palette


def _comparison(before: Segmentation, after: Segmentation, image: Array) -> Array:
    """Image, labels before and after, and in red what changed: (H, 4 W + gaps, 3) uint8."""
    import numpy as np

    from segfield.data.preview import preview
    from segfield.evaluation.pictures import error_picture

    shown = preview(image)
    gap = np.full((len(shown), _GAP, 3), 255, np.uint8)
    changed = error_picture(shown, before.labels, after.labels, before.classes.ignored_id)
    return np.hstack([shown, gap, before.palette_image(), gap, after.palette_image(), gap, changed])
