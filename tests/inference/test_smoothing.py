"""Smoothing along the motion: exact properties, and a drawn film whose labels are known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from segfield.data.flow import DenseInverseSearch
from segfield.data.scenes import SCENE_CLASSES, draw_sequence
from segfield.errors import SettingError
from segfield.evaluation.confusion import ConfusionMatrix
from segfield.evaluation.scores import scores_from_confusion
from segfield.evaluation.temporal import TemporalConsistency
from segfield.inference.smoothing import FlowSmoother, running_average, stays_inside, trust, warped


def probabilities(frames, classes=4, size=(12, 16), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(torch.randn(frames, classes, *size, generator=generator), dim=1)


def uniform(step, size=(12, 16)):
    return torch.tensor(step, dtype=torch.float32).expand(*size, 2)


def test_a_still_picture_gives_the_plain_running_average():
    image = np.random.default_rng(0).integers(0, 255, (3, 12, 16), np.uint8)
    smoother = FlowSmoother(0.6, lambda first, second: uniform((0, 0)).numpy())
    expected = None
    for frame in probabilities(5):
        expected = frame if expected is None else 0.4 * frame + 0.6 * expected
        found = smoother(image, frame)
        assert torch.allclose(found, expected, atol=1e-5)
        assert torch.allclose(found.sum(dim=0), torch.ones(12, 16), atol=1e-5)


@pytest.mark.parametrize("step", [(1, 0), (0, 2), (-3, 1)])
def test_a_moving_object_keeps_its_labels(step):
    """A pure translation of whole pixels: the average of frame t is that of frame t − 1, moved, where it was in sight."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 255, (3, 12, 16), np.uint8)
    said = probabilities(1)[0]
    smoother = FlowSmoother(0.9, lambda image, before: uniform((-step[0], -step[1])).numpy())
    for t in range(4):
        shift = (step[1] * t, step[0] * t)
        found = smoother(np.roll(first, shift, axis=(1, 2)), torch.roll(said, shift, dims=(1, 2)))
        assert torch.allclose(found, torch.roll(said, shift, dims=(1, 2)), atol=2e-4)
    # a frame that says nothing leaves the labels where the motion carries them
    shift = (step[1] * 4, step[0] * 4)
    found = smoother(np.roll(first, shift, axis=(1, 2)), torch.full((4, 12, 16), 0.25)).argmax(dim=0)
    inside = stays_inside(uniform((-step[0], -step[1])))
    assert torch.equal(found[inside], torch.roll(said, shift, dims=(1, 2)).argmax(dim=0)[inside])


def test_warping_is_bilinear_and_keeps_to_the_border():
    generator = np.random.default_rng(2)
    values = generator.random((3, 12, 16), np.float32)
    flow = generator.normal(0, 5, (12, 16, 2)).astype(np.float32)
    rows, columns = np.indices((12, 16), dtype=np.float32)
    places = [rows + flow[..., 1], columns + flow[..., 0]]
    expected = [map_coordinates(plane, places, order=1, mode="nearest") for plane in values]
    found = warped(torch.from_numpy(values), torch.from_numpy(flow))
    assert np.allclose(found, expected, atol=1e-5)
    inside = stays_inside(torch.from_numpy(flow)).numpy()
    assert np.array_equal(inside, (places[0] >= 0) & (places[0] <= 11) & (places[1] >= 0) & (places[1] <= 15))


def test_trust_falls_with_the_difference_in_colour_and_ends_at_the_border():
    here = torch.zeros(3, 1, 5)
    there = torch.tensor([0.0, 0.1, 0.2, 0.5, 1.0]).expand(3, 1, 5)
    found = trust(here, there, uniform((0, 0), (1, 5)))[0]
    assert torch.allclose(found, torch.exp(-50 * there[0, 0] ** 2))
    assert trust(here, here, uniform((1, 0), (1, 5)))[0].tolist() == [1, 1, 1, 1, 0]


def test_a_cut_forgets_the_past():
    smoother = FlowSmoother(0.9, lambda first, second: uniform((0, 0)).numpy())
    before, after = probabilities(2)
    smoother(np.zeros((3, 12, 16), np.uint8), before)
    assert torch.allclose(smoother(np.full((3, 12, 16), 255, np.uint8), after), after, atol=1e-6)


def test_weights_between_mix_as_written():
    now, before = probabilities(2)
    flow, weight = uniform((0, 0)), torch.rand(12, 16)
    assert torch.allclose(running_average(now, before, flow, weight), (1 - weight) * now + weight * before, atol=1e-5)


@pytest.mark.parametrize("strength", [-0.1, 1.0, 2, float("nan")])
def test_impossible_strengths_are_refused(strength):
    with pytest.raises(SettingError, match=r"smoothing strength is .*; give 0 \(none\) to below 1"):
        FlowSmoother(strength, lambda first, second: None)


def noisy_segmenter(labels, rng, wrong=0.25):
    """Probabilities that favour the truth, but in patches of 8 × 8, anew each frame, some other class."""
    classes, (height, width) = len(SCENE_CLASSES), labels.shape
    patches = (-(-height // 8), -(-width // 8))
    other = rng.integers(0, classes, patches).repeat(8, 0).repeat(8, 1)[:height, :width]
    bad = (rng.random(patches) < wrong).repeat(8, 0).repeat(8, 1)[:height, :width]
    said = np.where(bad, other, np.minimum(labels, classes - 1))
    return torch.nn.functional.one_hot(torch.from_numpy(said).long(), classes).permute(2, 0, 1) * 0.7 + 0.3 / classes


@pytest.mark.parametrize("seed", [3, 5])
def test_it_steadies_a_noisy_segmenter_on_a_drawn_film_and_loses_no_accuracy(seed):
    """Truth and motion are exact: consistency rises, flicker falls, and mIoU against the exact labels does not."""
    pytest.importorskip("cv2")
    images, labels = draw_sequence((96, 144), seed, 9)
    scores = {}
    for strength in (0.0, 0.7):
        rng = np.random.default_rng(0)
        smoother = FlowSmoother(strength, DenseInverseSearch())
        measured = TemporalConsistency(len(SCENE_CLASSES), 255, DenseInverseSearch())
        matrix = ConfusionMatrix(len(SCENE_CLASSES), SCENE_CLASSES.ignored_id)
        for image, truth in zip(images, labels):
            said = smoother(image, noisy_segmenter(truth, rng)).argmax(dim=0).numpy().astype(np.uint8)
            measured.update(image, said)
            matrix.update(truth, said)
        accuracy = scores_from_confusion(matrix.counts, SCENE_CLASSES.names).mean_iou
        scores[strength] = (accuracy, measured.result())
    (rough, before), (smooth, after) = scores[0.0], scores[0.7]
    assert smooth > rough + 0.1
    assert after.mean_iou > before.mean_iou + 0.2
    assert after.flicker < before.flicker / 3
