"""The quick validation during training: pooled mIoU, pixel accuracy and loss, with integer counts summed over processes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric

from segfield.crf.refiner import refined
from segfield.data.dataset import Dataset
from segfield.evaluation.confusion import ConfusionMatrix
from segfield.evaluation.scores import scores_from_confusion
from segfield.inference.image import predict_image
from segfield.losses import CombinedLoss
from segfield.segmenter import Segmenter


@dataclass(frozen=True)
class Validation:
    """Scores over the validation samples; fractions of 1.

    `finite` tells whether the network, its answers and the loss are finite numbers: NaN and infinity would count as class 0.
    """

    miou: float
    pixel_accuracy: float
    loss: float
    finite: bool = True


@torch.inference_mode()
def validate(segmenter: Segmenter, dataset: Dataset, loss: CombinedLoss, fabric: Fabric) -> Validation:
    """Predict whole images and count. Each process takes every world-th sample; none is padded or counted twice.

    With a refiner, scores and loss are of what it makes of the network's probabilities. Images larger than 2048 on a side
    are predicted by tiles and have no loss.
    """
    classifier = segmenter.classifier
    classifier.eval()
    matrix = ConfusionMatrix(len(segmenter.classes), segmenter.classes.ignored_id)
    total, images = 0.0, 0
    finite = all(bool(torch.isfinite(value).all()) for value in classifier.state_dict().values())
    for index in range(fabric.global_rank, len(dataset) if finite else 0, fabric.world_size):
        sample = dataset[index]
        if sample.labels is None:
            continue
        if max(sample.image.shape[1:]) > 2048:
            matrix.update(sample.labels, predict_image(segmenter, sample.image).labels)
            continue
        image = torch.from_numpy(np.ascontiguousarray(sample.image)).to(fabric.device)[None].float()
        with fabric.autocast():
            logits = classifier(segmenter.scaling(image).contiguous(memory_format=torch.channels_last)).float()
        if not bool(torch.isfinite(logits).all()):
            finite = False
            break
        if segmenter.refiner is not None:
            found = refined(segmenter.refiner, sample.image, logits.softmax(dim=1)[0])
            logits = torch.as_tensor(found).to(logits.device)[None].clamp(min=1e-6).log()
        predicted = logits.argmax(dim=1)[0].to(torch.int32).cpu().numpy().astype(sample.labels.dtype)
        matrix.update(sample.labels, predicted)
        labels = torch.from_numpy(np.ascontiguousarray(sample.labels)).to(fabric.device)[None]
        total += float(sum(term for term in loss(logits, labels).values()))
        images += 1
    counts = torch.from_numpy(matrix.counts).to(fabric.device)
    finite = finite and math.isfinite(total)
    dtype = torch.float64 if fabric.device.type != "mps" else torch.float32
    sums = torch.tensor([total, float(images), float(not finite)], dtype=dtype)
    if fabric.world_size > 1:
        counts = fabric.all_reduce(counts, reduce_op="sum")
        sums = fabric.all_reduce(sums.to(fabric.device), reduce_op="sum")
    if sums[2] > 0:
        return Validation(float("nan"), float("nan"), float("nan"), finite=False)
    scores = scores_from_confusion(counts.cpu().numpy(), segmenter.classes.names)
    mean_loss = float(sums[0] / sums[1]) if sums[1] > 0 else float("nan")
    return Validation(scores.mean_iou, scores.pixel_accuracy, mean_loss)
