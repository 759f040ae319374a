"""`segfield export`: a segmenter as one ONNX file that predicts without torch, checked against the original."""

from __future__ import annotations

import os
from pathlib import Path

from segfield.errors import SettingError


def export(segmenter: str, out: str | None = None, *, check: bool = True, overwrite: bool = False) -> Path:
    """Write a segmenter as ONNX, for any size of image and batch, and compare it with the original.

    The file holds network, input scaling, class table and refiner: `segfield predict` and `evaluate` take it in place of the
    segmenter file, and run it by OpenVINO or ONNX Runtime. Other programs give it raw pixel values and get logits.

    Args:
        segmenter: the file `segfield train` wrote.
        out: the file to write; by default the segmenter's name with .onnx, beside it.
        check: run the file and compare its labels with the segmenter's on two sizes.
        overwrite: replace a file that is there.

    Returns:
        The file's path.

    Raises:
        SegfieldError: if the segmenter cannot be read or exported, or the exported file says something else than it.
    """
    from rich.console import Console

    from segfield.exported import SUFFIX, ExportedSegmenter, agreement, export_segmenter
    from segfield.inference.devices import set_threads
    from segfield.segmenter import Segmenter

    console = Console(highlight=False, soft_wrap=True)
    target = Path(out) if out is not None else Path(segmenter).with_suffix(SUFFIX)
    if target.suffix.lower() != SUFFIX:
        raise SettingError(
            f"out is '{target}', which does not end in {SUFFIX}; give a name such as {target.stem}{SUFFIX}"
        )
    if target.exists() and not overwrite:
        raise SettingError(f"{target} is there already; give another --out, or --overwrite true")
    set_threads()
    loaded = Segmenter.load(segmenter, device="cpu")
    draft = target.with_name(f".{target.stem}-{os.getpid()}{SUFFIX}")  # in its place only when it is known to be right
    try:
        with console.status(f"exporting {loaded.spec.name}"):
            export_segmenter(loaded, draft)
        found = agreement(loaded, ExportedSegmenter.load(draft)) if check else None
        if found is not None and found.labels < LEAST_AGREEMENT:
            raise SettingError(
                f"the exported network does not predict as {segmenter} does ({100 * found.labels:.2f} % of labels are the same), "
                f"so {target} was not written; predict with the segmenter file, and please report the network"
            )
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    bands, classes = loaded.bands, len(loaded.classes)
    console.print(
        f"input image (batch, {bands}, height, width) float32, raw values; output logits (batch, {classes}, height, width)"
    )
    if found is not None:
        sizes = " and ".join(f"{height}×{width}" for height, width in found.sizes)
        console.print(f"{100 * found.labels:.2f} % of labels as before on noise of {sizes}, run by {found.engine}")
    console.print(f"{target}, {target.stat().st_size / 2**20:.1f} MiB; next: segfield predict {target} photos/")
    return target


LEAST_AGREEMENT = 0.97
"""Of labels on noise, where classes lie close together and bfloat16 may tip them."""
