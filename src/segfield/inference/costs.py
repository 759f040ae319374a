"""What a classifier costs: trainable parameters, multiply–adds, seconds an image, peak memory; all measured."""

from __future__ import annotations

import contextlib
import copy
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from segfield.classes import Array
from segfield.inference.image import predict_image
from segfield.inference.tiles import TiledSegmenter
from segfield.models.classifier import Classifier

LEAST_TIMED = 3
"""Images that are timed even where they take longer than the limit."""


def trainable_parameters(module: nn.Module) -> int:
    """Parameters that training may change: fixed upsampling kernels and the statistics of norms are none."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def multiply_adds(classifier: Classifier, height: int, width: int) -> int:
    """Multiply–adds of convolutions and matrix products on one whole image of (height, width), in evaluation mode.

    Half of what PyTorch's flop counter says, which counts a multiplication and its addition as two. It runs on shapes
    alone (fake tensors), so any size can be counted. Norms, activations and interpolation are left out, as usual.
    """
    evaluated = copy.deepcopy(classifier).eval()
    device = next(evaluated.parameters()).device
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter, torch.no_grad():
        evaluated(torch.zeros((1, classifier.bands, height, width), device=device))
    return int(counter.get_total_flops()) // 2


def prediction_seconds(segmenter: TiledSegmenter, images: Iterable[Array], limit: float = 60.0) -> list[float]:
    """Seconds of each whole-image prediction: scaling, classifier, tiles where the image is large, refiner, labels.

    Args:
        segmenter: what predicts, its refiner, if any, included.
        images: (C, H, W) each. The first one is predicted twice beforehand, untimed: a first call tunes and compiles.
        limit: seconds after which no further image is begun, once three are timed.
    """
    taken: list[float] = []
    for image in images:
        if not taken:
            for _ in range(2):
                predict_image(segmenter, image, refine="auto")
        began = time.perf_counter()
        predict_image(segmenter, image, refine="auto")
        taken.append(time.perf_counter() - began)
        if sum(taken) > limit and len(taken) >= LEAST_TIMED:
            break
    return taken


def training_seconds(stages: Iterable[Sequence[Mapping[str, float]]]) -> float:
    """Seconds of a run, its validations included, from the curves of its stages."""
    return sum(rows[-1]["seconds"] for rows in stages if rows)


def training_rate(stages: Iterable[tuple[Sequence[Mapping[str, float]], int]]) -> float:
    """Images a second over a whole run, its validations included; NaN where nothing was trained.

    Args:
        stages: of each stage, the rows of its curves (with the `step` and `seconds` they were written at) and the images
            of a step: batch size × batches a step × devices.
    """
    known = [(rows[-1], images) for rows, images in stages if rows]
    seconds = sum(row["seconds"] for row, _ in known)
    return sum(row["step"] * images for row, images in known) / seconds if seconds > 0 else float("nan")


class MemoryWatch:
    """The most memory taken since it was made, beyond what was held then.

    On a CUDA device: tensors there, as PyTorch's allocator counts them, those held before included. Else: resident memory
    of this process. What a process has freed it may keep and take again, so work to be compared runs in a process of its own.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self._before = 0
        if self.device.type == "cuda":
            torch.cuda.init()  # type: ignore[no-untyped-call]  # before it there are no statistics to reset
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is held now
            self._before = _resident("VmRSS")

    @property
    def peak(self) -> int:
        """Bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return max(0, _resident("VmHWM") - self._before)


def _resident(entry: str) -> int:
    """Bytes of resident memory: VmRSS now, VmHWM at most; elsewhere than on Linux the most for both.

    On Linux not from getrusage: there a process begins with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(rf"^{entry}:\s+(\d+) kB", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
