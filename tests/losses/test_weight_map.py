import numpy as np
import pytest
from scipy import ndimage

from segfield.errors import SettingError
from segfield.losses.weight_map import border_term, border_weight_map, objects


def cells(seed=0, size=(60, 70), count=9):
    """Random discs, of two classes, some touching, and an ignored corner."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    labels = np.zeros(size, dtype=np.uint8)
    for _ in range(count):
        y, x, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(3, 8)
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= r**2] = rng.integers(1, 3)
    labels[:6, :6] = 255
    return labels


def test_border_term_equals_brute_force():
    instances = objects(cells(), 255)
    points = [np.argwhere(instances == i) for i in range(1, instances.max() + 1)]
    assert len(points) >= 4
    pixels = np.argwhere(np.ones_like(instances, dtype=bool))
    distances = np.stack([np.sqrt(((pixels[:, None] - p[None]) ** 2).sum(-1)).min(1) for p in points])
    nearest_two = np.sort(distances, axis=0)[:2].sum(0).reshape(instances.shape)
    expected = 10 * np.exp(-(nearest_two**2) / (2 * 3.0**2))
    np.testing.assert_allclose(border_term(instances, 10, 3.0), expected, atol=1e-6)


def test_a_gap_of_one_pixel_weighs_as_the_paper_says():
    labels = np.ones((9, 9), dtype=np.uint8)
    labels[:, 4] = 0
    weights = border_weight_map(labels, 255)
    # d1 = d2 = 1 in the gap, the objects themselves weigh w_c alone.
    assert weights[:, 4] == pytest.approx(1 + 10 * np.exp(-4 / 50))
    assert (weights[:, :4] == 1).all()


def test_class_weights_ignored_pixels_and_a_single_object():
    labels = np.zeros((20, 20), dtype=np.uint8)
    labels[5:9, 5:9] = 1
    labels[0] = 255
    weights = border_weight_map(labels, 255, class_weights=np.array([0.5, 3.0]))
    assert (weights[labels == 1] == 3).all() and (weights[labels == 0] == 0.5).all() and (weights[0] == 0).all()
    assert weights.dtype == np.float32


def test_touching_objects_of_two_classes_are_two():
    labels = np.zeros((8, 8), dtype=np.uint8)
    labels[2:6, 2:4], labels[2:6, 4:6] = 1, 2
    assert objects(labels, 255).max() == 2
    assert ndimage.label(labels > 0)[1] == 1


def test_background_may_be_another_class():
    labels = cells()
    swapped = np.array([2, 1, 0, *range(3, 256)], dtype=np.uint8)[labels]
    np.testing.assert_array_equal(border_weight_map(labels, 255), border_weight_map(swapped, 255, background_id=2))


def test_all_ignored_weighs_nothing():
    assert not border_weight_map(np.full((5, 5), 255, dtype=np.uint8), 255).any()


def test_sigma_must_be_positive():
    with pytest.raises(SettingError, match="sigma"):
        border_weight_map(cells(), 255, sigma=0)
