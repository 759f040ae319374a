"""One image: the whole road from bands to labels, and what cannot go it."""

import numpy as np
import pytest
import torch

from segfield.classes import ClassTable
from segfield.errors import DataError, SettingError
from segfield.inference.image import fit_bands, plan_for, predict_image, tiling_for
from tests.inference.networks import FakeSegmenter, linear_network, pixelwise


def stripes(height, width):
    """Dark, middling and bright columns, and their labels."""
    labels = (np.arange(width) // 7 % 3 * np.ones((height, 1), dtype=int)).astype(np.uint8)
    return np.array([5, 120, 250], dtype=np.uint8)[labels][None].repeat(3, axis=0), labels


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (65, 130), (40, 40)])
@pytest.mark.parametrize("flips", ["none", "horizontal", "all"])
def test_labels_are_right_at_any_size(shape, flips):
    image, labels = stripes(*shape)
    got = predict_image(
        FakeSegmenter(pixelwise), image, tile=64, flips=flips, keep_entropy=True, keep_probabilities=True
    )
    assert (got.labels == labels).all() and got.labels.dtype == np.uint8
    assert got.probabilities.dtype == np.float16 and np.abs(got.probabilities.sum(axis=0) - 1).max() < 4e-3
    from segfield.segmentation import normalised_entropy

    assert np.abs(got.entropy - normalised_entropy(got.probabilities)).max() < 5e-3


def test_tiled_equals_whole_for_a_linear_network():
    image = np.random.default_rng(0).integers(0, 256, (3, 200, 230), dtype=np.uint8)
    segmenter = FakeSegmenter(linear_network(), margin=6, stride=8)
    tiled = predict_image(segmenter, image, tile=64, keep_probabilities=True)
    whole = predict_image(segmenter, image, tile=512, keep_probabilities=True)
    assert len(plan_for(segmenter, 200, 230, 64)) > 4
    assert np.abs(tiled.probabilities.astype(float) - whole.probabilities).max() < 1e-3
    assert (tiled.labels != whole.labels).mean() < 1e-3


def test_grey_is_shown_to_an_rgb_segmenter_and_grey_rgb_to_a_grey_one():
    grey = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    rgb = fit_bands(grey, 3)
    assert rgb.shape == (3, 3, 4) and (rgb == grey).all() and np.shares_memory(rgb, grey)
    assert (fit_bands(rgb, 1) == grey).all()
    assert (predict_image(FakeSegmenter(pixelwise), grey + 240, tile=64).labels == 2).all()


def test_bands_that_do_not_fit_are_said():
    with pytest.raises(DataError, match=r"'field\.tif' has 4 bands.*wants 3"):
        fit_bands(np.zeros((4, 2, 2)), 3, "field.tif")
    with pytest.raises(DataError, match=r"3 bands.*wants 1"):
        fit_bands(np.random.default_rng(0).random((3, 2, 2)), 1)
    with pytest.raises(DataError, match="with pixels; found"):
        fit_bands(np.zeros((3, 0, 2)), 3)


def test_defaults_follow_margin_device_and_scales():
    segmenter = FakeSegmenter(pixelwise, margin=40)
    tile, overlap, margin = tiling_for(segmenter)
    assert (tile, margin) == (512, 40) and overlap % 32 == 0 and overlap > 80
    assert tiling_for(segmenter, scales=(0.8, 1.0))[2] == 50
    assert tiling_for(FakeSegmenter(pixelwise, margin=900))[1:] == (224, 104)
    assert tiling_for(segmenter, tile=256, overlap=64)[2] == 24
    segmenter.device = torch.device("cuda")
    assert tiling_for(segmenter)[0] == 1024


def test_images_of_a_moderate_size_go_whole_unless_tiles_are_asked_for():
    segmenter = FakeSegmenter(pixelwise, margin=40)
    assert len(plan_for(segmenter, 720, 1280)) == len(plan_for(segmenter, 1024, 1024)) == 1
    assert len(plan_for(segmenter, 5, 7)) == 1
    assert len(plan_for(segmenter, 1025, 1024)) > 1
    assert plan_for(segmenter, 1025, 1024).tile_height <= 512
    assert len(plan_for(segmenter, 720, 1280, scales=(1.0, 1.5))) > 1
    assert len(plan_for(segmenter, 720, 1280, tile=512)) > 1
    assert len(plan_for(segmenter, 720, 1280, overlap=160)) > 1
    segmenter.device = torch.device("cuda")
    assert len(plan_for(segmenter, 1024, 2048)) == 1


def test_an_image_of_many_classes_goes_whole_only_if_it_is_smaller():
    segmenter = FakeSegmenter(pixelwise, classes=ClassTable(tuple(f"class {i}" for i in range(128))))
    assert len(plan_for(segmenter, 512, 512)) == 1
    assert len(plan_for(segmenter, 513, 512)) > 1


@pytest.mark.parametrize("tile, overlap", [(16, None), (128, 0), (128, 128), (128, -5), (-1, None)])
def test_tilings_out_of_range(tile, overlap):
    with pytest.raises(SettingError, match=r"(tile|overlap) is -?\d+ pixels; .*give"):
        tiling_for(FakeSegmenter(pixelwise), tile, overlap)


@pytest.mark.parametrize("tile", [64, 65, 70, 96, 100, 127, 128, 500])
@pytest.mark.parametrize("margin", [0, 5, 8, 33, 1000])
def test_every_tile_in_range_gives_a_plan(tile, margin):
    segmenter = FakeSegmenter(pixelwise, margin=margin)
    assert plan_for(segmenter, 700, 333, tile).rows[-1].stop == 700


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
        ),
        torch.OutOfMemoryError("CUDA out of memory"),
    ],
)
def test_out_of_memory_names_a_smaller_tile(error):
    def network(tiles):
        raise error

    with pytest.raises(SettingError, match=r"'big' \(300×300\) in tiles of .* give --tile \d+"):
        predict_image(FakeSegmenter(network), np.zeros((3, 300, 300), np.uint8), tile=128, name="big")


def test_other_failures_of_the_network_are_not_disguised():
    def network(tiles):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        predict_image(FakeSegmenter(network), np.zeros((3, 30, 30), np.uint8))


def test_finished_lines_are_reported():
    told = []
    predict_image(FakeSegmenter(pixelwise), stripes(300, 20)[0], tile=64, on_lines=lambda *lines: told.append(lines))
    assert told[-1] == (300, 300) and told == sorted(told) and len(told) > 4
