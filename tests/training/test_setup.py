"""What one pass over the training set tells, and what follows from it for a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from segfield.classes import ClassTable
from segfield.data.cache import CachedDataset
from segfield.data.dataset import Dataset, Sample
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, FileFormatError, SettingError
from segfield.models import build_classifier
from segfield.segmenter import ClassifierSpec, Scaling, Segmenter
from segfield.training.recipe import Recipe
from segfield.training.setup import (
    build_network,
    build_recipe_loss,
    cached,
    check_batch_norm,
    check_validation,
    measure,
    open_splits,
    start_from,
)  # fmt: skip

RECIPE = Recipe(data="scenes:count=10,size=32x48", model="unet_padded", options={"width": 2}, weights="none")


class Given(Dataset):
    """Samples that are given."""

    classes = ClassTable(("a", "b"))
    splits = ("all",)

    def __init__(self, *samples: Sample) -> None:
        self.samples = samples

    @property
    def names(self) -> list[str]:
        return [sample.name for sample in self.samples]

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def split(self, name: str) -> Dataset:
        return self

    def describe(self) -> str:
        return "given"


def _sample(name: str, size: tuple[int, int], bands: int = 2, dtype: type = np.uint8, label: int = 1) -> Sample:
    image = np.random.default_rng(len(name)).integers(0, 200, (bands, *size)).astype(dtype)
    labels = np.zeros(size, np.uint8)
    labels[: size[0] // 2] = label
    return Sample(name, image, labels)


def test_statistics_are_numpys() -> None:
    samples = [_sample("one", (20, 30)), _sample("three", (40, 30))]
    measured = measure(CachedDataset(Given(*samples), 0), threads=2)
    pixels = np.concatenate([s.image.reshape(2, -1) for s in samples], axis=1).astype(np.float64)
    np.testing.assert_allclose(measured.mean, pixels.mean(axis=1))
    np.testing.assert_allclose(measured.std, pixels.std(axis=1))
    assert measured.counts.pixels.tolist() == [900, 900]
    assert (measured.bands, measured.typical, measured.same_size) == (2, (30, 30), False)
    assert measured.values == ValueRange("uint8", 255)


@pytest.mark.parametrize("grey_first", [True, False])
def test_grey_images_among_rgb_are_shown_as_rgb(grey_first: bool) -> None:
    samples = [_sample("grey", (8, 8), bands=1), _sample("coloured", (8, 8), bands=3)]
    dataset = CachedDataset(Given(*(samples if grey_first else samples[::-1])), 10_000)
    measured = measure(dataset, threads=1)
    assert measured.bands == 3
    shown = np.stack([sample.image for sample in dataset]).astype(float)
    np.testing.assert_allclose(measured.mean, shown.mean(axis=(0, 2, 3)))
    assert measured.counts.pixels.sum() == 2 * 64


def test_a_validation_split_without_a_labelled_pixel_is_refused() -> None:
    ignored = Sample("a", np.zeros((1, 4, 4), np.uint8), np.full((4, 4), 255, np.uint8))
    unlabelled = Sample("b", np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(DataError, match=r"split 'all'.*labelled"):
        check_validation(CachedDataset(Given(ignored, unlabelled), 0))
    check_validation(CachedDataset(Given(ignored, _sample("c", (4, 4))), 0))


def test_the_hash_is_of_content() -> None:
    def digest(*samples: Sample) -> str:
        return measure(CachedDataset(Given(*samples), 0), threads=1).hash

    one, other = _sample("one", (8, 8)), _sample("other", (8, 8))
    assert digest(one, other) == digest(one, dataclasses.replace(other, name="renamed"))
    assert digest(one, other) != digest(other, one)
    assert digest(one) != digest(dataclasses.replace(one, labels=1 - one.labels))


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        ([], "is empty"),
        ([_sample("a", (8, 8)), _sample("b", (8, 8), bands=3)], "'b' has 3 bands.*uint8.*2"),
        ([_sample("a", (8, 8)), _sample("b", (8, 8), dtype=np.uint16)], "uint16"),
        ([Sample("a", np.zeros((1, 4, 4), np.uint8))], "'a' has no labels"),
        ([Sample("a", np.zeros((1, 4, 4), np.uint8), np.full((4, 4), 255, np.uint8))], "ignored id 255"),
        ([_sample("a", (8, 8), label=0)], "'a' is the only class"),
    ],
)
def test_what_cannot_be_trained_on_is_said(samples: list[Sample], match: str) -> None:
    with pytest.raises(DataError, match=match):
        measure(CachedDataset(Given(*samples), 0), threads=1)


def test_scaling_comes_from_the_data_where_no_weights_ask_for_another() -> None:
    measured = measure(CachedDataset(Given(_sample("a", (8, 8)), _sample("bb", (8, 8))), 0), threads=1)
    _, spec, scaling = build_network(RECIPE, measured, 2)
    np.testing.assert_allclose(scaling.mean, measured.mean)
    assert (spec.bands, spec.classes) == (2, 2)


def test_class_weights_are_worked_out_from_the_training_labels() -> None:
    dataset = Given(_sample("a", (8, 8)))
    measured = measure(CachedDataset(dataset, 0), threads=1)
    assert build_recipe_loss(RECIPE, measured, dataset).class_weights is None
    given = build_recipe_loss(dataclasses.replace(RECIPE, class_weights="1,3"), measured, dataset)
    assert given.class_weights is not None
    assert given.class_weights.tolist() == [1, 3]
    with pytest.raises(SettingError, match="did you mean enet"):
        build_recipe_loss(dataclasses.replace(RECIPE, class_weights="enett"), measured, dataset)


def test_splits_and_folds() -> None:
    train, val = open_splits(RECIPE)
    assert (len(train), len(val)) == (6, 2)
    train, val = open_splits(dataclasses.replace(RECIPE, folds=3, fold=2))
    assert (len(train), len(val)) == (4, 2)
    assert not set(train.names) & set(val.names)


def test_refusals() -> None:
    with pytest.raises(DataError, match="is empty"):
        cached(Given(), RECIPE)
    with pytest.raises(SettingError, match="batch_size 1"):
        check_batch_norm(dataclasses.replace(RECIPE, batch_size=1, model="deeplabv3plus:resnet18"), 5)


def test_a_start_with_nan_is_refused(tmp_path: Path) -> None:
    classes = ClassTable(("a", "b"))
    spec = ClassifierSpec("unet_padded", 3, 2, {"width": 2, "levels": 2})
    network = build_classifier(spec.name, 3, 2, options=spec.options)
    with torch.no_grad():
        network.classify.bias.fill_(torch.nan)
    path = Segmenter(network, spec, classes, Scaling((0.0,) * 3, (1.0,) * 3)).save(tmp_path / "s.safetensors")
    with pytest.raises(FileFormatError, match=r"s.safetensors holds 2 weights .*classify.bias"):
        start_from(build_classifier(spec.name, 3, 2, options=spec.options), str(path))
