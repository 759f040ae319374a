"""Refinement inside prediction: everything that comes out is of the refined probabilities."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from segfield.crf.dense_crf import DenseCRF
from segfield.crf.edge_aware import GuidedFilter
from segfield.crf.memory import crf_bytes
from segfield.data.dataset import Sample
from segfield.data.value_range import ValueRange
from segfield.errors import DataError, SettingError
from segfield.evaluation.evaluator import Evaluator
from segfield.inference.image import plan_for, predict_image
from segfield.inference.memory import NetworkBytes, peak_bytes, refinement_bytes
from segfield.inference.refining import refine_segmentation
from segfield.inference.scoring import evaluate_segmenter
from segfield.segmentation import Segmentation, normalised_entropy
from tests.inference.networks import THREE, Confident, FakeSegmenter, pixelwise

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 90, 130), dtype=np.uint8)


def test_all_outputs_are_of_the_refined_result():
    refiner = Confident(favoured=1, above=150)
    got = predict_image(
        FakeSegmenter(pixelwise, refiner=refiner), IMAGE, tile=64, keep_probabilities=True, keep_entropy=True, name="a"
    )
    bright = IMAGE.mean(axis=0) > 150
    assert bright.any() and (got.labels[bright] == 1).all() and (got.entropy[bright] == 0).all()
    assert got.labels.dtype == np.uint8 and got.name == "a"
    assert got.probabilities.dtype == np.float16 and (got.probabilities.argmax(axis=0) == got.labels).all()
    assert np.abs(got.entropy - normalised_entropy(got.probabilities)).max() < 5e-3
    plain = predict_image(FakeSegmenter(pixelwise), IMAGE, tile=64)
    assert (plain.labels[~bright] == got.labels[~bright]).all()


def test_the_refiner_sees_the_whole_image_in_its_own_units_once():
    refiner = Confident()
    predict_image(FakeSegmenter(pixelwise, refiner=refiner), IMAGE, tile=64)
    ((image, probabilities),) = refiner.calls
    assert image.dtype == np.uint8 and (image == IMAGE).all()
    assert probabilities.dtype == np.float32 and probabilities.shape == (3, 90, 130)
    expected = predict_image(FakeSegmenter(pixelwise), IMAGE, tile=64, keep_probabilities=True).probabilities
    assert (probabilities == expected).all()


def test_a_grey_image_is_given_as_its_one_band():
    refiner = Confident()
    predict_image(FakeSegmenter(pixelwise, refiner=refiner), IMAGE[:1], tile=64)
    assert refiner.calls[0][0].shape == (1, 90, 130)


def test_the_choice_decides():
    own, other = Confident(), Confident()
    segmenter = FakeSegmenter(pixelwise, refiner=own)
    for refine in ("off", None):
        assert predict_image(segmenter, IMAGE, refine=refine).probabilities is None
    assert not own.calls
    predict_image(segmenter, IMAGE, refine=other)
    assert len(other.calls) == 1 and not own.calls
    predict_image(segmenter, IMAGE, refine="on")
    assert len(own.calls) == 1
    with pytest.raises(SettingError, match=r"refiner 'bon'.*mean on"):
        predict_image(segmenter, IMAGE, refine="bon")


def test_nothing_is_kept_that_was_not_asked_for():
    got = predict_image(FakeSegmenter(pixelwise, refiner=Confident()), IMAGE)
    assert got.probabilities is None and got.kept_entropy is None


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_refinement_that_does_not_fit_names_the_way_out(error):
    def failing(image, *, probabilities):
        raise error

    refiner = Confident()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Confident, "__call__", lambda self, image, *, probabilities: failing(image, probabilities=None))
        with pytest.raises(SettingError, match=r"'big' \(90×130, 3 classes\).*give --refine off"):
            predict_image(FakeSegmenter(pixelwise, refiner=refiner), IMAGE, name="big")


def test_what_a_refiner_cannot_take_names_the_image():
    bands = np.zeros((5, 20, 20), np.uint8)
    with pytest.raises(DataError, match=r"'field'.*guided_filter.*3 bands"):
        predict_image(FakeSegmenter(pixelwise, bands=5, refiner=GuidedFilter()), bands, name="field")


def test_a_segmentation_without_probabilities_cannot_be_refined():
    with pytest.raises(SettingError, match="keep_probabilities=True"):
        refine_segmentation(Segmentation(np.zeros((2, 2), np.uint8), THREE), np.zeros((3, 2, 2)), Confident())


def test_memory_counts_what_a_refiner_holds():
    plan = plan_for(FakeSegmenter(pixelwise), 1000, 1500, 512)
    network = NetworkBytes(100.0)
    without, refining = (peak_bytes(plan, 21, network, refining=taken) for taken in (0, 12345))
    assert refining.result - without.result == 2 * 21 * 1000 * 1500
    assert without.refining == 0 and refining.refining == 12345
    assert refining.total == refining.result + max(refining.on_device, refining.refining)


def test_each_refiner_is_announced():
    image = np.random.default_rng(0).integers(0, 256, (3, 60, 80), dtype=np.uint8)
    crf, given = DenseCRF(), 4 * 5 * 60 * 80
    assert refinement_bytes(None, image, 5) == 0
    assert refinement_bytes(crf, image, 5) == given + crf_bytes(crf, image, 5)
    assert refinement_bytes(GuidedFilter(), image, 5) > 2 * given
    assert refinement_bytes(GuidedFilter(), image, 5, "cuda") == refinement_bytes(GuidedFilter(), image, 5)
    assert refinement_bytes(crf, image, 5, "cuda") > 2 * given


class Labelled:
    """Two samples whose truth is class 1 where bright."""

    classes = THREE
    split_name = "val"

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image = np.full((3, 20, 30), (100, 250)[index], np.uint8)
        image[:, :10] = 250
        return Sample(str(index), image, (image[0] > 200).astype(np.uint8))


def test_evaluation_scores_the_refined_and_counts_the_unrefined():
    segmenter = FakeSegmenter(pixelwise, refiner=Confident())
    unrefined = Evaluator(segmenter.classes)
    evaluation, gallery = evaluate_segmenter(segmenter, Labelled(), unrefined=unrefined, worst=1)
    alone, _ = evaluate_segmenter(segmenter, Labelled(), refine="off", worst=0)
    assert (unrefined.result().confusion == alone.confusion).all()
    assert evaluation.confusion[1].tolist() == [0, 900, 0] and alone.confusion[1].tolist() == [0, 0, 900]
    assert (gallery[0][3][:10] == 1).all()
    assert evaluation.calibration is not None and evaluation.calibration.pixels == 1200


def test_without_a_refiner_nothing_is_counted_twice():
    segmenter = FakeSegmenter(pixelwise)
    unrefined = Evaluator(segmenter.classes)
    evaluate_segmenter(segmenter, Labelled(), unrefined=unrefined)
    with pytest.raises(DataError):
        unrefined.result()


def test_a_crf_takes_the_white_trained_on_not_that_of_a_dim_image():
    """12 bits in 16-bit files are refined as their byte twins, however dark the one image is."""
    random = np.random.default_rng(2)
    coarse = random.uniform(0, 60, (1, 4, 5)).repeat(3, 0).repeat(10, 1).repeat(10, 2)
    eight = np.clip(coarse + random.normal(0, 5, coarse.shape), 0, 60).astype(np.uint8)
    twelve, crf = eight.astype(np.uint16) * 16, DenseCRF(bilateral_srgb=10)

    def labels(image, brighter, values, refine):
        segmenter = FakeSegmenter(lambda tiles: pixelwise(tiles * brighter), values=values)
        return predict_image(segmenter, segmenter.in_own_units(image), refine=refine).labels

    expected = labels(eight, 4, ValueRange("uint8", 255.0), crf)
    assert (expected != labels(eight, 4, None, "off")).mean() > 0.02
    sixteenth = ValueRange("uint16", 4080.0)
    assert (labels(twelve, 0.25, sixteenth, crf) == expected).mean() > 0.999
    nearly_black = dataclasses.replace(crf, image_range=65535.0)  # what it was taken for
    assert (labels(twelve, 0.25, sixteenth, nearly_black) != expected).mean() > 0.02
