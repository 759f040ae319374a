import numpy as np
import pytest
from PIL import Image

from segfield.errors import DataError, SettingError
from segfield.losses.class_weights import CLASS_WEIGHTS, ClassCounts, class_weights, count_classes


def maps():
    rng = np.random.default_rng(0)
    whole = rng.choice([0, 1, 2, 255], size=(4, 10, 12), p=[0.6, 0.3, 0.05, 0.05]).astype(np.uint8)
    whole[0][whole[0] == 2] = 1
    return list(whole)


def test_counts_by_definition():
    counts = count_classes(maps(), 4, 255)
    whole = np.stack(maps())
    assert counts.pixels.tolist() == [(whole == c).sum() for c in range(4)]
    assert counts.image_pixels.tolist() == [sum(image.size for image in whole if (image == c).any()) for c in range(4)]
    assert counts.share.sum() == pytest.approx(1)


def test_a_value_that_is_no_class():
    with pytest.raises(DataError, match="labels run from 0 to 9"):
        count_classes([np.array([[0, 9, 255]], dtype=np.uint8)], 4, 255)


def test_median_frequency_by_hand():
    counts = ClassCounts(np.array([60, 20, 5, 0]), np.array([100, 100, 50, 0]))
    # Frequencies 0.6, 0.2, 0.1: the median is 0.2.
    assert class_weights("median_frequency", counts) == pytest.approx([1 / 3, 1.0, 2.0, 0.0])


def test_enet_by_hand():
    weights = class_weights("enet", ClassCounts(np.array([75, 25, 0]), np.array([100, 100, 0])))
    assert weights == pytest.approx([1 / np.log(1.77), 1 / np.log(1.27), 0])


def test_inverse_makes_every_class_count_alike():
    counts = count_classes(maps(), 4, 255)
    mass = class_weights("inverse", counts) * counts.share
    assert mass[:3] == pytest.approx([1 / 3] * 3) and mass[3] == 0


@pytest.mark.parametrize("how", CLASS_WEIGHTS)
def test_nothing_labelled_gives_finite_weights(how):
    assert np.isfinite(class_weights(how, count_classes([np.full((4, 4), 255, dtype=np.uint8)], 3, 255))).all()


@pytest.mark.parametrize(
    "how, said",
    [
        ("median_freq", "did you mean median_frequency"),
        ([1.0, 2.0], "2 class weights.*3"),
        ([1.0, -1.0, 1.0], "0 or more"),
    ],
)
def test_what_is_not_understood_is_said(how, said):
    with pytest.raises(SettingError, match=said):
        class_weights(how, ClassCounts(np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64)))


def test_given_numbers_stay():
    assert class_weights([1, 2, 0.5], ClassCounts(np.ones(3), np.ones(3))).tolist() == [1, 2, 0.5]


@pytest.mark.shared
def test_median_frequency_of_camvid_is_near_the_published_one(shared_data):
    """SegNet's tutorial lists weights of the 367 training images, from masks of a larger size than those it ships.

    SignSymbol is left out: its published 9.64 cannot come from these masks under any counting (they give 3.8).
    """
    folder = shared_data / "camvid" / "CamVid" / "trainannot"
    labels = (np.array(Image.open(path)) for path in sorted(folder.glob("*.png")))
    published = [0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614]
    weights = class_weights("median_frequency", count_classes(labels, 11, 11))
    assert np.delete(weights, 6) == pytest.approx(np.delete(published, 6), rel=0.21)
    assert np.median(weights) == 1
