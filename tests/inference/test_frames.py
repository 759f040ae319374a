"""Frames one at a time: the same labels as the image road gives, whole by default, timed."""

import numpy as np
import pytest
import torch

from segfield.errors import DataError, SettingError
from segfield.inference.frames import FramePredictor
from segfield.inference.image import predict_image
from segfield.inference.smoothing import FlowSmoother
from tests.inference.networks import Confident, FakeSegmenter, linear_network, pixelwise


def frame(size=(40, 70), seed=0):
    """(3, H, W) as the reader gives it: a view of (H, W, 3) memory."""
    return np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8).transpose(2, 0, 1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flips": "horizontal"},
        {"scales": (0.5, 1.0)},
        {"tile": 64},
        {"refiner": Confident()},
        {"tile": 64, "overlap": 16},
    ],
)
@pytest.mark.parametrize("size", [(40, 70), (130, 90), (1, 1)])
def test_labels_are_those_of_an_image(options, size):
    segmenter = FakeSegmenter(linear_network())
    image = frame(size)
    through_images = {"refine" if key == "refiner" else key: value for key, value in options.items()}
    whole = max(*size, 64)
    expected = predict_image(segmenter, image, **{"tile": whole, "refine": "off", **through_images}).labels
    found = FramePredictor(segmenter, **options)(image)
    assert found.dtype == np.uint8
    # float16 probabilities of the image road may break a tie another way
    assert (found != expected).mean() < 0.002


def test_frames_go_whole_unless_a_tile_is_given():
    seen = []

    def watch(tiles):
        seen.append(tuple(tiles.shape[2:]))
        return pixelwise(tiles)

    image = frame((700, 90))
    FramePredictor(FakeSegmenter(watch))(image)
    assert seen == [(700, 90)]
    FramePredictor(FakeSegmenter(watch), refiner=Confident())(image)
    assert seen[1:] == [(700, 90)]
    FramePredictor(FakeSegmenter(watch), tile=128)(image)
    assert len(seen) > 4 and max(seen[2:])[0] <= 128


@pytest.mark.parametrize("options", [{}, {"flips": "all"}, {"tile": 64}, {"refiner": Confident(favoured=1, above=400)}])
def test_a_smoother_is_given_probabilities(options):
    given = []

    def keep(image, before):
        return np.zeros((*image.shape[1:], 2), np.float32)

    class Watching(FlowSmoother):
        def __call__(self, image, probabilities):
            given.append(probabilities)
            return super().__call__(image, probabilities)

    predictor = FramePredictor(FakeSegmenter(linear_network()), smoother=Watching(0.5, keep), **options)
    image, other = frame(), frame(seed=1)
    for each in (image, image, other):
        labels = predictor(each)
        assert labels.shape == (40, 70)
    for probabilities in given:
        assert torch.allclose(probabilities.float().sum(dim=0), torch.ones(40, 70), atol=3e-3)
        assert probabilities.min() >= 0


def test_every_frame_is_timed():
    predictor = FramePredictor(FakeSegmenter(pixelwise))
    for seed in range(3):
        predictor(frame(seed=seed))
    assert len(predictor.latencies) == 3
    assert 0 < min(predictor.latencies) < max(predictor.latencies) < 10


def test_grey_film_serves_a_grey_segmenter_and_colour_does_not():
    predictor = FramePredictor(FakeSegmenter(pixelwise, bands=1))
    grey = np.repeat(frame()[:1], 3, axis=0)
    assert np.array_equal(predictor(grey), FramePredictor(FakeSegmenter(pixelwise))(grey))
    with pytest.raises(DataError, match=r"'clip' has 3 bands.*wants 1"):
        predictor(frame(), "clip")


def test_no_memory_is_told_with_the_tile_that_mends_it():
    def too_much(tiles):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(SettingError, match=r"'clip' \(40×70\).*give --tile 35"):
        FramePredictor(FakeSegmenter(too_much))(frame(), "clip")

    def broken(tiles):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        FramePredictor(FakeSegmenter(broken))(frame())


def test_impossible_settings_are_refused_before_any_frame():
    for options in ({"flips": "up"}, {"scales": ()}, {"scales": (0.0,)}):
        with pytest.raises(SettingError):
            FramePredictor(FakeSegmenter(pixelwise), **options)
