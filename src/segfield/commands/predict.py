"""The verb `predict`: a segmenter and images → a folder of labels and pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segfield.errors import DataError
from segfield.inference.views import Flips


def predict(
    segmenter: str,
    inputs: list[str],
    out: str = "predictions",
    *,
    save: str | Sequence[str] = "ids,palette,overlay",
    tile: int | None = None,
    overlap: int | None = None,
    flips: Flips = "none",
    scales: Sequence[float] = (1.0,),
    refine: str = "auto",
    source_values: bool = False,
    device: str = "auto",
    part: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> list[Path]:
    """Predict images of any size with a trained segmenter, into OUT/KIND/NAME.

    A second start goes on where the first ended. Bad images are named and passed over; the exit status is then 2.

    Args:
        segmenter: segmenter file, as `segfield train` writes it (RUN/segmenter.safetensors).
        inputs: image files, folders (searched with all below them) or globs ('photos/**/*.jpg').
        out: folder the results go to; sub-folders of the inputs are mirrored in it.
        save: what to keep, divided by commas: ids (PNG of class ids), palette (coloured PNG), overlay (JPEG),
            probabilities (NPZ, float16), entropy (16-bit PNG, 65535 = all classes alike), polygons (GeoJSON, pixels).
        tile: pixels a side of a tile; 512 on the CPU and 1024 on a GPU by default. Images that fit go whole.
        overlap: pixels that neighbouring tiles share; from the segmenter's receptive field by default.
        flips: average over mirror images: none; horizontal (2 times the work); all, where up and down mean nothing (4 times).
        scales: average over the image at these sizes, e.g. [0.75, 1.0, 1.25].
        refine: clean the edges of the whole image's probabilities: auto (as the segmenter file says), off, on (as it says,
            else the dense CRF's defaults), the name of a preset or refiner, or a JSON file with a refiner's settings.
        source_values: write ids as the values the data set's own files use, for a submission.
        device: auto, cpu, cuda, cuda:1 or mps.
        part: i/n: this process does the i-th of n parts, for several processes or machines filling one folder.
        overwrite: make results anew that are there already, also where they were made with other settings.
        quiet: say nothing but errors.

    Returns:
        the output files of all complete images.

    Raises:
        SettingError: if a setting is out of range, or OUT was made with other settings.
        DataError: if no image is found, or at the end if some could not be predicted; the others are complete.
    """
    from segfield.crf.refiner import chosen_refiner, describe_refiner
    from segfield.data.images import IMAGE_SUFFIXES
    from segfield.inference.batch import BatchPrediction
    from segfield.inference.devices import pick_device, set_threads
    from segfield.inference.image import tiling_for
    from segfield.inference.inputs import find_inputs, take_part
    from segfield.inference.results import ResultsFolder
    from segfield.segmentation import checked_kinds

    asked = ",".join([save] if isinstance(save, str) else save)
    kinds = checked_kinds(kind.strip() for kind in asked.split(",") if kind.strip())
    target = pick_device(device)
    found = find_inputs(inputs, Path(out), IMAGE_SUFFIXES)
    mine = take_part(found.images, part)
    set_threads()
    loaded = load_segmenter(segmenter, str(target))
    tile, overlap, _ = tiling_for(loaded, tile, overlap, scales)
    options: dict[str, Any] = {"tile": tile, "overlap": overlap, "flips": flips, "scales": list(scales)}
    refiner = chosen_refiner(refine, loaded.refiner)
    results = ResultsFolder(Path(out), tuple(kinds))
    settings = {"segmenter": _digest(Path(segmenter)), **options, "source_values": source_values}
    settings["refiner"] = describe_refiner(refiner)
    results.open(settings, found.base, found.images, mine, overwrite)
    batch = BatchPrediction(loaded, results, {**options, "refine": refiner}, source_values, quiet)
    files = batch.run(mine)
    legend = results.write_legend(loaded.classes)
    bad = len(batch.failed)
    if bad:
        rest = f"the other {len(mine) - bad} are complete in '{out}'" if bad < len(mine) else "none could be"
        raise DataError(f"{bad} of {len(mine)} images could not be predicted (named above, with the mend); {rest}")
    if not quiet:
        print(f"{len(mine)} segmentations ({', '.join(kinds)}) are in {out}; what the colours mean: {legend}")
    return files


def load_segmenter(file: str, device: str) -> Any:
    """Read a segmenter file onto a device. Untyped, because jsonargparse loads the types a verb's module names: torch here."""
    from segfield.segmenter import Segmenter

    return Segmenter.load(file, device=device)


def _digest(file: Path) -> str:
    """What tells one segmenter file from another, wherever it lies: the beginning of its SHA-256."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
