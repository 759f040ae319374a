"""Components and holes against scikit-image, class by class; holes beside void by the definition; shapes done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import draw, measure

from segfield.errors import DataError
from segfield.evaluation.components import components
from segfield.evaluation.edges import VOID
from tests.evaluation.label_maps import patches


def noise(height, width, classes, seed, void_share=0.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (height, width)).astype(np.int32)
    labels[rng.random(labels.shape) < void_share] = VOID
    return labels


def drawn(seed, height=80, width=97):
    """Rings, discs and slanted lines over each other."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.int32)
    for _ in range(14):
        y, x = rng.integers(0, height), rng.integers(0, width)
        radius, own = rng.integers(3, 18), rng.integers(0, 4)
        labels[draw.disk((y, x), radius, shape=labels.shape)] = own
        labels[draw.disk((y, x), radius / 2, shape=labels.shape)] = rng.integers(0, 4)
        rows, columns = draw.line(y, x, rng.integers(0, height), rng.integers(0, width))
        labels[rows, columns] = rng.integers(0, 4)
    return labels


def bordered(seed):
    labels = patches(seed=seed)[0].astype(np.int32)
    labels[labels == 255] = VOID
    return labels


MAPS = {
    **{f"drawn {seed}": drawn(seed) for seed in range(3)},
    **{f"patches {seed}": bordered(seed) for seed in range(3)},
    **{f"noise of {k}": noise(23, 31, k, seed=k) for k in (2, 3, 4)},
    **{f"noise and void {seed}": noise(23, 31, 2, seed=seed, void_share=0.02) for seed in range(4)},
    "one row": noise(1, 40, 3, seed=1, void_share=0.1),
    "one column": noise(40, 1, 3, seed=2, void_share=0.1),
    "all void": np.full((5, 6), VOID, np.int32),
    "all one": np.full((5, 6), 3, np.int32),
}


def closed_holes(mask, void):
    """Pieces of what is not in the mask, without those that hold a pixel of the border or void."""
    pieces = measure.label(~mask, connectivity=1)
    rim = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1], pieces[void]])
    return len(set(np.unique(pieces)) - set(rim.tolist()) - {0})


@pytest.mark.parametrize("labels", MAPS.values(), ids=MAPS.keys())
def test_equals_scikit_image_class_by_class(labels):
    found = components(labels, 4)
    for k in range(4):
        mask = labels == k
        expected = [region.area for region in measure.regionprops(measure.label(mask, connectivity=2))]
        assert sorted(found.sizes[found.classes == k]) == sorted(expected)
        assert found.holes[k] == closed_holes(mask, labels == VOID)


@pytest.mark.parametrize("labels", [m for m in MAPS.values() if (m != VOID).all()])
def test_without_void_holes_are_components_minus_the_euler_number(labels):
    found = components(labels, 4)
    for k in range(4):
        euler = measure.euler_number(np.pad(labels == k, 1), connectivity=2)
        assert np.count_nonzero(found.classes == k) - found.holes[k] == euler


def test_some_of_the_maps_have_holes_and_some_void_in_them():
    without_void = components(np.where(MAPS["noise and void 0"] == VOID, 1, MAPS["noise and void 0"]), 2)
    with_void = components(MAPS["noise and void 0"], 2)
    assert 0 < with_void.holes[0] < without_void.holes[0]
    assert components(MAPS["drawn 0"], 4).holes.sum() > 3


def picture(text):
    """Digits are ids, a dot is void."""
    rows = text.split()
    return np.array([[VOID if mark == "." else int(mark) for mark in row] for row in rows], np.int32)


@pytest.mark.parametrize(
    ("text", "sizes", "holes"),
    [
        ("10 01", {0: [2], 1: [2]}, (0, 0)),  # crossing diagonals
        ("00000 01110 01010 01110 00000", {0: [1, 16], 1: [8]}, (1, 1)),
        ("00000 01110 01.10 01110 00000", {0: [16], 1: [8]}, (0, 0)),  # one void pixel: no hole of 0 either
        ("00000 00100 01010 00100 00000", {0: [21], 1: [4]}, (4, 1)),  # closed by corners, and open by them
        ("111 101 101", {0: [2], 1: [7]}, (0, 0)),  # open to the border
        ("0000000 0111110 0122210 0120210 0122210 0111110 0000000", {0: [1, 24], 1: [16], 2: [8]}, (1, 1, 1)),
        ("00000 01010 00000 01110 00000", {0: [20], 1: [1, 1, 3]}, (3, 0)),
        ("111111 101011 100011 111111", {0: [5], 1: [19]}, (0, 1)),
        ("111111 100011 101011 111111", {0: [5], 1: [19]}, (0, 1)),
    ],
)
def test_by_hand(text, sizes, holes):
    found = components(picture(text), 3)
    got = {k: sorted(found.sizes[found.classes == k].tolist()) for k in range(3) if (found.classes == k).any()}
    assert got == sizes
    assert tuple(found.holes[: len(holes)]) == holes


def test_an_id_out_of_range():
    with pytest.raises(DataError, match="ids 0 to 7"):
        components(picture("0. 07"), 3)
    with pytest.raises(DataError, match="ids -3 to 1"):
        components(np.array([[1, -3, VOID]], np.int32), 3)
