"""What a run makes of its data before the first step: images without masks beside those with, and what cannot go together."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from segfield.data.augmentation import AugmentationConfig
from segfield.errors import DataError, SettingError
from segfield.training.preparation import Preparation
from segfield.training.recipe import Recipe
from segfield.training.run_folder import RunFolder
from tests.bad_input.folders import picture, write_folder

RECIPE = Recipe(
    data="", model="unet_padded", weights="none", options={"width": 2, "levels": 2}, batch_size=2, steps=2,
    precision="32-true", device="cpu", threads=1, augment=AugmentationConfig(crop=(32, 32)),
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images to train on and two to validate on, and one without a mask."""
    folder = write_folder(tmp_path / "data")
    picture(9).save(folder / "images" / "train" / "9.png")
    return folder


def prepared(data: Path, **changes: Any) -> tuple[Preparation, str]:
    console = Console(file=io.StringIO(), width=200)
    recipe = dataclasses.replace(RECIPE, data=str(data), **{"out": str(data.parent / "run"), **changes})
    made = Preparation(recipe, console)
    return made, " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_images_without_masks_are_mentioned_or_learned_from(data: Path) -> None:
    made, told = prepared(data)
    assert made.without is None and "1 images have no mask; --unlabelled" in told
    assert next(made.batches.steps(0, 1)).unlabelled is None


def test_each_batch_has_its_share(data: Path) -> None:
    made, told = prepared(data, unlabelled="unlabelled")
    assert "training on 2, and on 1 without masks, validating on 2" in told
    batch = next(made.batches.steps(0, 1))
    assert batch.unlabelled is not None and batch.unlabelled.weak.shape == batch.images.shape
    assert set(made.trained_on) == {*made.train.names, *made.without.names}  # type: ignore[union-attr]


def test_what_is_validated_on_is_left_out_by_its_pixels(data: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    for number in (1, 7):  # number 1 is validated on
        picture(number).save(loose / f"other{number}.png")
    made, told = prepared(data, unlabelled=str(loose))
    assert made.without is not None and list(made.without.names) == ["other7"]
    assert "1 of the images without masks are validated on" in told
    with pytest.raises(DataError, match="validated on"):
        prepared(data, unlabelled="val", out=str(tmp_path / "other"))


@pytest.mark.parametrize(("dtype", "bands", "word"), [(np.uint16, 1, "uint16"), (np.uint8, 4, "bands")])
def test_images_of_another_kind(data: Path, tmp_path: Path, dtype: Any, bands: int, word: str) -> None:
    import tifffile

    loose = tmp_path / "loose"
    loose.mkdir()
    shape = (32, 48) if bands == 1 else (32, 48, bands)
    options = {} if bands == 1 else {"photometric": "minisblack", "planarconfig": "contig"}
    tifffile.imwrite(loose / "a.tif", np.random.default_rng(0).integers(0, 200, shape).astype(dtype), **options)
    with pytest.raises(DataError, match=f"'?a'?.*{word}"):
        prepared(data, unlabelled=str(loose))


def test_grey_images_are_shown_as_rgb(data: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 200, (32, 48), np.uint8)).save(loose / "a.png")
    made, _ = prepared(data, unlabelled=str(loose))
    assert made.without is not None and made.without[0].image.shape == (3, 32, 48)


def test_changed_images_without_masks_are_noticed(data: Path) -> None:
    made, _ = prepared(data, unlabelled="unlabelled")
    made.counters.step = 1
    made.losses[:] = 0
    from segfield.training.resume import Extras, save_state

    save_state(RunFolder(made.recipe.out).state, made.networks, made.optimisers, Extras(vars(made.counters)))
    picture(10).save(data / "images" / "train" / "9.png")
    with pytest.raises(SettingError, match=r"images changed.*9"):
        prepared(data, unlabelled="unlabelled")
