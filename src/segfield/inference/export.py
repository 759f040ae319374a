"""A classifier as an ONNX file that takes images of any size: for onnxruntime, OpenVINO and what else reads it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch

from segfield.models.classifier import Classifier

OPSET = 18


def export_onnx(classifier: Classifier, path: str | Path, size: tuple[int, int] = (128, 160)) -> Path:
    """Write a classifier as ONNX: input `image` (B, C, H, W) float32, scaled as in training; output `logits` (B, K, H, W).

    Batch, height and width are free. Needs the packages onnx and onnxscript (`pip install segfield[export]`).

    Args:
        classifier: on the CPU; put in evaluation mode.
        path: the file to write.
        size: (H, W) of the image it is traced with; any size will do later.

    Returns:
        the file's path.
    """
    classifier.eval()
    image = torch.zeros(2, classifier.bands, *size)
    free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            classifier,
            (image,),
            Path(path),
            input_names=["image"],
            output_names=["logits"],
            dynamic_shapes={"image": free},
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
        )
    return Path(path)
