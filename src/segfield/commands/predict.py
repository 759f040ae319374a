"""The verb `predict`: a segmenter, images and videos → a folder of labels and pictures."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from segfield.errors import DataError
from segfield.inference.views import Flips


def predict(
    segmenter: str,
    inputs: list[str],
    out: str = "predictions",
    *,
    save: str | Sequence[str] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    flips: Flips = "none",
    scales: Sequence[float] = (1.0,),
    refine: str = "auto",
    image_range: float | None = None,
    source_values: bool = False,
    smooth: bool = False,
    smooth_strength: float = 0.7,
    consistency: bool = True,
    device: str = "auto",
    engine: Literal["auto", "openvino", "onnxruntime"] = "auto",
    part: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> list[Path]:
    """Predict images and videos of any size with a trained segmenter, into OUT/KIND/NAME.

    A second start goes on where the first ended. Bad images and videos are named and passed over; the exit status is then 2.

    Args:
        segmenter: segmenter file, as `segfield train` writes it (RUN/segmenter.safetensors) or `segfield export` (ONNX), which
            is faster on a CPU. For video in real time, train it with --model icnet, the network made for that.
        inputs: image and video files, folders (searched with all below them) or globs ('photos/**/*.jpg').
        out: folder the results go to; sub-folders of the inputs are mirrored in it.
        save: what to keep, divided by commas: ids (PNG of class ids), palette (coloured PNG), overlay (JPEG),
            probabilities (NPZ, float16), entropy (16-bit PNG, 65535 = all classes alike), polygons (GeoJSON, pixels). Of
            videos, which need `pip install segfield[video]`: overlay and palette (MP4), ids (a folder of PNGs). By default
            ids,palette,overlay of images and overlay of videos.
        tile: pixels a side of a tile. By default images of up to 1024×1024 pixels (2048×2048 on a GPU) go whole, tiles of
            larger ones have 512 (1024), and a video's frames always go whole.
        overlap: pixels that neighbouring tiles share; from the segmenter's receptive field by default.
        flips: average over mirror images: none; horizontal (2 times the work); all, where up and down mean nothing (4 times).
        scales: average over the image at these sizes, e.g. [0.75, 1.0, 1.25].
        refine: clean the edges of the whole image's probabilities: auto (as the segmenter file says), off, on (as it says,
            else the dense CRF's defaults), the name of a preset or refiner, or a JSON file with a refiner's settings. For video
            in real time: off.
        image_range: the value that counts as white in all images given, where they are of another kind or depth than those
            trained on and it cannot be told: 4095 for 12 bits in 16-bit files, 1 for floats of 0..1.
        source_values: write ids as the values the data set's own files use, for a submission.
        smooth: steadier videos: average each frame's probabilities with those before, carried along the motion.
        smooth_strength: share of the past where the motion is sure, 0 to below 1.
        consistency: measure how steady a video's labels are; costs two optical flows a frame.
        device: auto, cpu, cuda, cuda:1 or mps.
        engine: what runs an exported segmenter: auto is openvino where that is installed, else onnxruntime.
        part: i/n: this process does the i-th of n parts, for several processes or machines filling one folder.
        overwrite: make results anew that are there already, also where they were made with other settings.
        quiet: say nothing but errors.

    Returns:
        the output files (and folders of a video's ids) of all complete images and videos.

    Raises:
        SettingError: if a setting is out of range, or OUT was made with other settings.
        DataError: if nothing is found, or at the end if some could not be predicted; the others are complete.
    """
    from segfield.crf.refiner import chosen_refiner, describe_refiner
    from segfield.data.images import IMAGE_SUFFIXES
    from segfield.data.video import VIDEO_SUFFIXES, is_video, load_av
    from segfield.inference.batch import BatchPrediction, noun
    from segfield.inference.clips import ClipSettings
    from segfield.inference.devices import pick_device, set_threads
    from segfield.inference.image import tiling_for
    from segfield.inference.inputs import find_inputs, take_part
    from segfield.inference.results import ResultsFolder
    from segfield.inference.video import flow_if_installed

    pick_device(device)
    found = find_inputs(inputs, Path(out), IMAGE_SUFFIXES, VIDEO_SUFFIXES)
    mine = take_part(found.images, part)
    videos = [each for each in found.images if is_video(each.file)]
    kinds, clip_kinds = _kinds(save, len(videos), len(found.images), quiet)
    clips = ClipSettings(tile, smooth_strength if smooth else None, consistency) if videos else ClipSettings()
    if len(videos) == len(found.images):
        load_av(videos[0].file)
    if videos and consistency and not quiet and flow_if_installed() is None:
        print("note: without OpenCV there is no temporal consistency; pip install segfield[video]", file=sys.stderr)
    set_threads()
    loaded = load_segmenter(segmenter, device, engine)
    loaded.image_range = image_range
    tiling = tiling_for(loaded, tile, overlap, scales)
    options: dict[str, Any] = {"tile": tile, "overlap": overlap, "flips": flips, "scales": list(scales)}
    refiner = chosen_refiner(refine, loaded.refiner, loaded.values)
    results = ResultsFolder(Path(out), kinds, clip_kinds=clip_kinds, legend=True)
    settings = {"segmenter": _digest(Path(segmenter)), **options, "source_values": source_values, **clips.as_settings()}
    settings |= {"tile": tiling[0], "overlap": tiling[1], "whole": tile is None and overlap is None}
    settings |= {"refiner": describe_refiner(refiner)} | ({} if image_range is None else {"image_range": image_range})
    results.open(settings, found.base, found.images, mine, overwrite, read=[segmenter, refine])
    batch = BatchPrediction(loaded, results, {**options, "refine": refiner}, source_values, quiet, clips)
    files = batch.run(mine)
    legend = results.write_legend(loaded.classes)
    bad = len(batch.failed)
    if bad:
        rest = f"the other {len(mine) - bad} are complete in '{out}'" if bad < len(mine) else "none could be"
        raise DataError(
            f"{bad} of {len(mine)} {noun(mine)} could not be predicted (named above, with the mend); {rest}"
        )
    if not quiet:
        count = sum(is_video(each.file) for each in mine)
        print(f"{_done(len(mine) - count, kinds, count, clip_kinds)} in {out}; what the colours mean: {legend}")
    return files


def _kinds(
    save: str | Sequence[str] | None, videos: int, inputs: int, quiet: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what is saved of images, what of videos)."""
    from segfield.inference.clips import checked_clip_kinds
    from segfield.segmentation import checked_kinds

    if save is None:
        return ("ids", "palette", "overlay"), ("overlay",)
    asked = ",".join([save] if isinstance(save, str) else save)
    kinds = checked_kinds(kind.strip() for kind in asked.split(",") if kind.strip())
    if not videos:
        return tuple(kinds), ()
    kept, images_alone = checked_clip_kinds(kinds, images_too=videos < inputs)
    if images_alone and not quiet:
        print(f"note: {', '.join(images_alone)}: of images alone, not of videos", file=sys.stderr)
    return tuple(kinds), tuple(kept)


def _done(images: int, kinds: Sequence[str], videos: int, clip_kinds: Sequence[str]) -> str:
    """'3 segmentations (ids, overlay) and 1 video (overlay) are'."""
    told = [f"{images} segmentations ({', '.join(kinds)})"] if images or not videos else []
    told += [f"{videos} {'video' if videos == 1 else 'videos'} ({', '.join(clip_kinds)})"] if videos else []
    return f"{' and '.join(told)} {'is' if videos == 1 and not images else 'are'}"


def load_segmenter(file: str, device: str, engine: Any) -> Any:
    """Read a segmenter file onto a device. Untyped, because jsonargparse loads the types a verb's module names: torch here."""
    from segfield.exported import open_segmenter

    return open_segmenter(file, device, engine)


def _digest(file: Path) -> str:
    """What tells one segmenter file from another, wherever it lies: the beginning of its SHA-256."""
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
