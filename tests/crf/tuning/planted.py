"""Images with a planted truth: stripes of three classes, and a classifier that puts each edge a few pixels off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segfield.classes import Array, ClassTable
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.tuning.grid import Grid
from segfield.crf.tuning.trials import Prepared, TuningSample, prepare_crf

CLASSES = ClassTable(("sea", "sand", "grass"))
COLOURS = np.array([[60, 90, 200], [210, 190, 120], [70, 160, 60]])
SIZE = (20, 26)
CRF = DenseCRF(gaussian_weight=1.0, gaussian_sxy=1.5, iterations=3)
GRID = Grid(weights=(1.5, 6.0), sxy=(6.0, 18.0), srgb=(10.0, 40.0), gaussian_weights=(0.0, 1.0))


def planted(images: int, seed: int = 0, shift: float = 2.5, coloured: bool = True) -> list[TuningSample]:
    """Samples whose colours tell the truth (or nothing), and whose classifier errs by `shift` pixels, either way.

    The edges are straight, so that smoothing without colours cannot move them where they belong.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(images):
        along, first, second = _stripes(rng)
        labels = _by_edges(along, first, second).argmax(axis=0).astype(np.uint8)
        error = shift * rng.choice([-1.0, 1.0])
        scores = _by_edges(along, first + error, second + error)
        raised = np.exp(scores / 1.5)
        colours = COLOURS[labels] if coloured else np.full((*SIZE, 3), 128)
        noise = rng.normal(0, 6 if coloured else 40, (*SIZE, 3))
        image = np.clip(colours + noise, 0, 255).astype(np.uint8).transpose(2, 0, 1)
        samples.append((image, (raised / raised.sum(axis=0)).astype(np.float16), labels))
    return samples


def speckled(images: int, lines: bool, seed: int = 0) -> list[TuningSample]:
    """Samples whose classifier errs pixel by pixel.

    Lines one pixel wide whose colours tell the truth: smoothing without colours rubs them out. Or broad stripes in an
    image of noise: nothing but smoothing without colours finds them.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(images):
        down, right = np.mgrid[: SIZE[0], : SIZE[1]]
        across = (down if rng.integers(2) else right) + rng.integers(5)
        labels = across % 5 == 0 if lines else _by_edges(*_stripes(rng)).argmax(axis=0)
        labels = labels.astype(np.uint8)
        scores = 2.0 * (labels == np.arange(3)[:, None, None]) + rng.normal(0, 1.2, (3, *SIZE))
        raised = np.exp(scores)
        colours = COLOURS[labels] + rng.normal(0, 2, (*SIZE, 3)) if lines else rng.uniform(0, 255, (*SIZE, 3))
        image = np.clip(colours, 0, 255).astype(np.uint8).transpose(2, 0, 1)
        samples.append((image, (raised / raised.sum(axis=0)).astype(np.float16), labels))
    return samples


class CountingPrepare:
    """`prepare_crf`, with a list of the bandwidth pairs that were built."""

    def __init__(self) -> None:
        self.built: list[tuple[object, object]] = []

    def __call__(self, image: Array, crf: DenseCRF) -> Prepared:
        self.built.append((crf.bilateral_sxy, crf.bilateral_srgb))
        return prepare_crf(image, crf)


class ByHand:
    """Stands for a CRF where only the bookkeeping is tested: one-hot labels of `answers[bilateral weight, Gaussian weight]`."""

    def __init__(self, answers: dict[tuple[float, float], Array]) -> None:
        self.answers = answers

    def run(self, unary: Array, *, bilateral_weight: float, gaussian_weight: float) -> Array:
        labels = self.answers[bilateral_weight, gaussian_weight]
        one_hot: Array = (labels[None] == np.arange(len(unary))[:, None, None]).astype(np.float32)
        return one_hot


def pooled_mean_iou(samples: Sequence[TuningSample], found: Sequence[Array], classes: int) -> float:
    """mIoU by its definition, pixel by pixel: over the classes in the truth of all images together, ignored 255 out."""
    truth = np.concatenate([labels.ravel() for _, _, labels in samples])
    labels = np.concatenate([np.asarray(one).ravel() for one in found])[truth != 255]
    truth = truth[truth != 255]
    values = [
        np.sum((truth == k) & (labels == k)) / np.sum((truth == k) | (labels == k))
        for k in range(classes)
        if (truth == k).any()
    ]
    return float(np.mean(values))


def _stripes(rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    down, right = np.mgrid[: SIZE[0], : SIZE[1]]
    along = (down - SIZE[0] / 2) * np.sin(angle) + (right - SIZE[1] / 2) * np.cos(angle)
    return along, rng.uniform(-6, -4), rng.uniform(4, 6)


def _by_edges(along: npt.NDArray[np.float64], first: float, second: float) -> npt.NDArray[np.float64]:
    """(3, H, W) scores: signed distance to each stripe."""
    return np.stack([first - along, np.minimum(along - first, second - along), along - second])
