"""`segfield export`: a segmenter as one ONNX file that predicts without torch, checked against the original."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from segfield.errors import DataError, SettingError

if TYPE_CHECKING:
    from rich.console import Console

    from segfield.classes import Array
    from segfield.data.dataset import Dataset, Sample
    from segfield.exported import ExportedSegmenter
    from segfield.segmenter import Segmenter


def export(
    segmenter: str,
    out: str | None = None,
    *,
    int8: str | None = None,
    classes: str | None = None,
    images: int = 32,
    check: bool = True,
    image_range: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a segmenter as ONNX, for any size of image and batch, and compare it with the original.

    The file holds network, input scaling, class table and refiner: `segfield predict` and `evaluate` take it in place of the
    segmenter file, and run it by OpenVINO or ONNX Runtime. Other programs give it raw pixel values and get logits.

    Args:
        segmenter: the file `segfield train` wrote.
        out: the file to write; by default the segmenter's name with .onnx, or .int8.onnx, beside it.
        int8: a data set, as for `segfield train`: write the network in 8-bit integers, about a third of the size and
            often faster on a CPU; images of its split train tell the ranges of values, and val tells what it costs in mIoU.
        classes: class table that replaces the data set's own.
        images: of train for the ranges, and of val for the comparison.
        check: run the file and compare its labels with the segmenter's: on noise of two sizes, or in 8-bit integers on val.
        image_range: the value that counts as white in the images of int8, where that cannot be told, as for `segfield predict`.
        overwrite: replace a file that is there.

    Returns:
        The file's path.

    Raises:
        SegfieldError: if the segmenter or the data cannot be read, the network not be exported, or the exported file says
            something else than it.
    """
    from rich.console import Console

    from segfield.data.formats import open_dataset
    from segfield.data.leftovers import temporary_folder
    from segfield.data.output_plan import Output, OutputFolder
    from segfield.data.replacement import about_to_replace
    from segfield.exported import SUFFIX, ExportedSegmenter, agreement, export_segmenter, quantise_segmenter
    from segfield.inference.devices import set_threads
    from segfield.inference.range_notes import counted_range_notes
    from segfield.segmenter import Segmenter

    console = Console(highlight=False, soft_wrap=True)
    target = Path(out) if out is not None else Path(segmenter).with_suffix(f".int8{SUFFIX}" if int8 else SUFFIX)
    if target.suffix.lower() != SUFFIX:
        raise SettingError(
            f"out is '{target}', which does not end in {SUFFIX}; give a name such as {target.stem}{SUFFIX}"
        )
    if target.exists() and not overwrite:
        raise SettingError(f"{target} is there already; give another --out, or --overwrite true")
    place = OutputFolder(target.parent, "export")
    place.check([Output(target)], [segmenter, *([classes] if classes else [])])
    if images < 1:
        raise SettingError(f"images is {images}; give how many to look at, 1 or more")
    set_threads()
    loaded = Segmenter.load(segmenter, device="cpu")
    loaded.image_range = image_range
    parts = _parts(open_dataset(int8, classes), images, loaded) if int8 else None
    # in its place only when it is known to be right
    with temporary_folder(target.parent) as unfinished:
        draft, whole = unfinished / f"draft{SUFFIX}", unfinished / f"whole{SUFFIX}"
        with console.status(f"exporting {loaded.spec.name}"):
            export_segmenter(loaded, draft)
        told = ""
        if parts is not None:
            draft.replace(whole)
            with counted_range_notes(partial(console.print, markup=False, soft_wrap=True)):
                with console.status(f"finding the ranges of values on {len(parts[0])} images"):
                    quantise_segmenter(whole, draft, (_window(sample, loaded) for sample in parts[0]))
                if check:
                    told = _cost(*_both(whole, draft, image_range), parts[1], console)
        elif check:
            found = agreement(loaded, ExportedSegmenter.load(draft))
            if found.labels < LEAST_AGREEMENT:
                raise SettingError(
                    f"the exported network does not predict as {segmenter} does ({100 * found.labels:.2f} % of labels are "
                    f"the same), so {target} was not written; predict with the segmenter file, and please report the network"
                )
            sizes = " and ".join(f"{height}×{width}" for height, width in found.sizes)
            told = f"{100 * found.labels:.2f} % of labels as before on noise of {sizes}, run by {found.engine}"
        with place.writing():
            about_to_replace(draft, target)
            draft.replace(target)
    bands, count = loaded.bands, len(loaded.classes)
    raw = "raw values" if loaded.values is None else f"raw values ({loaded.values})"
    console.print(
        f"input image (batch, {bands}, height, width) float32, {raw}; output logits (batch, {count}, height, width)",
        highlight=False,
        soft_wrap=True,
    )
    if told:
        console.print(told)
    console.print(f"{target}, {target.stat().st_size / 2**20:.1f} MiB; next: segfield predict {target} photos/")
    return target


LEAST_AGREEMENT = 0.97
"""Of labels on noise, where classes lie close together and bfloat16 may tip them."""

MOST_LOST = 0.1
"""Of mIoU by 8-bit integers, 0..1; beyond that the file is refused."""


SIDE = 1024
"""Pixels: of larger images the middle tells the ranges of values."""


def _parts(dataset: Dataset, count: int, segmenter: Segmenter) -> list[Dataset]:
    """At most so many images of train and of val (of all, where a split is not there), evenly spaced."""
    from segfield.inference.scoring import check_same_classes

    check_same_classes(segmenter, dataset)
    parts = []
    for name in ("train", "val"):
        part = dataset.split(name) if name in dataset.splits else dataset
        if not len(part):
            raise DataError(f"there are no images in '{name}'; 8-bit integers need some to find the ranges of values")
        taken = min(count, len(part))
        parts.append(part.subset([n * len(part) // taken for n in range(taken)], name))
    return parts


def _both(whole: Path, draft: Path, image_range: float | None) -> tuple[ExportedSegmenter, ExportedSegmenter]:
    from segfield.exported import ExportedSegmenter

    before, after = ExportedSegmenter.load(whole), ExportedSegmenter.load(draft)
    before.image_range = after.image_range = image_range
    return before, after


def _window(sample: Sample, segmenter: Segmenter) -> Array:
    """The middle of a sample's image, float32, in the segmenter's numbers and bands as in prediction."""
    from segfield.data.images import fit_bands

    image = fit_bands(segmenter.in_own_units(sample.image, sample.name), segmenter.bands, sample.name)
    top, left = (max(0, (length - SIDE) // 2) for length in image.shape[1:])
    return image[:, top : top + SIDE, left : left + SIDE].astype("float32")


def _cost(before: ExportedSegmenter, after: ExportedSegmenter, val: Dataset, console: Console) -> str:
    """What 8-bit integers change on labelled images, as a sentence.

    Raises:
        SettingError: if that is too much.
    """
    from segfield.inference.scoring import evaluate_segmenter

    scores = []
    for name, each in (("float32", before), ("int8", after)):
        console.print(f"{name}, by {each.engine}:")
        found, _ = evaluate_segmenter(
            each, val, boundaries=False, calibration=False, worst=0, refine="off", console=console
        )
        scores.append(found.scores.mean_iou)
    told = f"mIoU {100 * scores[0]:.2f} → {100 * scores[1]:.2f} in 8-bit integers, on {len(val)} images of {val.split_name}"
    if scores[0] - scores[1] > MOST_LOST:
        raise SettingError(
            f"{told}: too much is lost, so nothing was written; export without --int8, or give more --images"
        )
    return told
