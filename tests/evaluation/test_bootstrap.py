"""Bootstrap intervals: against a plain loop over drawn images, and their coverage on sets from a known population."""

from __future__ import annotations

import numpy as np
import pytest

from segfield.errors import DataError, SettingError
from segfield.evaluation.bootstrap import bootstrap_difference, bootstrap_iou
from segfield.evaluation.scores import scores_from_confusion, tally


def images(count, seed, skill=0.8, classes=3):
    """(N, K, K) counts of images whose difficulty varies."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 200, (count, classes))
    right = rng.binomial(sizes, np.clip(skill + 0.15 * rng.normal(size=(count, 1)), 0, 1))
    matrices = np.zeros((count, classes, classes), np.int64)
    for k in range(classes):
        matrices[:, k, k] = right[:, k]
        matrices[:, k, (k + 1) % classes] = (sizes - right)[:, k]
    return matrices


def test_value_is_the_pooled_score_and_lies_inside():
    matrices = images(30, 0)
    mean, each = bootstrap_iou(tally(matrices), resamples=300, seed=1)
    scores = scores_from_confusion(matrices.sum(axis=0), "abc")
    assert mean.value == pytest.approx(scores.mean_iou) and mean.low < mean.value < mean.high
    np.testing.assert_allclose([interval.value for interval in each], scores.iou)
    assert all(interval.low < interval.value < interval.high for interval in each)


def test_equals_a_plain_loop_over_drawn_images():
    matrices = images(25, 2)
    mean, _ = bootstrap_iou(tally(matrices), resamples=4000, seed=3)
    rng = np.random.default_rng(4)
    drawn = [scores_from_confusion(matrices[rng.integers(0, 25, 25)].sum(axis=0), "abc").mean_iou for _ in range(1500)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (mean.low, mean.high) == pytest.approx((low, high), abs=0.01)


def test_coverage_is_about_the_level():
    population = scores_from_confusion(images(20000, 99).sum(axis=0), "abc").mean_iou
    inside = 0
    for seed in range(200):
        mean, _ = bootstrap_iou(tally(images(40, seed)), resamples=200, level=0.9, seed=seed)
        inside += mean.low <= population <= mean.high
    assert 0.8 < inside / 200 < 0.97


def test_the_seed_decides():
    tallies = tally(images(20, 5))
    assert bootstrap_iou(tallies, 200, seed=7) == bootstrap_iou(tallies, 200, seed=7)
    assert bootstrap_iou(tallies, 200, seed=7) != bootstrap_iou(tallies, 200, seed=8)


def test_classes_absent_everywhere_and_in_some_resamples():
    matrices = images(12, 6)
    matrices[:, 2] = 0
    matrices[1:, 1] = 0
    mean, each = bootstrap_iou(tally(matrices), resamples=300)
    assert np.isfinite([mean.low, mean.high, each[1].low]).all()
    assert np.isnan(each[2].low) and each[2].as_dict()["low"] is None


def test_one_image_gives_an_interval_of_no_width():
    mean, _ = bootstrap_iou(tally(images(1, 7)), resamples=50)
    assert mean.low == pytest.approx(mean.value) == mean.high


def test_paired_difference_sees_what_separate_intervals_do_not():
    """A system better by the same little on every image: its interval excludes 0, though the two intervals overlap."""
    first = images(40, 8, skill=0.7)
    second = first.copy()
    for k in range(3):
        gain = np.minimum(second[:, k, (k + 1) % 3], 3)
        second[:, k, k] += gain
        second[:, k, (k + 1) % 3] -= gain
    one, two = (bootstrap_iou(tally(matrices), 500)[0] for matrices in (first, second))
    difference = bootstrap_difference(tally(first), tally(second), 500)
    assert two.low < one.high
    assert 0 < difference.interval.low < difference.interval.high and difference.p_value < 0.01
    assert difference.interval.value == pytest.approx(two.value - one.value)


def test_equal_systems_do_not_differ():
    tallies = tally(images(10, 9))
    difference = bootstrap_difference(tallies, tallies, 100)
    assert difference.interval.low == difference.interval.high == 0 and difference.p_value == 1


def test_input_that_cannot_be_used():
    tallies = tally(images(5, 10))
    with pytest.raises(DataError, match="same images"):
        bootstrap_difference(tallies, tally(images(5, 11)))
    with pytest.raises(DataError, match="at least one image"):
        bootstrap_iou(tallies[:, :0])
    with pytest.raises(SettingError, match="level=1"):
        bootstrap_iou(tallies, level=1)
