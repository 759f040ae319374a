"""The main road on real data: each set is checked, trained on for a moment, scored and predicted, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.commands.main import main

TINY = [
    "--model", "unet_padded", "--options", "{width: 4, levels: 3}", "--weights", "none", "--epochs", "1",
    "--augment.crop", "[64, 64]", "--device", "cpu", "--batch_size", "4",
]  # fmt: skip


@pytest.mark.shared
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("where", "format_name", "classes"),
    [("isbi2012/train", "folder", 2), ("dsb2018/stage1_train", "nuclei", 2)],
)
def test_the_main_road(
    shared_data: Path, tmp_path: Path, where: str, format_name: str, classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"{format_name}:{shared_data / where}"
    assert main(["check", data]) == 0, capsys.readouterr().err
    assert main(["train", data, *TINY, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    scores = json.loads((tmp_path / "run" / "scores.json").read_text(encoding="utf-8"))
    assert len(scores["scores"]["iou"]) == classes
    images = sorted(path for path in (shared_data / where).rglob("*") if path.suffix in (".png", ".jpg"))
    image = next(path for path in images if "mask" not in str(path) and "label" not in str(path))
    out = tmp_path / "predicted"
    segmenter = str(tmp_path / "run" / "segmenter.safetensors")
    assert main(["predict", segmenter, str(image), "--out", str(out), "--device", "cpu"]) == 0, capsys.readouterr().err
    with Image.open(image) as original, Image.open(next((out / "ids").rglob("*.png"))) as ids:
        assert ids.size == original.size
        assert np.asarray(ids).max() < classes


@pytest.mark.shared
def test_camvids_recipe_meets_its_data_and_weights(shared_data: Path, tmp_path: Path) -> None:
    """The first steps of the real recipe: 11 classes, the ImageNet encoder, its normalisation, a loss that is finite."""
    import dataclasses

    from segfield.training.loop import Fit
    from segfield.training.recipe import Recipe

    recipe = Recipe.load(Path(__file__).parents[1] / "recipes" / "camvid_deeplabv3plus_mobilenetv2.yaml")
    recipe = dataclasses.replace(
        recipe,
        data=f"camvid:{shared_data / 'camvid' / 'CamVid'}",
        weights=str(shared_data / "weights" / "mobilenetv2_100.imagenet.safetensors"),
        out=str(tmp_path / "run"),
        batch_size=2,
        device="cpu",
        augment=dataclasses.replace(recipe.augment, crop=(64, 96)),
    )
    fit = Fit(recipe, None)
    assert (len(fit.train), len(fit.val), len(fit.train.classes)) == (367, 101, 11)
    assert fit.scaling.mean == pytest.approx((123.675, 116.28, 103.53))
    losses = [float(fit._step(iter([batch]))) for batch in fit.batches.steps(0, 2)]
    assert np.isfinite(losses).all()
    # chance level for 11 classes: ln 11 from cross-entropy, and half of Lovász's, which is below 1
    assert losses[0] == pytest.approx(np.log(11) + 0.45, abs=0.8)
