"""From a recipe to what a run needs: data sets, measured facts about them, network, scaling, loss."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from segfield.data.cache import CachedDataset
from segfield.data.dataset import Dataset, folds
from segfield.data.formats import open_dataset
from segfield.data.value_range import RangeMeter, ValueRange, values_of
from segfield.errors import DataError, SettingError, did_you_mean
from segfield.losses import CombinedLoss, build_loss
from segfield.losses.class_weights import ClassCounts, class_weights, count_classes
from segfield.models import build_classifier, takes_pretrained
from segfield.models.classifier import Classifier
from segfield.models.finite import check_finite
from segfield.segmenter import NO_NUMBERS, ClassifierSpec, Scaling, check_scaling, read_facts, read_segmenter_file
from segfield.training.data_changes import checksum
from segfield.training.recipe import Recipe, memory_bytes


@dataclass(frozen=True)
class Measured:
    """What one pass over the training set tells.

    Attributes:
        bands: C of every image.
        values: what the images' numbers mean.
        mean, std: (C,) of the pixels, in the files' own units.
        counts: of the classes.
        sizes: (H, W) of all images, with their number.
        bytes_an_image: of an image and its labels, decoded, on average.
        hash: SHA-256 of all images and labels.
        checksums: of each sample's image and labels, by its name, to tell which of them changed.
    """

    bands: int
    values: ValueRange
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    counts: ClassCounts
    sizes: Mapping[tuple[int, int], int]
    bytes_an_image: int
    hash: str
    checksums: dict[str, str]

    @property
    def same_size(self) -> bool:
        """Whether all images are of one size."""
        return len(self.sizes) == 1

    @property
    def typical(self) -> tuple[int, int]:
        """Median H and median W, pixels: those of an image there is, if all are of one size."""
        heights, widths = zip(*(size for size, count in self.sizes.items() for _ in range(count)))
        return int(np.median(heights)), int(np.median(widths))


def open_splits(recipe: Recipe, dataset: Dataset | None = None) -> tuple[Dataset, Dataset]:
    """The training and validation samples a recipe names, of its own data set or of one that is given.

    Raises:
        DataError: if a split is missing, empty, or has images without labels.
    """
    dataset = open_dataset(recipe.data, recipe.classes) if dataset is None else dataset
    if recipe.folds:
        whole = dataset.split(recipe.train_split) if recipe.train_split in dataset.splits else dataset
        return folds(whole, recipe.folds, recipe.fold_seed)[recipe.fold]
    if recipe.val_split not in dataset.splits and recipe.train_split in dataset.splits:
        raise DataError(
            f"there is no split '{recipe.val_split}' to choose the best weights on; {_splits_in_words(recipe, dataset)}"
        )
    return dataset.split(recipe.train_split), dataset.split(recipe.val_split)


def _splits_in_words(recipe: Recipe, dataset: Dataset) -> str:
    """What mends a missing validation split, for the error about it."""
    if len(dataset.split(recipe.train_split)) == 1:
        return "there is one labelled image: label another, or give --val_split train and see only whether it is learnt"
    return f"{did_you_mean(recipe.val_split, dataset.splits)}; give one of them with --val_split, or --folds 5"


def measure(
    dataset: CachedDataset,
    threads: int,
    on_sample: Callable[[int], None] | None = None,
    also: CachedDataset | None = None,
) -> Measured:
    """One pass over the training set: band statistics, class counts, sizes, content hash; fills the cache on the way.

    Where some images are grey and some RGB, the grey ones are shown as RGB from then on.

    Args:
        dataset: to train on.
        threads: that decode.
        on_sample: called with the number of each sample.
        also: samples to validate on, shown like those trained on from now on; what all the images' numbers mean is measured
            over both, so that every fold of a cross-validation takes them alike.

    Raises:
        DataError: if images differ otherwise in bands or dtype, hold NaN, a sample has no labels, every pixel is ignored,
            or but one class occurs.
    """
    classes = dataset.classes
    pixels = np.zeros(len(classes), dtype=np.int64)
    image_pixels = np.zeros(len(classes), dtype=np.int64)
    sums, squares, total = np.zeros(0), np.zeros(0), 0
    sizes: Counter[tuple[int, int]] = Counter()
    meter = RangeMeter()
    first = None
    digest, checksums = hashlib.sha256(), {}
    for sample in dataset.read_all(threads, on_sample):
        image, labels = sample.image, sample.labels
        if labels is None:
            raise DataError(f"sample '{sample.name}' has no labels; give it a mask, or take it out of the split")
        if first is None:
            first = image
            sums, squares = np.zeros(len(image)), np.zeros(len(image))
        if dataset.like is None and {len(image), len(first)} == {1, 3} and image.dtype == first.dtype:
            dataset.show_like(image if len(image) == 3 else first)
            return measure(dataset, threads, on_sample, also)
        if len(image) != len(first) or image.dtype != first.dtype:
            raise DataError(
                f"image '{sample.name}' has {len(image)} bands of {image.dtype}, the first one {len(first)} of "
                f"{first.dtype}; bring all images to one form"
            )
        meter.add(image, sample.name)
        digest.update(image.tobytes())
        digest.update(labels.tobytes())
        checksums[sample.name] = checksum(sample)
        flat = image.reshape(len(image), -1)
        sums += flat.sum(axis=1, dtype=np.float64)
        squares += np.einsum("cn,cn->c", flat, flat, dtype=np.float64, casting="unsafe")
        total += flat.shape[1]
        sizes[image.shape[1], image.shape[2]] += 1
        here = count_classes([labels], len(classes), classes.ignored_id)
        pixels += here.pixels
        image_pixels += here.image_pixels
    if first is None:
        raise DataError(f"there is nothing to train on: split '{dataset.split_name}' is empty")
    if not pixels.any():
        raise DataError(
            f"every pixel of every mask is the ignored id {classes.ignored_id}; check the mask values with `segfield check`"
        )
    if np.count_nonzero(pixels) == 1:
        raise DataError(
            f"'{classes.names[int(pixels.argmax())]}' is the only class in the training masks, so there is nothing to tell "
            "apart; label another class, or see `segfield check` for how the mask values are read"
        )
    mean = sums / total
    if also is not None:
        also.show_like(dataset[0].image)
        for sample in also.read_all(threads) if first.dtype != np.uint8 else ():
            meter.add(sample.image, sample.name)
    values = meter.found()
    return Measured(
        bands=len(first),
        values=values,
        mean=mean,
        std=np.sqrt(np.maximum(squares / total - mean**2, (values.span * 1e-4) ** 2)),
        counts=ClassCounts(pixels, image_pixels),
        sizes=dict(sizes),
        bytes_an_image=total * (len(first) * first.itemsize + 1) // len(dataset),
        hash=digest.hexdigest(),
        checksums=checksums,
    )


def as_in_start(start: str | None, measured: Measured) -> Measured:
    """What was measured, with the range of values of the segmenter to start from where that has room for these images.

    Raises:
        FileFormatError: if that segmenter is damaged or none.
    """
    if start is None:
        return measured
    file = _segmenter_file(start)
    carried = values_of(read_facts(file), file)
    if carried is None or not carried.covers(measured.values):
        return measured
    return dataclasses.replace(measured, values=carried)


def check_validation(dataset: CachedDataset) -> None:
    """Raises DataError if no validation image has a labelled pixel: no weights would ever be the best."""
    ignored = dataset.classes.ignored_id
    if not any(sample.labels is not None and bool((sample.labels != ignored).any()) for sample in dataset):
        raise DataError(
            f"no pixel of split '{dataset.split_name}' is labelled, so nothing can be measured on it; label one of its "
            "images, or name another split with --val_split"
        )


def build_network(
    recipe: Recipe, measured: Measured, classes: int, console: Console | None = None
) -> tuple[Classifier, ClassifierSpec, Scaling]:
    """The network of a recipe, seeded, and the input scaling its weights expect (or that the data has).

    Raises:
        SettingError, FileFormatError: if the network, its weights or those to start from cannot be had.
    """
    torch.manual_seed(recipe.seed)
    spec = ClassifierSpec(recipe.model, measured.bands, classes, recipe.options)
    without = recipe.weights == "none" or (recipe.weights == "imagenet" and not takes_pretrained(recipe.model))
    source = None if without or recipe.start is not None else recipe.weights
    classifier = build_classifier(spec.name, spec.bands, spec.classes, source, spec.options)
    if console is not None and classifier.weights_told is not None:
        console.print(f"weights: {classifier.weights_told}", highlight=False, markup=False, soft_wrap=True)
    if recipe.start is not None:
        scaling = start_from(classifier, recipe.start, console, measured.values)
        if scaling is not None:
            return classifier, spec, scaling
    if classifier.mean is not None and classifier.std is not None:
        return classifier, spec, moved(Scaling(classifier.mean, classifier.std), _UNIT, measured.values)
    return classifier, spec, Scaling(tuple(measured.mean.tolist()), tuple(measured.std.tolist()))


_UNIT = ValueRange("float32", 1.0)
"""Of the means and deviations that published weights come with."""


def start_from(
    classifier: Classifier, start: str, console: Console | None = None, values: ValueRange | None = None
) -> Scaling | None:
    """Take over the weights of a segmenter file or run folder, and its input scaling where the bands are the same.

    Where that was trained on other numbers than `values`, its scaling is put into these.

    Raises:
        SettingError: if there is no such file, or none of its weights fits.
        FileFormatError: if it is damaged, no segmenter, or holds NaN.
    """
    file = _segmenter_file(start)
    document, tensors = read_segmenter_file(file)
    check_scaling(document, file)
    check_finite(tensors, str(file), NO_NUMBERS)
    classifier.start_from(tensors)
    own = classifier.state_dict()
    same = sum(key in tensors and torch.equal(value, tensors[key]) for key, value in own.items())
    if console is not None:
        as_they_are = f"{same} of {len(own)} tensors as they are" if same else "cut to size"
        console.print(f"starting from {file}: {as_they_are}", highlight=False, soft_wrap=True)
    scaling = document.get("scaling", {})
    if len(scaling.get("mean", ())) != classifier.bands:
        return None
    carried, before = values_of(document, file), Scaling(tuple(scaling["mean"]), tuple(scaling["std"]))
    return before if carried is None or values is None else moved(before, carried, values)


def moved(scaling: Scaling, before: ValueRange, after: ValueRange) -> Scaling:
    """The same scaling for images of another range: black stays black, and white white."""
    if before == after:
        return scaling
    factor = after.span / before.span
    mean = tuple(after.black + (value - before.black) * factor for value in scaling.mean)
    return Scaling(mean, tuple(value * factor for value in scaling.std))


def _segmenter_file(start: str) -> Path:
    return Path(start) / "segmenter.safetensors" if Path(start).is_dir() else Path(start)


def build_recipe_loss(recipe: Recipe, measured: Measured, dataset: Dataset) -> CombinedLoss:
    """The loss of a recipe with its class weights, worked out from the training labels."""
    how = recipe.given_class_weights()
    if how == "none":
        return build_loss(recipe.loss, dataset.classes)
    return build_loss(recipe.loss, dataset.classes, torch.from_numpy(class_weights(how, measured.counts)))


def cached(dataset: Dataset, recipe: Recipe) -> CachedDataset:
    """The data set with decoded samples kept in memory as far as the recipe allows."""
    if not len(dataset):
        raise DataError(f"split '{dataset.split_name}' is empty; there is nothing to work on")
    return CachedDataset(dataset, memory_bytes(recipe.cache))


def check_batch_norm(recipe: Recipe, classifier: Classifier, whole: tuple[int, int]) -> None:
    """Whether batch norm gets more than one value a channel in training, seen by a run of the network on shapes alone.

    Pooling over the whole image leaves one value an image, as in deeplabv3, pan and upernet.

    Args:
        recipe: with its crop.
        classifier: its network.
        whole: (H, W) of an image where there is no crop.

    Raises:
        SettingError: if it gets one.
    """
    if recipe.batch_size > 1 or recipe.freeze_norm:
        return
    height, width = recipe.augment.crop or whole
    network = copy.deepcopy(classifier).to("meta").train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network(torch.empty(1, classifier.bands, height, width, device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            return
        raise SettingError(
            f"batch_size 1 leaves batch norm of '{recipe.model}' one value a channel at {height}×{width}; give 2 or more (and "
            "--accumulate), or another model"
        ) from error
    except Exception:  # of a network that does not run on shapes alone nothing is known
        return
