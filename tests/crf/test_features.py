"""Features against loops over pixels, pydensecrf's own, and what cannot be one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segfield.crf.features import bilateral_features, bilateral_features_on_device, position_features
from segfield.errors import DataError, SettingError


def test_positions_run_row_by_row_with_x_first() -> None:
    features = position_features((2, 3), 2.0)
    by_hand = [(x / 2, y / 2) for y in range(2) for x in range(3)]
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.array(by_hand, dtype=np.float32))


def test_each_axis_may_have_its_own_width() -> None:
    features = position_features((2, 2, 3), (1.0, 10.0, 100.0))
    by_hand = [(x, y / 10, z / 100) for z in range(2) for y in range(2) for x in range(3)]
    np.testing.assert_allclose(features, by_hand, rtol=1e-6)


def test_bilateral_features_are_positions_then_bands() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 3, 5), dtype=np.uint8)
    features = bilateral_features(image, 7.0, (1.0, 2.0, 4.0, 8.0))
    assert features.shape == (15, 6)
    np.testing.assert_array_equal(features[:, :2], position_features((3, 5), 7.0))
    for pixel in (0, 4, 9, 14):
        row, column = divmod(pixel, 5)
        expected = image[:, row, column] / np.array([1, 2, 4, 8])
        np.testing.assert_allclose(features[pixel, 2:], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_any_kind_of_number_gives_the_same_features(dtype: type) -> None:
    image = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(
        bilateral_features(image.astype(dtype), 3, 5), bilateral_features(image.astype(np.int32), 3, 5)
    )


def test_a_volume_has_three_axes() -> None:
    volume = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    features = bilateral_features(volume, (1, 2, 3), 10)
    assert features.shape == (24, 5)
    np.testing.assert_allclose(features[-1], [3, 2 / 2, 1 / 3, 2.3, 4.7], rtol=1e-6)


def test_same_features_as_pydensecrf() -> None:
    utils = pytest.importorskip("pydensecrf.utils", reason="pydensecrf2 is built from source")
    image = np.random.default_rng(1).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    theirs = utils.create_pairwise_bilateral(sdims=(5, 5), schan=(2, 3, 4), img=image, chdim=2)
    ours = bilateral_features(image.transpose(2, 0, 1), 5, (2, 3, 4))
    rows_first = [1, 0, 2, 3, 4]  # their positions are (y, x)
    np.testing.assert_allclose(ours, theirs.T[:, rows_first], rtol=1e-5)


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf"), (3, 0)])
def test_a_width_must_be_positive(width: object) -> None:
    with pytest.raises(SettingError, match=r"sxy: .*give a number above 0"):
        position_features((4, 4), width)  # type: ignore[arg-type]


def test_the_count_of_widths_must_fit() -> None:
    with pytest.raises(SettingError, match=r"sxy: \(1, 2, 3\).*2 axes x, y\[, z\].*one number, or 2"):
        position_features((4, 4), (1, 2, 3))
    with pytest.raises(SettingError, match=r"srgb: .* does not fit 3 bands"):
        bilateral_features(np.zeros((3, 4, 4)), 1, (1, 2))


def test_an_image_must_have_bands_pixels_and_finite_values() -> None:
    with pytest.raises(DataError, match=r"shape \(4, 4\); give \(C, H, W\)"):
        bilateral_features(np.zeros((4, 4)), 1, 1)
    with pytest.raises(DataError, match="has no pixels"):
        position_features((0, 4), 1)
    image = np.zeros((3, 4, 4))
    image[0, 1, 1], image[2, 0, 0] = np.nan, np.inf
    with pytest.raises(DataError, match=r"2 values.*NaN"):
        bilateral_features(image, 1, 1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(("sxy", "srgb"), [(5.0, 13.0), ((5.0, 7.0), (3.0, 40.0))])
def test_of_a_tensor_they_are_the_same_without_a_way_through_arrays(
    dtype: str, sxy: object, srgb: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (2, 9, 14)).astype(dtype)
    tensor = torch.from_numpy(image)
    for name in ("cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, None)
    found = bilateral_features_on_device(tensor, sxy, srgb)
    monkeypatch.undo()
    np.testing.assert_array_equal(found.numpy(), bilateral_features(image, sxy, srgb))
