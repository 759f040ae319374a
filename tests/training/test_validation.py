"""The quick validation against the full evaluation of the same segmenter on the same samples."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from segfield.data.formats import open_dataset
from segfield.inference.scoring import check_same_classes, evaluate_segmenter
from segfield.losses import build_loss
from segfield.models import build_classifier
from segfield.segmenter import ClassifierSpec, Scaling, Segmenter
from segfield.training.validation import validate


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    dataset = open_dataset("scenes:count=10,size=32x48")
    options = {"width": 4, "levels": 2}
    classifier = build_classifier("unet_padded", 3, len(dataset.classes), options=options)
    spec = ClassifierSpec("unet_padded", 3, len(dataset.classes), options)
    return Segmenter(classifier, spec, dataset.classes, Scaling((100.0,) * 3, (60.0,) * 3))


def test_it_scores_as_the_evaluation_does(segmenter: Segmenter) -> None:
    dataset = open_dataset("scenes:count=10,size=32x48").split("train")
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    quick = validate(segmenter, dataset, build_loss("cross_entropy", dataset.classes), fabric)
    full, gallery = evaluate_segmenter(segmenter, dataset, worst=2)
    assert quick.miou == pytest.approx(full.scores.mean_iou, abs=1e-9)
    assert quick.pixel_accuracy == pytest.approx(full.scores.pixel_accuracy, abs=1e-9)
    losses = []
    for sample in dataset:
        logits = segmenter.window_logits(torch.from_numpy(sample.image)[None].float())
        truth = torch.from_numpy(sample.labels.astype(np.int64))[None]
        losses.append(float(torch.nn.functional.cross_entropy(logits, truth, ignore_index=255)))
    assert quick.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert [entry[0] for entry in gallery] == full.worst(2)


def test_the_gallery_shows_what_was_scored(segmenter: Segmenter) -> None:
    dataset = open_dataset("scenes:count=10,size=32x48").split("val")
    _, gallery = evaluate_segmenter(segmenter, dataset, worst=1, boundaries=False, calibration=False)
    name, image, labels, predicted = gallery[0]
    sample = dataset[list(dataset.names).index(name)]
    assert np.array_equal(image, sample.image)
    assert np.array_equal(labels, sample.labels)
    assert np.array_equal(predicted, segmenter(sample.image).labels)


def test_other_classes_are_refused(segmenter: Segmenter) -> None:
    from segfield.classes import ClassTable
    from segfield.errors import DataError

    class Other:
        classes = ClassTable(tuple(f"c{i}" for i in range(len(segmenter.classes))))

    with pytest.raises(DataError, match="name their classes differently"):
        check_same_classes(segmenter, Other())  # type: ignore[arg-type]
    Other.classes = ClassTable(("a", "b"))
    with pytest.raises(DataError, match="the data set has 2"):
        check_same_classes(segmenter, Other())  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["weights", "answers"])
def test_what_is_no_number_is_told(segmenter: Segmenter, where: str) -> None:
    """NaN weights, and weights that are numbers whose sums are none."""
    dataset = open_dataset("scenes:count=10,size=32x48").split("val")
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    loss = build_loss("cross_entropy", dataset.classes)
    assert validate(segmenter, dataset, loss, fabric).finite
    spoilt = copy.deepcopy(segmenter)
    for parameter in spoilt.classifier.parameters():
        parameter.data.fill_(float("nan") if where == "weights" else 3e38)
    found = validate(spoilt, dataset, loss, fabric)
    assert not found.finite and np.isnan(found.miou)
