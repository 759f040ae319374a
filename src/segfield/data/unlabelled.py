"""Images to learn from without masks: a split of the data, another data set, or a folder of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from segfield.data.dataset import Dataset, Sample, unknown_split
from segfield.data.formats import open_dataset
from segfield.data.formats.folder import open_folder
from segfield.data.records import UNLABELLED, FileDataset
from segfield.data.value_range import RangeMeter, ValueRange
from segfield.errors import DataError, SegfieldError


class WithoutLabels(Dataset):
    """Another data set's images alone; its masks, good or bad, are not read where they lie in files.

    Args:
        source: the data set.
    """

    def __init__(self, source: Dataset) -> None:
        if isinstance(source, FileDataset):
            records = [dataclasses.replace(record, mask=None) for record in source.records]
            everything = {source.split_name: range(len(records))}
            source = FileDataset(
                records, source.classes, source.layout, source.where, everything, split_name=source.split_name
            )
        self.source = source
        self.classes = source.classes
        self.split_name = source.split_name

    @property
    def names(self) -> Sequence[str]:
        return self.source.names

    @property
    def splits(self) -> Sequence[str]:
        return (self.split_name,)

    def __getitem__(self, index: int) -> Sample:
        sample = self.source[index]
        return Sample(sample.name, sample.image)

    def split(self, name: str) -> Dataset:
        if name != self.split_name:
            raise unknown_split(name, self.splits)
        return self

    def describe(self) -> str:
        return f"{len(self)} images without masks ({self.split_name})"


def open_unlabelled(where: str, dataset: Dataset) -> Dataset:
    """Images to learn from without masks.

    Args:
        where: the name of a split of `dataset`; or else another data set, or a folder of images.
        dataset: what the masks are of.

    Raises:
        DataError: if there is no such split and no such data, or no image in it.
    """
    if where in dataset.splits:
        return WithoutLabels(dataset.split(where))
    if where == UNLABELLED:
        raise DataError(
            f"there is no split '{UNLABELLED}': every image of the data has a mask; name other images with --unlabelled FOLDER"
        )
    found: Dataset
    try:
        found = open_dataset(where)
    except SegfieldError as error:
        if not Path(where).is_dir():
            splits = ", ".join(dataset.splits)
            raise DataError(
                f"there are no images without masks at '{where}': it is no split of the data ({splits}), and {error}"
            ) from error
        found = open_folder(Path(where), dataset.classes)
    if not len(found):
        raise DataError(f"{where} holds no image; name another folder with --unlabelled")
    return WithoutLabels(found)


def other_than(judged: Iterable[str], checksums: Iterable[str]) -> list[int]:
    """Positions of the samples whose image is none of those to judge on.

    Args:
        judged: checksums of the samples to judge on, as `data_changes.checksum` gives them: the image's comes first.
        checksums: of the samples to learn from, in order.
    """
    images = {checksum[:8] for checksum in judged}
    return [index for index, checksum in enumerate(checksums) if checksum[:8] not in images]


def check_values(dataset: Dataset, values: ValueRange) -> None:
    """Whether images without masks can be taken as those with masks are: numbers, in a range of about the same size.

    Args:
        dataset: of the images without masks, in the bands and dtype of the others.
        values: what the numbers of the images with masks mean.

    Raises:
        DataError: if an image holds NaN or infinity, or the ranges are more than twice as large or small as one another.
    """
    if values.kind == "uint8":
        return
    meter = RangeMeter()
    for sample in dataset:
        meter.add(sample.image, sample.name)
    found = meter.found()
    if not 0.5 <= found.span / values.span <= 2:
        raise DataError(
            f"the images without masks hold values of {found.black:g} to {found.white:g}, those with masks of "
            f"{values.black:g} to {values.white:g}; bring them to one range, or name other images with --unlabelled"
        )
