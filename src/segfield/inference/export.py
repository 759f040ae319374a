"""A classifier as an ONNX file that takes images of any size: for onnxruntime, OpenVINO and what else reads it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from segfield.data.files import replacing
from segfield.inference.adaptive_pooling import pooling_translations
from segfield.inference.same_padding import same_as_operators, translations

OPSET = 18


def export_onnx(
    classifier: nn.Module,
    path: str | Path,
    size: tuple[int, int] = (128, 160),
    *,
    bands: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a classifier as ONNX: input `image` (B, C, H, W) float32, scaled as in training; output `logits` (B, K, H, W).

    Batch, height and width are free. Needs the packages onnx and onnxscript (`pip install segfield[export]`). `segfield export`
    writes a whole segmenter, which does its own scaling: `segfield.exported`.

    Args:
        classifier: on the CPU; put in evaluation mode.
        path: the file to write, all at once.
        size: (H, W) of the image it is traced with; any size will do later.
        bands: C; the classifier's `bands` by default.
        metadata: texts to keep in the file, by name.

    Returns:
        the file's path.

    Raises:
        Exception: what torch's exporter raises, if an operation of the network has no counterpart.
    """
    classifier.eval()
    image = torch.zeros(2, int(bands or classifier.bands), *size)  # type: ignore[arg-type]
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    simple = same_as_operators(classifier)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad(), simple:
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            classifier,
            (image,),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"image": free},
            dynamo=True,
            opset_version=OPSET,
            custom_translation_table=translations() | pooling_translations(),
        )
        if program is None:
            raise RuntimeError("torch.onnx.export gave no program")
        program.model.metadata_props.update(metadata or {})
        with replacing(path) as file:
            program.save(file, external_data=False)
    return Path(path)
