"""Segmenter: image in, Segmentation out. One safetensors file holds the weights and, as JSON, all that is needed to use them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import segfield
from segfield.classes import Array, ClassTable
from segfield.crf.refiner import Refine, Refiner, build_refiner
from segfield.data.files import write_atomically
from segfield.data.value_matching import in_trained_units
from segfield.data.value_range import ValueRange, check_numbers, values_of
from segfield.errors import DataError, FileFormatError, SegfieldError, SettingError
from segfield.inference.devices import pick_device
from segfield.inference.image import predict_image
from segfield.inference.memory import NetworkBytes, network_bytes
from segfield.inference.views import Flips
from segfield.models import build_classifier
from segfield.models.classifier import Classifier
from segfield.models.finite import check_finite
from segfield.segmentation import Segmentation

FORMAT_VERSION = 1
KEY = "segfield"
"""Of the metadata in which a file tells what it is."""

NO_NUMBERS = (
    "its training diverged or the file was changed: train again at a lower --learning_rate, or take the original again"
)
"""What mends weights that are NaN."""


@dataclass(frozen=True)
class Scaling:
    """Input scaling by band: (image − mean) / std, in the files' own units (0..255 for uint8)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """(B, C, H, W) raw values → scaled float32."""
        mean = torch.tensor(self.mean, device=image.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=image.device).view(-1, 1, 1)
        return (image.float() - mean) / std


@dataclass(frozen=True)
class ClassifierSpec:
    """What rebuilds a classifier without its weights: the arguments of `build_classifier`."""

    name: str
    bands: int
    classes: int
    options: Mapping[str, Any] = field(default_factory=dict)


class BaseSegmenter(ABC):
    """Whatever predicts an image: a `Segmenter`, or one that was exported to another runtime.

    Attributes:
        classes: the class table, K long.
        facts: what is kept beside the weights: recipe, scores, versions.
        refiner: cleans the edges of its probabilities at every prediction that does not say otherwise.
        values: what the numbers of its images mean; None in files older than that, which take every image as it is.
        image_range: the value that counts as white in all images it is given, where the user says so.
    """

    classes: ClassTable
    facts: dict[str, Any]
    refiner: Refiner | None
    values: ValueRange | None = None
    image_range: float | None = None

    @property
    @abstractmethod
    def bands(self) -> int:
        """C: bands an image must have."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Tile origins are multiples of it, in pixels."""

    @property
    @abstractmethod
    def receptive_margin(self) -> int:
        """Pixels at a tile's edge whose prediction lacks context."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def window_logits(self, tiles: Tensor) -> Tensor:
        """(B, C, h, w) raw image values, any size → (B, K, h, w) float32 logits, on its device."""

    @abstractmethod
    def network_bytes(self) -> NetworkBytes:
        """Memory the network takes for a tile, beside its weights."""

    def in_own_units(self, image: Array, name: str = "", image_range: float | None = None) -> Array:
        """An image (C, H, W) of any kind in the numbers trained on, as `data.value_matching` has it.

        Raises:
            DataError: if it holds NaN or infinity, or what its numbers mean is not certain.
            SettingError: if `image_range` is out of range, or the file does not tell what it was trained on.
        """
        white = self.image_range if image_range is None else image_range
        if self.values is not None:
            return in_trained_units(image, self.values, white, name)
        if white is not None:
            raise SettingError(
                "image_range needs to know the numbers trained on, and this segmenter file is older than that; "
                "give images like those it was trained on, or train anew"
            )
        check_numbers(image, f"image '{name}'" if name else "the image")
        return image

    def __call__(
        self,
        image: Array,
        *,
        name: str = "",
        tile: int | None = None,
        flips: Flips = "none",
        scales: Sequence[float] = (1.0,),
        probabilities: bool = False,
        refine: Refine = "auto",
        image_range: float | None = None,
    ) -> Segmentation:
        """Predict one image of any size, by overlapping tiles where it is larger than one.

        Args:
            image: (C, H, W), in the range of the files trained on; of another bit depth with a warning.
            name: of the segmentation.
            tile: tile side in pixels; None predicts images of a moderate size whole and picks one for larger ones.
            flips: average over mirror images: 'none', 'horizontal' or 'all'.
            scales: average over the image at these sizes.
            probabilities: keep (K, H, W) probabilities in the result.
            refine: 'auto' with the refiner this segmenter carries, 'off' without, 'on' with it or else the dense CRF's
                defaults; the name of a preset, a JSON file, or a refiner such as `DenseCRF(bilateral_sxy=50)`.
            image_range: the image's value that counts as white, where its kind does not tell.

        Raises:
            SettingError: if a setting is unknown or out of range.
            DataError: if the image is not (C, H, W) with the segmenter's C, holds NaN, or its numbers may mean anything.
        """
        return predict_image(
            self,
            self.in_own_units(image, name, image_range),
            tile=tile,
            flips=flips,
            scales=scales,
            keep_probabilities=probabilities,
            refine=refine,
            name=name,
        )


class Segmenter(BaseSegmenter):
    """Predicts: classifier + classes + input scaling + refiner, saved as one file that needs nothing else.

    Args:
        classifier: the network; put in evaluation mode.
        spec: what rebuilds it.
        classes: the class table; its length is the network's K.
        scaling: input scaling in the files' own units.
        facts: anything worth keeping beside the weights (scores, recipe, versions); JSON-able.
        refiner: cleans the edges of its probabilities at every prediction that does not say otherwise; saved with it.
        values: what the numbers of the images trained on mean.
    """

    def __init__(
        self,
        classifier: Classifier,
        spec: ClassifierSpec,
        classes: ClassTable,
        scaling: Scaling,
        facts: Mapping[str, Any] | None = None,
        refiner: Refiner | None = None,
        values: ValueRange | None = None,
    ) -> None:
        if spec.classes != len(classes):
            raise DataError(
                f"the network has {spec.classes} classes but the class table has {len(classes)}; "
                "use the class table the segmenter was trained with, or train anew"
            )
        self.classifier = classifier.eval()
        self.spec = spec
        self.classes = classes
        self.scaling = scaling
        self.facts = dict(facts or {})
        self.refiner = refiner
        self.values = values

    @property
    def bands(self) -> int:
        return self.spec.bands

    @property
    def stride(self) -> int:
        return self.classifier.stride

    @property
    def receptive_margin(self) -> int:
        return self.classifier.margin

    @property
    def device(self) -> torch.device:
        return next(self.classifier.parameters()).device

    def to(self, device: str | torch.device) -> Segmenter:
        """Move the weights; returns the segmenter itself."""
        self.classifier.to(device)
        return self

    @torch.inference_mode()
    def window_logits(self, tiles: Tensor) -> Tensor:
        x = self.scaling(tiles.to(self.device)).contiguous(memory_format=torch.channels_last)
        return self.classifier(x).float()  # type: ignore[no-any-return]

    def network_bytes(self) -> NetworkBytes:
        return network_bytes(self.window_logits, self.bands, self.device)

    def save(self, path: str | Path) -> Path:
        """Write the one file, atomically. Returns its path."""
        from safetensors.torch import save

        tensors = {key: value.detach().cpu().contiguous() for key, value in self.classifier.state_dict().items()}
        target = Path(path)
        write_atomically(target, save(tensors, metadata={KEY: json.dumps(self.document())}))
        return target

    def document(self) -> dict[str, Any]:
        """All but the weights, JSON-able: what a file says of itself."""
        return {
            "format": FORMAT_VERSION,
            "segfield": segfield.__version__,
            "classifier": {**asdict(self.spec), "options": dict(self.spec.options)},
            "classes": self.classes.as_dict(),
            "scaling": asdict(self.scaling),
            "values": None if self.values is None else self.values.as_dict(),
            "facts": self.facts,
            "refiner": None if self.refiner is None else self.refiner.as_dict(),
        }

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Segmenter:
        """Read a segmenter file. Pickles are refused unread; a newer format is refused with a sentence.

        Raises:
            FileFormatError: if the file is missing, a pickle, truncated, of a newer format or not a segmenter.
            SettingError: if the device is not there.
        """
        target = pick_device(device)
        file = Path(path)
        document, tensors = read_segmenter_file(file)
        check_format(document, file)
        check_scaling(document, file)
        check_finite(tensors, str(file), NO_NUMBERS)
        refiner, values = refiner_of(document, file), values_of(document, file)
        try:
            spec = ClassifierSpec(**document["classifier"])
            classes = ClassTable.from_dict(document["classes"])
            scaling = Scaling(tuple(document["scaling"]["mean"]), tuple(document["scaling"]["std"]))
            classifier = build_classifier(spec.name, spec.bands, spec.classes, None, spec.options)
            classifier.load_state_dict(tensors)
            segmenter = cls(classifier, spec, classes, scaling, document.get("facts"), refiner, values)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SegfieldError) as error:
            reason = str(error).strip().splitlines()[0].split(";")[0][:200]
            raise FileFormatError(
                f"{file} does not fit together: its weights are not those of the network it names ({reason}); "
                "the file was changed or mixed, take the original again"
            ) from error
        segmenter.classifier.to(target).to(memory_format=torch.channels_last)
        return segmenter


def read_facts(path: str | Path) -> dict[str, Any]:
    """The JSON document of a segmenter file, without building the network."""
    return read_segmenter_file(Path(path))[0]


def check_format(document: Mapping[str, Any], file: Path) -> None:
    """Refuses a format that this segfield does not know.

    Raises:
        FileFormatError: with the version that wrote it.
    """
    if document.get("format") != FORMAT_VERSION:
        raise FileFormatError(
            f"{file} is a segmenter of format {document.get('format')} (written by segfield "
            f"{document.get('segfield')}), this segfield reads format {FORMAT_VERSION}; install the newer segfield"
        )


def check_scaling(document: Mapping[str, Any], file: Path) -> None:
    """Refuses an input scaling whose mean is no number, or whose std, as float32, is none above 0.

    Raises:
        FileFormatError: naming the value and its band.
    """
    scaling = document.get("scaling")
    for name, least in (("mean", -np.inf), ("std", 0.0)):
        try:
            values = np.asarray(scaling[name], dtype=np.float32)  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            return  # not of this form at all, which is told where it is taken apart
        for band, value in enumerate(values.ravel()):
            if not (np.isfinite(value) and value > least):
                raise FileFormatError(
                    f"{file} scales images by a {name} of {scaling[name][band]} in band {band}, so that every score would be "  # type: ignore[index]
                    "NaN or infinite; the file was changed, take the original again"
                )


def refiner_of(document: Mapping[str, Any], file: Path) -> Refiner | None:
    """The refiner a segmenter file carries, if it does.

    Raises:
        FileFormatError: if it cannot be made.
    """
    described = document.get("refiner")
    if described is None:  # none, or a file older than refiners
        return None
    try:
        return build_refiner(described)
    except (SegfieldError, AttributeError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{file} carries a refiner that cannot be made ({error}); it was changed or is of a newer segfield: "
            "install that, or take the original again"
        ) from error


def read_segmenter_file(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON document and the weights of a segmenter file, without building the network.

    Raises:
        FileFormatError: if the file is missing, a pickle, truncated or not a segmenter.
    """
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise FileFormatError(
            f"there is no segmenter file {file}; `segfield train` writes one as RUN/segmenter.safetensors"
        )
    if file.suffix.lower() == ".onnx":
        raise FileFormatError(
            f"{file} is an exported network, which only predicts; give the segmenter.safetensors it was made from"
        )
    with file.open("rb") as stream:
        start = stream.read(9)
    # the first eight bytes of safetensors are a length, which may look like anything; its JSON begins at the ninth
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise FileFormatError(
            f"{file} is a pickle (a torch.save file), which is not opened because it can run code; "
            "give the segmenter.safetensors that `segfield train` wrote"
        )
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if KEY not in metadata:
                raise FileFormatError(
                    f"{file} is a safetensors file but not a segmenter (it lacks segfield's description); "
                    "encoder weights go to `segfield train --weights`"
                )
            document = json.loads(metadata[KEY])
            if not isinstance(document, dict):
                raise FileFormatError(f"{file} describes no segmenter; it was changed, copy the original again")
            return document, {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileFormatError(
            f"{file} is not a whole segmenter file ({error}); it was cut short or changed, copy it again"
        ) from error
