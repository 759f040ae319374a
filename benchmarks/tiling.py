"""Peak memory of predicting an 8192×8192 image by tiles, and whether the tiles leave a seam.

Memory: DeepLabV3+ on MobileNetV2 with 19 classes predicts and saves in a fresh process; what is read is the highest
resident memory above that with the segmenter and the image loaded. The U-Net of 31 million parameters does a strip of
the same width, as the memory hangs on the row of tiles. Seam: a linear convolutional network whose receptive field is
within the margin, tiled against whole. `--quick` takes 2048×2048 and DeepLabV3+ alone.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MIB = 2**20
CLASSES = 19
GOAL = 1024.0  # MiB
MODEL, SECOND_MODEL, STRIP = "deeplabv3plus:mobilenetv2_100", "unet_padded", 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2048×2048, one network; the number is not kept")
    parser.add_argument("--measure", metavar="MODEL", help="(inner) one measurement in this process")
    parser.add_argument("--height", type=int, help="(inner) of that image")
    parser.add_argument("--width", type=int, help="(inner) of that image")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.height, options.width)))
        return
    from record import record

    size = 2048 if options.quick else 8192
    measured = {f"{MODEL}, {size}×{size}": in_fresh_process(MODEL, size, size)}
    if not options.quick:
        measured[f"{SECOND_MODEL}, {STRIP}×{size}"] = in_fresh_process(SECOND_MODEL, STRIP, size)
    for model, facts in measured.items():
        print(
            f"{model}: {facts['peak_mib']:.0f} MiB above the loaded image ({facts['said_mib']:.0f} said before), "
            f"{facts['tiles']} tiles, {facts['seconds']:.0f} s, then {facts['saving_peak_mib']:.0f} MiB to save"
        )
    difference = largest_seam()
    print(f"linear network, tiled against whole: largest difference of probabilities {difference:.2g}")
    worst = max(max(facts["peak_mib"], facts["saving_peak_mib"]) for facts in measured.values())
    volume = CLASSES * size * size * 4 / MIB
    record(
        "tiling",
        worst,
        "MiB",
        versus=f"{volume:.0f} MiB, the float32 probabilities of the whole image ({CLASSES}×{size}×{size})",
        goal=GOAL,
        met=worst < GOAL and difference < 1e-5,
        details={"largest_seam": difference, "seam_goal": 1e-5, "memory": measured},
        quick=options.quick,
    )


def in_fresh_process(model: str, height: int, width: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", model, "--height", str(height), "--width", str(width)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    facts: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return facts


def measure(model: str, height: int, width: int) -> dict[str, Any]:
    """Predict and save an image; memory above that of the process with segmenter and image, in MiB."""
    import numpy as np
    import torch

    from segfield.classes import ClassTable
    from segfield.inference.devices import set_threads
    from segfield.inference.image import plan_for, predict_image
    from segfield.inference.memory import network_bytes, peak_bytes
    from segfield.models import build_classifier
    from segfield.segmenter import ClassifierSpec, Scaling, Segmenter

    set_threads()
    torch.manual_seed(0)
    classifier = build_classifier(model, 3, CLASSES).to(memory_format=torch.channels_last)
    classes = ClassTable(tuple(f"class {i}" for i in range(CLASSES)))
    scaling = Scaling((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))
    segmenter = Segmenter(classifier, ClassifierSpec(model, 3, CLASSES), classes, scaling)
    image = np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8)
    predict_image(segmenter, image[:, :64, :64])  # first-use costs of the libraries are not the image's
    plan = plan_for(segmenter, height, width)
    said = peak_bytes(plan, CLASSES, network_bytes(segmenter.window_logits, 3), keep_entropy=False)
    before = reset_peak()
    begun = time.perf_counter()
    segmentation = predict_image(segmenter, image)
    seconds = time.perf_counter() - begun
    peak = status("VmHWM") - before
    reset_peak()
    with tempfile.TemporaryDirectory() as folder:
        segmentation.save(folder, ["ids", "palette", "overlay"], image=image)
    return {
        "peak_mib": round(peak / MIB, 1),
        "said_mib": round(said.total / MIB, 1),
        "saving_peak_mib": round((status("VmHWM") - before) / MIB, 1),
        "tiles": len(plan),
        "tile": [plan.tile_height, plan.tile_width],
        "overlap": plan.overlap,
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
    }


def reset_peak() -> int:
    """Hand free memory back, begin the peak anew; resident bytes now."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def status(key: str) -> int:
    """A figure of /proc/self/status (Linux), in bytes."""
    found = re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    if found is None:
        raise SystemExit(f"/proc/self/status has no {key}: this benchmark needs Linux")
    return int(found[1]) * 1024


def largest_seam(height: int = 1500, width: int = 1300) -> float:
    """Largest difference between tiled and whole probabilities of a linear network that sees 15 pixels each way."""
    import numpy as np
    import torch

    from segfield.inference.tiles import TilePlan, predict_tiled

    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 3), (8, 8), (CLASSES, 8)]
    weights = [torch.randn(*shape, 11, 11, generator=generator) / (11 * shape[1] ** 0.5) for shape in shapes]

    def window_logits(tiles: torch.Tensor) -> torch.Tensor:
        x = tiles / 64 - 2
        for weight in weights:
            x = torch.nn.functional.conv2d(x, weight, padding=5)
        return x

    image = np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8)
    with torch.inference_mode():
        whole = torch.softmax(window_logits(torch.from_numpy(image).float()[None]), dim=1)[0]
    differences = []

    def consume(top: int, probabilities: torch.Tensor) -> None:
        same_lines = whole[:, top : top + probabilities.shape[1]]
        differences.append((probabilities - same_lines).abs().max().item())

    predict_tiled(window_logits, image, CLASSES, TilePlan.of(height, width, tile=512, margin=15), consume)
    return max(differences)


if __name__ == "__main__":
    main()
