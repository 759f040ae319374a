"""A segmenter as one ONNX file: network and input scaling as the graph, all else as JSON in its metadata; and its use.

Other programs read it as any ONNX file: input `image` (B, C, H, W) float32 in the files' own range, output `logits` (B, K, H, W).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segfield.classes import ClassTable
from segfield.data.value_range import values_of
from segfield.errors import FileFormatError, SegfieldError, SettingError
from segfield.inference.export import export_onnx
from segfield.inference.finite import finite
from segfield.inference.int8 import quantise_onnx
from segfield.inference.memory import NetworkBytes
from segfield.inference.runtimes import Engine, Floats, Run, open_runtime
from segfield.models.finite import check_finite, not_finite
from segfield.segmenter import KEY, NO_NUMBERS, BaseSegmenter, Segmenter, check_format, check_scaling, refiner_of

SUFFIX = ".onnx"


class ExportedSegmenter(BaseSegmenter):
    """Predicts as the segmenter it was exported from, on the CPU, without torch's network.

    Attributes:
        engine: what runs it, 'openvino' or 'onnxruntime'.
        precision: of its numbers, 'float32' or 'int8'.
    """

    def __init__(self, document: dict[str, Any], file: Path, engine: str, run: Run) -> None:
        self.engine, self._run = engine, run
        self.precision = str(document.get("precision", "float32"))
        self.classes = ClassTable.from_dict(document["classes"])
        self.facts = dict(document.get("facts") or {})
        self.refiner, self.values = refiner_of(document, file), values_of(document, file)
        self._bands = int(document["classifier"]["bands"])
        self._stride, self._margin = int(document["stride"]), int(document["receptive_margin"])
        self._network_bytes = NetworkBytes(**document["network_bytes"])

    @property
    def bands(self) -> int:
        return self._bands

    @property
    def stride(self) -> int:
        return self._stride

    @property
    def receptive_margin(self) -> int:
        return self._margin

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def window_logits(self, tiles: Tensor) -> Tensor:
        return torch.from_numpy(self._run(np.ascontiguousarray(tiles.numpy(), dtype=np.float32)))

    def network_bytes(self) -> NetworkBytes:
        """By what torch took, measured at the export, and what the engines took beside it for ICNet, DeepLabv3+ and U-Net."""
        per_pixel, fixed = self._network_bytes
        return NetworkBytes(1.5 * per_pixel, fixed + (200 << 20))

    @classmethod
    def load(cls, path: str | Path, engine: Engine = "auto") -> ExportedSegmenter:
        """Read what `export_segmenter` wrote.

        Raises:
            FileFormatError: if the file is missing, damaged, of a newer format, or an ONNX file of something else.
            SettingError: if the engine, or the package onnx, is not there.
        """
        file = Path(path)
        document = _document(file, weights=True)
        check_format(document, file)
        check_scaling(document, file)
        try:
            name, run = open_runtime(file, engine, document.get("precision") == "int8")
            return cls(document, file, name, run)
        except SegfieldError:
            raise
        except Exception as error:  # the engines raise errors of their own kinds
            raise FileFormatError(f"{file} cannot be run ({_first_line(error)}); export the segmenter again") from error


def open_segmenter(path: str | Path, device: str = "auto", engine: Engine = "auto") -> BaseSegmenter:
    """A segmenter file of either kind, told apart by its name.

    Raises:
        SettingError: if the device or engine is not there, or not for this kind of file.
        FileFormatError: as `Segmenter.load` and `ExportedSegmenter.load`.
    """
    if Path(path).suffix.lower() != SUFFIX:
        if engine != "auto":
            raise SettingError(
                f"engine {engine} runs exported segmenters; make one with `segfield export {path}`, or leave --engine out"
            )
        return Segmenter.load(path, device)
    if device not in ("auto", "cpu"):
        raise SettingError(
            f"{path} is exported and runs on the CPU; leave --device out, or give the segmenter.safetensors it was made from"
        )
    return ExportedSegmenter.load(path, engine)


def export_segmenter(segmenter: Segmenter, path: str | Path) -> Path:
    """Write a segmenter as one ONNX file; its refiner goes along as settings, for segfield to run.

    Raises:
        SettingError: if the exporter is not installed, or the network cannot be exported.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SettingError(f"exporting needs the package {error.name}; pip install segfield[export]") from error
    taken = segmenter.network_bytes()._asdict()
    own = {"stride": segmenter.stride, "receptive_margin": segmenter.receptive_margin, "network_bytes": taken}
    metadata = {KEY: json.dumps({**segmenter.document(), **own}, default=list)}
    try:
        return export_onnx(_Scaled(segmenter), path, bands=segmenter.bands, metadata=metadata)
    except SegfieldError:
        raise
    except Exception as error:  # torch's exporter has no common kind
        raise SettingError(
            f"the network '{segmenter.spec.name}' cannot be exported ({_first_line(error)}); predict with its segmenter file "
            "itself, or train another network"
        ) from error


def quantise_segmenter(exported: str | Path, path: str | Path, images: Iterable[Floats]) -> Path:
    """Write an exported segmenter in 8-bit integers, see `inference.int8`.

    Args:
        exported: what `export_segmenter` wrote.
        path: the file to write.
        images: (C, H, W) each, as the segmenter will meet them.

    Raises:
        FileFormatError: as `ExportedSegmenter.load`.
        SettingError: if the packages are not there, or the network cannot be written so.
    """
    document = {**_document(Path(exported)), "precision": "int8"}
    try:
        return quantise_onnx(exported, path, images, {KEY: json.dumps(document)})
    except SegfieldError:
        raise
    except Exception as error:  # the tools raise errors of many kinds
        raise SettingError(
            f"the network cannot be written in 8-bit integers ({_first_line(error)}); export it as float32"
        ) from error


@dataclass(frozen=True)
class Agreement:
    """How an exported file and its segmenter compare on noise, the worst over several sizes.

    Attributes:
        labels: share of pixels with the same label, 0..1.
        difference: largest of the logits.
        sizes: (H, W) tried.
        engine: what ran the file.
    """

    labels: float
    difference: float
    sizes: tuple[tuple[int, int], ...]
    engine: str


def agreement(
    segmenter: Segmenter, exported: ExportedSegmenter, sizes: Sequence[tuple[int, int]] = ((128, 160), (97, 201))
) -> Agreement:
    """Compare the two on images of smoothed noise in the range the segmenter was scaled for.

    Raises:
        DataError, SettingError: if scores of the segmenter or of the exported file are NaN or infinite.
    """
    generator = torch.Generator().manual_seed(0)
    mean, std = (torch.tensor(values)[:, None, None] for values in (segmenter.scaling.mean, segmenter.scaling.std))
    same, largest = 1.0, 0.0
    for height, width in sizes:
        coarse = torch.randn(1, segmenter.bands, height // 8 + 1, width // 8 + 1, generator=generator)
        image = mean + std * nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        ours, theirs = finite(segmenter.window_logits)(image).cpu(), exported.window_logits(image)
        if not_finite(theirs):
            raise SettingError(
                f"the exported network gives NaN or infinity, run by {exported.engine}, where the segmenter gives numbers; "
                "predict with the segmenter file, and please report the network"
            )
        same = min(same, float((ours.argmax(dim=1) == theirs.argmax(dim=1)).float().mean()))
        largest = max(largest, float((ours - theirs).abs().max()))
    return Agreement(same, largest, tuple(sizes), exported.engine)


class _Scaled(nn.Module):
    """Input scaling and a copy of the classifier on the CPU, as one network of raw values."""

    mean: Tensor
    std: Tensor

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.classifier = copy.deepcopy(segmenter.classifier).to("cpu")
        for name in ("mean", "std"):
            values = torch.tensor(getattr(segmenter.scaling, name)).view(-1, 1, 1)
            self.register_buffer(name, values)

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier((image - self.mean) / self.std)  # type: ignore[no-any-return]


def _first_line(error: Exception) -> str:
    """What an error of another library says, without its colours, as a part of a sentence."""
    told = re.sub("\x1b\\[[0-9;]*m", "", str(error)).strip().splitlines()
    return told[0][:200] if told else type(error).__name__


def _document(file: Path, weights: bool = False) -> dict[str, Any]:
    """What an exported file says of itself; where asked for, its weights are looked at too.

    Raises:
        FileFormatError: if it is missing, damaged, no exported segmenter, or a weight is NaN.
        SettingError: if the package onnx is not there.
    """
    if not file.is_file():
        raise FileFormatError(f"there is no file {file}; `segfield export RUN/segmenter.safetensors` writes one")
    try:
        import onnx
    except ImportError as error:
        raise SettingError("reading ONNX files needs the package onnx; pip install segfield[export]") from error
    try:
        model = onnx.load(str(file), load_external_data=False)
        kept = {entry.key: entry.value for entry in model.metadata_props}
        document = json.loads(kept[KEY]) if KEY in kept else None
    except Exception as error:  # protobuf's errors are its own
        raise FileFormatError(f"{file} is not a whole ONNX file; it was cut short or changed, copy it again") from error
    if not isinstance(document, dict):
        raise FileFormatError(
            f"{file} is an ONNX file but not an exported segmenter (it lacks segfield's description); "
            "`segfield export RUN/segmenter.safetensors` writes one"
        )
    if weights:
        floats = [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT]
        arrays = {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in floats}
        check_finite(arrays, str(file), NO_NUMBERS)
    return document
