"""Presets: all can be built, and the figures are the published ones."""

from __future__ import annotations

import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.presets import PRESETS
from segfield.errors import SettingError

# DeepLab v1's table: bilateral weight, position, colour
DEEPLAB = {
    "deeplab": (5, 50, 10),
    "deeplab_msc": (3, 95, 3),
    "deeplab_coco": (5, 67, 3),
    "deeplab_largefov": (4, 121, 5),
    "deeplab_msc_largefov": (4, 83, 5),
    "deeplab_coco_largefov": (5, 69, 5),
    "deeplab_msc_coco_largefov": (4, 59, 5),
}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_dense_crf(name: str) -> None:
    crf = DenseCRF.preset(name)
    assert {key: getattr(crf, key) for key in PRESETS[name]} == PRESETS[name]


@pytest.mark.parametrize(("name", "values"), DEEPLAB.items())
def test_the_table_of_deeplab(name: str, values: tuple[float, float, float]) -> None:
    crf = DenseCRF.preset(name)
    assert (crf.bilateral_weight, crf.bilateral_sxy, crf.bilateral_srgb) == values
    assert (crf.gaussian_weight, crf.gaussian_sxy, crf.iterations, crf.normalization) == (3, 3, 10, "after")


def test_the_example_of_pydensecrf() -> None:
    crf = DenseCRF.preset("pydensecrf_readme")
    assert (crf.bilateral_weight, crf.bilateral_sxy, crf.bilateral_srgb) == (10, 80, 13)
    assert (crf.gaussian_weight, crf.gaussian_sxy, crf.iterations, crf.normalization) == (3, 3, 5, "symmetric")


def test_changes_go_over_a_preset() -> None:
    assert DenseCRF.preset("crf_rnn", iterations=5, accuracy="fine").as_dict() == {
        **DenseCRF.preset("crf_rnn").as_dict(),
        "iterations": 5,
        "accuracy": "fine",
    }


def test_an_unknown_preset() -> None:
    with pytest.raises(SettingError, match=r"no preset 'deeplab_largfov'.*did you mean deeplab_largefov"):
        DenseCRF.preset("deeplab_largfov")
