"""What is announced for a dense CRF against what its arrays come to: NumPy tells tracemalloc of each, so that it is a count."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from segfield.crf import buffers
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.memory import Ledger, crf_bytes
from segfield.data.scenes import draw_scene


def image_of(kind: str, height: int, width: int) -> Any:
    rng = np.random.default_rng(0)
    if kind == "noise":
        return rng.integers(0, 256, (3, height, width), dtype=np.uint8)
    drawn = draw_scene((height, width), 3)[0].astype(np.float64) + rng.normal(0, 4, (3, height, width))
    return np.clip(drawn, 0, 255).astype(np.uint8)


def probabilities_of(classes: int, height: int, width: int) -> Any:
    values = np.random.default_rng(1).random((classes, height, width), dtype=np.float32) + 0.01
    return values / values.sum(axis=0)


def counted(crf: DenseCRF, image: Any, probabilities: Any) -> int:
    """The most bytes that NumPy's arrays came to during a call."""
    crf(image, probabilities=probabilities)  # compiles
    buffers._spare.clear()
    tracemalloc.start()
    try:
        crf(image, probabilities=probabilities)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


CASES: list[tuple[str, int, tuple[int, int], dict[str, Any]]] = [
    ("scene", 21, (210, 280), {}),  # with iterations at half resolution
    ("noise", 12, (204, 210), {}),
    ("scene", 5, (120, 160), {"bilateral_sxy": 20, "bilateral_srgb": 10}),
    ("noise", 2, (100, 140), {"gaussian_sxy": 1}),
    ("scene", 8, (120, 160), {"bilateral_weight": 0}),
    ("scene", 3, (120, 160), {"gaussian_weight": 0, "normalization": "none"}),
    ("scene", 6, (90, 120), {"accuracy": "fine", "iterations": 10}),
    ("scene", 3, (200, 300), {"tile": 120, "bilateral_sxy": 10}),
    ("scene", 4, (100, 120), {"damping": 0.5}),
    ("scene", 3, (60, 80), {"accuracy": "exact", "iterations": 2}),
]


QUICK = (0, 1, 4, 7, 9)
"""The others compile loops that no other test of `make test` wants."""


@pytest.mark.parametrize(
    ("kind", "classes", "size", "settings"),
    [pytest.param(*case, marks=() if i in QUICK else pytest.mark.thorough) for i, case in enumerate(CASES)],
    ids=str,
)
def test_what_is_announced_is_within_15_per_cent_of_what_is_taken(
    kind: str, classes: int, size: tuple[int, int], settings: dict[str, Any]
) -> None:
    image, crf = image_of(kind, *size), DenseCRF(**settings)
    found = counted(crf, image, probabilities_of(classes, *size))
    assert crf_bytes(crf, image, classes) == pytest.approx(found, rel=0.15)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_images_of_other_depths_are_counted_as_floats(dtype: str) -> None:
    image = image_of("scene", 120, 160).astype(dtype)
    crf = DenseCRF(image_range=255)
    found = counted(crf, image, probabilities_of(3, 120, 160))
    assert crf_bytes(crf, image, 3) == pytest.approx(found, rel=0.15)


def test_spare_buffers_are_taken_again_and_the_oldest_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.crf.memory.KEPT_BYTES", 4 * 30_000)
    ledger = Ledger()
    first = ledger.borrow(10_000)
    ledger.give_back(first)
    assert (ledger.held, ledger.borrow(9_000), ledger.held) == (40_000, 10_000, 40_000)
    ledger.give_back(10_000, ledger.borrow(25_000))  # together more than is kept
    assert (ledger.held, ledger.peak) == (100_000, 140_000)
