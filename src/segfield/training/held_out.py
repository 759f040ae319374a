"""What `tune` works on: probabilities of images their segmenter was not trained on, predicted once and kept in a folder."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from segfield.classes import Array
from segfield.data.dataset import Dataset
from segfield.data.files import write_atomically, write_text
from segfield.data.images import fit_bands
from segfield.data.replacement import may_remove
from segfield.data.value_matching import RangeWarning
from segfield.errors import DataError, SettingError

Sample = tuple[Array, Array, Array]


@dataclasses.dataclass(frozen=True)
class Part:
    """Samples and the segmenter file that predicts them, which must not have been trained on them."""

    segmenter: Path
    dataset: Dataset


def fold_parts(folder: str | Path, data: str, classes: str | None, read_recipe: Callable[[Path], Any]) -> list[Part]:
    """Each segmenter of a cross-validation with the samples its training left out.

    Args:
        folder: holds the runs: `segfield train DATA --folds 5 --fold 0 --out FOLDER/fold0` and so on.
        data: data set, in place of the recipes' own: paths may have changed.
        classes: class table, in place of the recipes' own where given.
        read_recipe: segmenter file → the `Recipe` it was trained by.

    Raises:
        SettingError: if there are none, they do not belong together, or a fold is missing.
    """
    from segfield.training.setup import open_splits

    files = sorted(Path(folder).glob("*/segmenter.safetensors"))
    runs = [(file, read_recipe(file)) for file in files]
    folded = [(file, recipe) for file, recipe in runs if recipe.folds]
    if not folded:
        raise SettingError(
            f"{folder} holds no runs of a cross-validation ({len(files)} segmenters, none with folds); train them as "
            f"`segfield train {data} --folds 5 --fold 0 --out {folder}/fold0`, and so on to fold 4"
        )
    first = folded[0][1]
    kinds = {(recipe.folds, recipe.fold_seed, recipe.train_split) for _, recipe in folded}
    found = sorted(recipe.fold for _, recipe in folded)
    if len(kinds) > 1 or found != list(range(first.folds)):
        raise SettingError(
            f"{folder} holds folds {', '.join(map(str, found))} of {first.folds}, with {len(kinds)} settings of folds, "
            f"fold_draw, seed and train_split among them; every fold is needed once, all with the same settings"
        )
    return [
        Part(file, open_splits(dataclasses.replace(recipe, data=data, classes=classes or recipe.classes))[1])
        for file, recipe in folded
    ]


def limited(parts: Sequence[Part], limit: int, seed: int) -> list[Part]:
    """At most `limit` samples of all parts together, drawn by seed, in their order; 0 takes all."""
    total = sum(len(part.dataset) for part in parts)
    if limit < 0:
        raise SettingError(f"limit is {limit}; give the number of images to tune on, or 0 for all")
    if not limit or total <= limit:
        return list(parts)
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:limit])
    few, start = [], 0
    for part in parts:
        own = chosen[(chosen >= start) & (chosen < start + len(part.dataset))] - start
        few.append(dataclasses.replace(part, dataset=part.dataset.subset(own.tolist(), part.dataset.split_name)))
        start += len(part.dataset)
    return [part for part in few if len(part.dataset)]


class HeldOut(Sequence[Sample]):
    """(image, probabilities, labels) of every sample of the parts; probabilities come from a folder.

    Args:
        parts: labelled samples and their segmenters.
        folder: float16 .npy files, one a sample, and origin.json: what they were made from.
        bands: the segmenter's; images come with as many, as they will when it refines.
        in_own_units: the segmenter's; images come in its numbers. None: as they are.

    Attributes:
        names: of the samples.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        folder: Path,
        bands: int,
        in_own_units: Callable[[Array, str], Array] | None = None,
    ) -> None:
        self.parts, self.folder, self.bands, self.in_own_units = list(parts), folder, bands, in_own_units
        self.names = [name for part in parts for name in part.dataset.names]
        self._where = [(part, i) for part in self.parts for i in range(len(part.dataset))]

    def __len__(self) -> int:
        return len(self._where)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        name, image, labels = self._labelled(index)
        if self.in_own_units is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RangeWarning)  # said once, where it is predicted
                image = self.in_own_units(image, name)
        return fit_bands(image, self.bands, name), np.load(self.file(index)), labels

    def _labelled(self, index: int) -> tuple[str, Array, Array]:
        part, position = self._where[index]
        sample = part.dataset[position]
        if sample.labels is None:
            raise DataError(f"{sample.name} has no labels, so the CRF cannot be judged on it; give a labelled --split")
        return sample.name, sample.image, sample.labels

    def file(self, index: int) -> Path:
        """Where the probabilities of a sample are kept."""
        return self.folder / f"{hashlib.sha256(self.names[index].encode()).hexdigest()[:20]}.npy"

    def origin(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What the probabilities follow from: the weights of each segmenter, and the settings of prediction."""
        return {"segmenters": [weights_hash(part.segmenter) for part in self.parts], **settings}

    def claim(self, origin: dict[str, Any], overwrite: bool) -> None:
        """Make the folder, or take it up again if its probabilities are of the same origin.

        Raises:
            SettingError: if they are not, and `overwrite` does not allow to remove them.
        """
        file = self.folder / "origin.json"
        try:
            before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        except ValueError:  # damaged: what the probabilities are of is not known
            before = "unknown"
        if before not in (None, origin):
            if not overwrite:
                raise SettingError(
                    f"{self.folder} holds probabilities of another segmenter or data set; give another --out, or "
                    "--overwrite true to predict anew"
                )
            for old in self.folder.glob("*.npy"):
                if may_remove(old):
                    old.unlink()
        if before != origin:
            write_text(file, json.dumps(origin, indent=2) + "\n")

    def predict(self, load: Callable[[Path], Any], tile: int | None, advance: Callable[[], None]) -> int:
        """Predict what is not in the folder yet, without any refinement; gives how many that were.

        Args:
            load: segmenter file → segmenter.
            tile: of prediction.
            advance: called after each sample.
        """
        from segfield.inference.image import predict_image

        predicted = 0
        opened: Path | None = None
        segmenter: Any = None
        for index, (part, _) in enumerate(self._where):
            if not self.file(index).is_file():
                if opened != part.segmenter:
                    opened, segmenter = part.segmenter, load(part.segmenter)
                name, image, _ = self._labelled(index)
                image = segmenter.in_own_units(image, name)
                found = predict_image(segmenter, image, tile=tile, keep_probabilities=True, refine="off", name=name)
                self._keep(index, np.asarray(found.probabilities))
                predicted += 1
            advance()
        return predicted

    def _keep(self, index: int, probabilities: Array) -> None:
        target = io.BytesIO()
        np.save(target, probabilities.astype(np.float16))
        write_atomically(self.file(index), target.getvalue())


def weights_hash(file: Path) -> str:
    """SHA-256 of the weights in a safetensors file; what is written beside them (a refiner) does not count."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        stream.seek(8 + length)
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
