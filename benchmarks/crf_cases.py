"""What the crf_ benchmarks share: real photos with noisy unaries, parameter sets, pydensecrf2 and ours on the same input.

Photos are DAVIS frames of the shared data; where that folder is absent a drawn street scene stands in, and `photo_says` tells.
"""

from __future__ import annotations

import importlib.metadata
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from record import elapsed

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

FRAMES = Path(__file__).resolve().parents[2] / "shared" / "data" / "davis2016" / "DAVIS" / "JPEGImages" / "480p"
SEQUENCES = ("car-shadow", "drift-straight", "kite-surf", "libby")


@dataclass(frozen=True)
class Parameters:
    """A bilateral and a Gaussian kernel: widths in pixels and colour values, weights, and iterations."""

    sxy: float
    srgb: float
    weight: float
    gaussian_sxy: float
    gaussian_weight: float
    iterations: int


PARAMETERS = {
    "DL": Parameters(67, 3, 4, 3, 3, 10),  # DeepLab v2's published choice
    "README": Parameters(80, 13, 10, 3, 3, 5),  # the example in pydensecrf's README
}


@dataclass(frozen=True)
class Case:
    """One input: image (3, H, W) uint8 and unary (K, H, W) float32 energies, both in row order."""

    image: Bytes
    unary: Floats

    @property
    def interleaved(self) -> Bytes:
        """(H, W, 3), as pydensecrf takes it."""
        return np.ascontiguousarray(self.image.transpose(1, 2, 0))


def make_case(width: int, height: int, classes: int, number: int = 0, kind: str = "photo") -> Case:
    """A photo and the energies of a noisy guess: softmax of 4 × blurred one-hot blocks of 40 pixels, plus unit noise.

    Args:
        number: which photo, and the seed of its noise.
        kind: photo, mosaic or enlarged; see `photo`.
    """
    from scipy.ndimage import gaussian_filter

    image = photo(width, height, number, kind)
    rng = np.random.default_rng(number)
    blocks = rng.integers(0, classes, (height // 40 + 1, width // 40 + 1))
    labels = blocks.repeat(40, 0).repeat(40, 1)[:height, :width]
    scores = np.empty((classes, height, width), np.float32)
    for label in range(classes):
        scores[label] = 4 * gaussian_filter((labels == label).astype(np.float32), 5)
        scores[label] += rng.standard_normal((height, width), dtype=np.float32)
    highest = scores.max(axis=0)
    total = np.zeros_like(highest)
    for plane in scores:
        total += np.exp(plane - highest)
    scores -= highest + np.log(total)
    return Case(np.ascontiguousarray(image.transpose(2, 0, 1)), np.negative(scores, out=scores))


def photo(width: int, height: int, number: int = 0, kind: str = "photo") -> Bytes:
    """(H, W, 3) uint8. photo: the frame's corner, shrunk by the largest whole number that still fills the size.

    mosaic: frames side by side at their own scale, for sizes beyond one frame. enlarged: one frame, bicubic, so smooth.
    """
    from PIL import Image

    frames = [first_frame(number + i) for i in range(len(SEQUENCES) if kind == "mosaic" else 1)]
    if kind == "mosaic":
        rows, columns = -(-height // frames[0].shape[0]), -(-width // frames[0].shape[1])
        strips = [np.concatenate([frames[(r + c) % len(frames)] for c in range(columns)], 1) for r in range(rows)]
        return np.concatenate(strips)[:height, :width]
    frame = frames[0]
    scale = min(frame.shape[0] / height, frame.shape[1] / width)
    if kind == "enlarged" or scale < 1:
        cut = frame[: int(height * scale), : int(width * scale)]
        return np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.BICUBIC))
    shrink = int(scale)
    return np.asarray(Image.fromarray(frame[: height * shrink, : width * shrink]).reduce(shrink))


def first_frame(number: int) -> Bytes:
    """(480, 854, 3): the first frame of a DAVIS sequence, or a drawn scene where the data are not at hand."""
    folder = FRAMES / SEQUENCES[number % len(SEQUENCES)]
    if folder.is_dir():
        from PIL import Image

        with Image.open(sorted(folder.glob("*.jpg"))[0]) as picture:
            return np.asarray(picture.convert("RGB"))
    from segfield.data.formats import open_dataset

    image = open_dataset("scenes:count=4,size=480x854")[number % 4].image
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def photo_says() -> str:
    """Where the photos come from, for the details of a result."""
    return "DAVIS frames" if FRAMES.is_dir() else "drawn scenes (the photos are not at hand)"


def pydensecrf(case: Case, parameters: Parameters) -> tuple[Floats, float, float]:
    """pydensecrf2's (K, H, W) probabilities, seconds of the build and of the iterations with the copy."""
    import pydensecrf.densecrf as dcrf

    classes, height, width = case.unary.shape
    energies, pixels = case.unary.reshape(classes, -1), case.interleaved
    begin = time.perf_counter()
    model = dcrf.DenseCRF2D(width, height, classes)
    model.setUnaryEnergy(energies)
    model.addPairwiseGaussian(sxy=parameters.gaussian_sxy, compat=parameters.gaussian_weight)
    model.addPairwiseBilateral(
        sxy=parameters.sxy, srgb=parameters.srgb, rgbim=pixels, compat=parameters.weight
    )  # fmt: skip
    built = time.perf_counter()
    found = np.array(model.inference(parameters.iterations), dtype=np.float32).reshape(classes, height, width)
    return found, built - begin, elapsed(built)


def ours(case: Case, parameters: Parameters, threads: int | None = None, **options: Any) -> tuple[Floats, float, float]:
    """Our (K, H, W) probabilities, seconds of the build and of the iterations: the two halves of a call of DenseCRF."""
    refiner = dense_crf(parameters, **options)
    begin = time.perf_counter()
    prepared = refiner.prepare(case.image, threads=threads)
    built = time.perf_counter()
    found = prepared.run(case.unary)
    return found, built - begin, elapsed(built)


def dense_crf(parameters: Parameters, **options: Any) -> Any:
    """A DenseCRF with these parameters; options such as accuracy='fine'."""
    from segfield.crf import DenseCRF

    return DenseCRF(
        bilateral_weight=parameters.weight,
        bilateral_sxy=parameters.sxy,
        bilateral_srgb=parameters.srgb,
        gaussian_weight=parameters.gaussian_weight,
        gaussian_sxy=parameters.gaussian_sxy,
        iterations=parameters.iterations,
        **options,
    )


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return elapsed(begin)


def in_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each; they take turns, so that a busy moment hits all of them."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            taken[name].append(seconds(run))
    return {name: statistics.median(values) for name, values in taken.items()}


def labels_differ(first: Floats, second: Floats) -> float:
    """Share of pixels, in per cent, whose most probable class is another."""
    return 100 * float((first.argmax(axis=0) != second.argmax(axis=0)).mean())


def peak_memory_mib() -> float:
    """Highest resident size of this process so far; on Linux since the last `forget_peak`."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def forget_peak() -> float:
    """Start the peak anew from what is resident now (Linux); MiB."""
    switch = Path("/proc/self/clear_refs")
    if switch.is_file():
        switch.write_text("5")
    return peak_memory_mib()


def version(package: str) -> str:
    return importlib.metadata.version(package)
