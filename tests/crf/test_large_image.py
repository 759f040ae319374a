"""Tiles of large images: weights that sum to one, tiles where they are needed, and the same labels as the whole image."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.large_image import WHOLE_PIXELS, WHOLE_VALUES, axis_weights, refine_tiles, tile_overlap, tile_side

from .exact_mean_field import scene


@pytest.mark.parametrize("length", [1, 7, 64, 65, 100, 173])
@pytest.mark.parametrize("overlap", [0, 1, 8, 21])
def test_weights_sum_to_one_and_spans_keep_to_the_side(length: int, overlap: int) -> None:
    total = np.zeros(length)
    spans = axis_weights(length, 64, overlap)
    for span, weights in spans:
        assert span.stop - span.start == min(64, length) == len(weights)
        assert weights.min() >= 0
        total[span] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    for (before, _), (after, _) in itertools.pairwise(spans):
        assert before.stop - after.start >= overlap


def test_weights_rise_and_fall_evenly() -> None:
    (_, first), (span, second) = axis_weights(100, 60, 20)
    np.testing.assert_allclose(np.diff(second[:20]), 0.05, atol=1e-6)
    np.testing.assert_allclose(first[span.start :] + second[: 60 - span.start], 1, atol=1e-6)


def test_images_stay_whole_until_memory_asks() -> None:
    assert tile_side(375, 500, 21) is None
    assert tile_side(2048, 2048, 21) is None
    assert tile_side(10_000, 10_000, 2) == 2048
    many = tile_side(2048, 2048, 255)
    assert many is not None and many * many * 255 <= WHOLE_VALUES and many * many < WHOLE_PIXELS


def test_a_side_that_is_asked_for() -> None:
    assert tile_side(375, 500, 21, tile=256) == 256
    assert tile_side(375, 500, 21, tile=500) is None


def test_overlap_follows_the_bandwidth_up_to_a_third() -> None:
    assert tile_overlap(2048, 67.0) == 134
    assert tile_overlap(300, 67.0) == 100
    assert tile_overlap(300, 0.0) == 0


@pytest.mark.parametrize("like", [np.zeros(1), torch.zeros(1)], ids=["numpy", "torch"])
def test_what_every_tile_agrees_on_comes_out(like: object) -> None:
    whole = np.random.default_rng(0).random((2, 50, 70)).astype(np.float32)
    given = whole if isinstance(like, np.ndarray) else torch.from_numpy(whole)
    found = refine_tiles(lambda window: given[(slice(None), *window)], like, 2, (50, 70), 32, 10)
    assert type(found) is type(given)
    np.testing.assert_allclose(found, whole, atol=1e-6)


def test_tiles_give_the_labels_of_the_whole() -> None:
    image, _, logits = scene(4, 120, 150, seed=3)
    crf = DenseCRF(bilateral_sxy=20, bilateral_srgb=10)
    whole = crf(image, logits)
    tiled = dataclasses.replace(crf, tile=64)(image, logits)
    np.testing.assert_allclose(tiled.sum(0), 1, atol=1e-5)
    assert not np.array_equal(tiled, whole), "no tiles were made"
    assert (tiled.argmax(0) != whole.argmax(0)).mean() < 0.01


def test_a_dark_tile_keeps_the_scale_of_the_image() -> None:
    """Half of a float image is black: in a tile of its own its noise must not be stretched to white."""
    image, _, logits = scene(2, 40, 128)
    dark = image.astype(np.float32)
    dark[:, :, 64:] = np.random.default_rng(1).random((3, 40, 64))
    crf = DenseCRF(bilateral_sxy=10, bilateral_srgb=10)
    whole = crf(dark, logits).argmax(0)
    tiled = dataclasses.replace(crf, tile=48)(dark, logits).argmax(0)
    assert (whole != tiled).mean() < 0.02
