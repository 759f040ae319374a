"""Steadiness of labels: against loops over pixels, exact motion, and scikit-learn's Jaccard score."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from segfield.errors import DataError
from segfield.evaluation.temporal import (
    TemporalConsistency,
    consistency_from_counts,
    still_pixels,
    temporal_confusion,
    trusted_flow,
)

STEP = (3, 2)  # pixels to the right and down, a frame


def uniform(step, size=(24, 32)):
    return np.broadcast_to(np.float32(step), (*size, 2))


def moving(frames=5, size=(24, 32), background=0):
    """Labels and images of a square that moves by STEP each frame."""
    labels = np.full((frames, *size), background, np.uint8)
    for t in range(frames):
        labels[t, 2 + STEP[1] * t :, 3 + STEP[0] * t :][:9, :9] = 2
    images = np.repeat(labels[:, None] * 100, 3, axis=1)
    return images, labels


def exact(first, second):
    """Flow between neighbouring frames of `moving`, where only the square moves."""
    inside = first[0] > 100
    there = second[0] > 100
    later = there.nonzero()[1].mean() > inside.nonzero()[1].mean()
    return np.where(inside[..., None], uniform(STEP if later else (-STEP[0], -STEP[1])), 0).astype(np.float32)


def test_labels_that_move_with_the_picture_are_perfectly_consistent():
    images, labels = moving()
    measured = TemporalConsistency(3, 255, exact)
    for image, truth in zip(images, labels):
        measured.update(image, truth)
    scores = measured.result()
    assert scores.mean_iou == 1
    assert scores.pairs == 4
    assert scores.flicker == 0
    # what the square uncovers and covers fails the check: it is as wide as the step
    assert 0.85 < scores.compared < 1
    assert 0.85 < scores.still < 1


def test_labels_that_stay_behind_lower_it_as_counted_by_hand():
    images, labels = moving(2)
    measured = TemporalConsistency(3, 255, exact)
    measured.update(images[0], labels[0])
    measured.update(images[1], labels[0])
    carried = np.zeros(labels[0].shape, np.uint8)
    carried[4:13, 6:15] = 2  # the square of the second frame, filled from the first
    trusted = trusted_flow(exact(images[1], images[0]), exact(images[0], images[1]))
    expected = jaccard_score(carried[trusted], labels[0][trusted], average="macro")
    assert measured.result().mean_iou == pytest.approx(expected)
    assert expected < 0.8


def test_counts_are_pooled_over_the_clip():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (6, 10, 12)).astype(np.uint8)
    images = np.zeros((6, 3, 10, 12), np.uint8)
    measured = TemporalConsistency(4, 255, lambda first, second: uniform((0, 0), (10, 12)))
    for image, frame in zip(images, labels):
        measured.update(image, frame)
    scores = measured.result()
    expected = jaccard_score(labels[:-1].ravel(), labels[1:].ravel(), average="macro")
    assert scores.mean_iou == pytest.approx(expected)
    assert scores.compared == scores.still == 1
    assert scores.flicker == pytest.approx((labels[:-1] != labels[1:]).mean())


def test_the_check_against_a_loop():
    rng = np.random.default_rng(2)
    flow, back = rng.normal(0, 2, (2, 9, 11, 2)).astype(np.float32)
    back[:4] = -1.5
    flow[:4] = 1.5
    found = trusted_flow(flow, back)
    for y in range(9):
        for x in range(11):
            row, column = y + round(float(flow[y, x, 1])), x + round(float(flow[y, x, 0]))
            expected = 0 <= row < 9 and 0 <= column < 11
            if expected:
                f, b = flow[y, x].astype(float), back[row, column].astype(float)
                expected = ((f + b) ** 2).sum() < 0.01 * ((f**2).sum() + (b**2).sum()) + 0.5
            assert found[y, x] == expected
    assert 0 < found.sum() < found.size


def test_a_flow_out_of_the_picture_compares_nothing():
    labels = np.zeros((8, 8), np.uint8)
    away = uniform((100, 0), (8, 8))
    counts = temporal_confusion(labels, labels, away, away, 2)
    assert counts.sum() == 0
    assert math.isnan(consistency_from_counts(counts))


def test_still_pixels_are_those_whose_every_band_stays():
    before = np.full((3, 4, 5), 100, np.uint8)
    after = before.copy()
    after[1, 0, 0] += 5
    after[2, 0, 1] -= 4
    after[0, 0, 2] = 255
    still = still_pixels(before, after)
    assert (~still).nonzero()[1].tolist() == [0, 2]
    assert still_pixels(before, after, 0).sum() == 17
    assert np.array_equal(still, still_pixels(after, before))


def test_flicker_needs_no_flow():
    images, labels = moving(3)
    noisy = labels.copy()
    noisy[1, 20:, :8] = 1  # 32 still pixels are wrong in the middle frame
    measured = TemporalConsistency(3)
    for image, frame in zip(images, noisy):
        measured.update(image, frame)
    scores = measured.result()
    still = [still_pixels(a, b).sum() for a, b in itertools.pairwise(images)]
    assert scores.flicker == pytest.approx(64 / sum(still))
    assert math.isnan(scores.mean_iou) and math.isnan(scores.compared)
    assert scores.as_dict()["mean_iou"] is None


def test_a_class_that_one_side_alone_has_counts_as_zero_whichever_side():
    counts = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]])
    assert consistency_from_counts(counts) == pytest.approx((6 / 8 + 4 / 6) / 2)
    one_sided = np.array([[6, 2], [0, 0]])
    assert consistency_from_counts(one_sided) == consistency_from_counts(one_sided.T) == pytest.approx(6 / 8 / 2)


def test_classes_beyond_a_byte():
    labels = np.array([[299, 0], [1, 299]], np.uint16)
    flow = uniform((0, 0), (2, 2))
    counts = temporal_confusion(labels, labels, flow, flow, 300, 65535)
    assert counts[299, 299] == 2 and counts.sum() == 4


def test_one_frame_has_nothing_to_say():
    measured = TemporalConsistency(3)
    assert measured.result().pairs == 0
    measured.update(*(part[0] for part in moving(1)))
    scores = measured.result()
    assert scores.pairs == 0 and math.isnan(scores.flicker)


def test_frames_of_another_size_are_refused():
    images, labels = moving(1)
    measured = TemporalConsistency(3)
    measured.update(images[0], labels[0])
    with pytest.raises(DataError, match="one size"):
        measured.update(images[0][:, :-1], labels[0][:-1])
    with pytest.raises(DataError, match="one size"):
        temporal_confusion(labels[0], labels[0][:-1], uniform((0, 0)), uniform((0, 0)), 3)
