"""What one pass over the training set tells, and what follows from it for a run."""

from __future__ import annotations

import contextlib
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
from segfield.training import setup
from segfield.training.recipe import Recipe
from segfield.training.setup import (
    as_in_start,
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


@pytest.mark.parametrize(
    ("decoder", "trains"),
    [("deeplabv3plus", False), ("upernet", False), ("pan", False), ("unet", True), ("fpn", True), ("pspnet", True)],
)
def test_a_batch_of_one_is_refused_where_batch_norm_cannot_train_on_it(decoder: str, trains: bool) -> None:
    recipe = dataclasses.replace(RECIPE, batch_size=1, model=f"{decoder}:resnet10t")
    recipe = dataclasses.replace(recipe, augment=dataclasses.replace(recipe.augment, crop=(64, 96)))
    classifier = build_classifier(recipe.model, 3, 2)
    with contextlib.nullcontext() if trains else pytest.raises(SettingError, match=r"batch_size 1 .*2 or more"):
        check_batch_norm(recipe, classifier, (64, 96))
    with contextlib.nullcontext() if trains else pytest.raises(ValueError, match="more than 1 value"):
        classifier.train()(torch.zeros(1, 3, 64, 96))  # the thing itself
    check_batch_norm(dataclasses.replace(recipe, batch_size=2), classifier, (64, 96))
    check_batch_norm(dataclasses.replace(recipe, freeze_norm=True), classifier, (64, 96))


def test_a_start_with_nan_is_refused(tmp_path: Path) -> None:
    classes = ClassTable(("a", "b"))
    spec = ClassifierSpec("unet_padded", 3, 2, {"width": 2, "levels": 2})
    network = build_classifier(spec.name, 3, 2, options=spec.options)
    with torch.no_grad():
        network.classify.bias.fill_(torch.nan)
    path = Segmenter(network, spec, classes, Scaling((0.0,) * 3, (1.0,) * 3)).save(tmp_path / "s.safetensors")
    with pytest.raises(FileFormatError, match=r"s.safetensors holds 2 weights .*classify.bias"):
        start_from(build_classifier(spec.name, 3, 2, options=spec.options), str(path))


def _twelve_bits(name: str, highest: int) -> Sample:
    sample = _sample(name, (8, 8), dtype=np.uint16)
    sample.image[0, 0, 0] = highest
    return sample


def test_the_range_is_of_all_images_trained_and_validated_on() -> None:
    dim, bright = _twelve_bits("dim", 900), _twelve_bits("bright", 4000)
    assert measure(CachedDataset(Given(dim, dim), 0), 1).values == ValueRange("uint16", 1023)
    assert measure(CachedDataset(Given(dim, bright), 0), 1).values == ValueRange("uint16", 4095)
    also = CachedDataset(Given(bright), 0)
    assert measure(CachedDataset(Given(dim), 0), 1, also=also).values == ValueRange("uint16", 4095)


def test_images_that_hold_no_numbers_are_named_and_counted() -> None:
    wrong = _sample("wrong", (8, 8), dtype=np.float32)
    wrong.image[0, 0, :3] = np.nan, np.inf, -np.inf
    fine = _sample("fine", (8, 8), dtype=np.float32)
    for train, val in ((wrong, fine), (fine, wrong)):
        with pytest.raises(DataError, match=r"'wrong' .*3 of 128"):
            measure(CachedDataset(Given(train), 0), 1, also=CachedDataset(Given(val), 0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_published_scaling_is_put_into_the_range_of_the_data(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 12-bit set is scaled as its 8-bit twin, not as nearly black."""
    factor = {np.uint8: 1, np.uint16: 16, np.float32: 1 / 255}[dtype]
    sample = _sample("a", (8, 8), bands=3)
    sample.image[:, 0, 0] = 255
    own = Sample("a", (sample.image * np.float64(factor)).astype(dtype), sample.labels)
    measured = measure(CachedDataset(Given(own), 0), 1)
    network = build_classifier("unet_padded", 3, 2, options={"width": 2})
    network.mean, network.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    monkeypatch.setattr(setup, "build_classifier", lambda *_: network)
    _, _, scaling = build_network(RECIPE, measured, 2)
    scaled = scaling(torch.from_numpy(own.image.astype(np.float32))[None])
    expected = (torch.from_numpy(sample.image / 255).float() - torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1)) / (
        torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)
    )
    torch.testing.assert_close(scaled[0], expected, atol=0.02, rtol=0)


def test_what_a_run_starts_from_brings_its_range_where_that_has_room(tmp_path: Path) -> None:
    spec = ClassifierSpec("unet_padded", 2, 2, {"width": 2})
    before = Segmenter(build_classifier(spec.name, 2, 2, options=spec.options), spec, ClassTable(("a", "b")),
                       Scaling((1000.0, 1000.0), (400.0, 400.0)), values=ValueRange("uint16", 4095.0))  # fmt: skip
    file = str(before.save(tmp_path / "before.safetensors"))
    dim = measure(CachedDataset(Given(_twelve_bits("dim", 900)), 0), 1)
    assert as_in_start(file, dim).values == ValueRange("uint16", 4095)
    deep = measure(CachedDataset(Given(_twelve_bits("deep", 60000)), 0), 1)
    assert as_in_start(file, deep) == deep == as_in_start(None, deep)
    recipe = dataclasses.replace(RECIPE, start=file)
    _, _, kept = build_network(recipe, as_in_start(file, dim), 2)
    assert kept == before.scaling
    eight = measure(CachedDataset(Given(_sample("a", (8, 8))), 0), 1)
    _, _, moved = build_network(recipe, as_in_start(file, eight), 2)
    np.testing.assert_allclose(moved.mean, 1000 * 255 / 4095)
    np.testing.assert_allclose(moved.std, 400 * 255 / 4095)
