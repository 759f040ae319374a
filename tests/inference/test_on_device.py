"""Where the network computes on a GPU, the CRF does as well: it is given tensors, which never were arrays before.

Here the processor is taken for a GPU (`refiner._GPUS`), so that the same road is gone without one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segfield.crf import refiner as module
from segfield.crf.dense_crf import DenseCRF
from segfield.crf.edge_aware import GuidedFilter
from segfield.crf.refiner import refined, works_on
from segfield.errors import SettingError
from segfield.evaluation.evaluator import Evaluator
from segfield.inference import image as image_module
from segfield.inference.image import predict_image
from segfield.inference.refining import refine_segmentation
from segfield.inference.scoring import evaluate_segmenter
from segfield.segmentation import Segmentation
from tests.inference.networks import THREE, FakeSegmenter, pixelwise
from tests.inference.test_refining import Labelled

IMAGE = np.random.default_rng(0).integers(0, 256, (3, 70, 90), dtype=np.uint8)
CRF = DenseCRF(bilateral_sxy=20, bilateral_srgb=30, iterations=3)


class Watched:
    """A dense CRF that notes what it is given, and which score maps had left the device before."""

    takes_tensors = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given: list[Any] = []
        self.left: list[tuple[int, ...]] = []
        for name in ("cpu", "numpy", "tolist"):
            self._watch(monkeypatch, name, getattr(torch.Tensor, name))

    def _watch(self, monkeypatch: pytest.MonkeyPatch, name: str, real: Any) -> None:
        def watched(tensor: torch.Tensor, *options: Any) -> Any:
            if tensor.ndim >= 3 and not self.given:
                self.left.append(tuple(tensor.shape))
            return real(tensor, *options)

        monkeypatch.setattr(torch.Tensor, name, watched)

    def __call__(self, image: Any, *, probabilities: Any) -> Any:
        self.given.append((image, probabilities))
        return CRF(image, probabilities=probabilities)

    def as_dict(self) -> dict[str, Any]:
        return CRF.as_dict()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GPUS", ("cpu",))


def on_arrays(**options: Any) -> Segmentation:
    return predict_image(FakeSegmenter(pixelwise, refiner=CRF), IMAGE, tile=64, **options)


def test_where_it_works() -> None:
    cuda, cpu, apple = (torch.device(name) for name in ("cuda:1", "cpu", "mps"))
    assert works_on(CRF, cuda) and not works_on(CRF, cpu) and not works_on(CRF, apple) and not works_on(CRF, None)
    assert not works_on(GuidedFilter(), cuda)


def test_prediction_hands_tensors_to_the_crf(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setattr(module, "_GPUS", ())
        expected = on_arrays(keep_probabilities=True, keep_entropy=True)
    watched = Watched(monkeypatch)
    found = predict_image(
        FakeSegmenter(pixelwise, refiner=watched), IMAGE, tile=64, keep_probabilities=True, keep_entropy=True, name="a"
    )
    ((image, probabilities),) = watched.given
    assert isinstance(probabilities, torch.Tensor) and probabilities.dtype == torch.float32
    assert isinstance(image, torch.Tensor) and image.dtype == torch.uint8
    assert watched.left == []
    assert found.name == "a" and found.labels.dtype == np.uint8
    assert isinstance(found.probabilities, np.ndarray) and found.probabilities.dtype == np.float16
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.entropy, expected.entropy)


def test_evaluation_hands_tensors_to_the_crf(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    data: Any = Labelled()
    with monkeypatch.context() as without:
        without.setattr(module, "_GPUS", ())
        expected, _ = evaluate_segmenter(FakeSegmenter(pixelwise, refiner=CRF), data)
    watched, alone = Watched(monkeypatch), Evaluator(THREE)
    found, _ = evaluate_segmenter(FakeSegmenter(pixelwise, refiner=watched), data, unrefined=alone)
    assert watched.left == [] and all(isinstance(given, torch.Tensor) for given in watched.given[0])
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    assert alone.result().images == ("0", "1")


def test_labels_of_a_file_are_refined_on_the_device_asked_for(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = predict_image(FakeSegmenter(pixelwise), IMAGE, tile=64, keep_probabilities=True)
    watched = Watched(monkeypatch)
    found = refine_segmentation(given, IMAGE, watched, device=torch.device("cpu"))
    assert isinstance(watched.given[0][1], torch.Tensor)
    np.testing.assert_array_equal(found.labels, refine_segmentation(given, IMAGE, CRF).labels)


def test_other_refiners_are_given_arrays(gpu: None) -> None:
    seen: list[Any] = []

    class Plain:
        def __call__(self, image: Any, *, probabilities: Any) -> Any:
            seen.extend([image, probabilities])
            return probabilities

        def as_dict(self) -> dict[str, Any]:
            return {"name": "plain"}

    found = refined(Plain(), IMAGE, torch.full((3, 70, 90), 1 / 3, dtype=torch.float16))
    assert all(isinstance(value, np.ndarray) for value in [*seen, found]) and found.dtype == np.float32


def test_a_device_without_room_leaves_it_to_the_processor(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    given = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(3), (70, 90)).transpose(2, 0, 1).copy())
    monkeypatch.setattr(module, "_refined_on_device", lambda *parts: exec_out_of_memory())
    with pytest.warns(UserWarning, match="memory of cpu"):
        found = refined(CRF, IMAGE, given)
    np.testing.assert_array_equal(found, CRF(IMAGE, probabilities=given.float().numpy()))


def exec_out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_scores_that_would_fill_the_device_are_kept_in_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    place = image_module._place_for
    shape, device = (3, 10, 10), torch.device("meta")  # a device that has no bytes, and cannot be copied from
    monkeypatch.setattr(image_module, "available_bytes", lambda asked: 8 * 300 + 1 if asked == device else None)
    room = place(shape, device, "on_device")
    assert room is not None and room.device == device and room.dtype == torch.float16
    for kept, free in ((True, 8 * 300 + 1), ("on_device", 8 * 300), ("on_device", None)):
        monkeypatch.setattr(image_module, "available_bytes", lambda asked, free=free: free)
        room = place(shape, device, kept)
        assert room is not None and room.device.type == "cpu"
    assert place(shape, device, False) is None


def test_a_refiner_that_gives_no_tensor_of_the_device_is_told(gpu: None) -> None:
    class Wrong(Watched):
        def __init__(self) -> None:
            self.given = []

        def __call__(self, image: Any, *, probabilities: Any) -> Any:
            return probabilities[:2]

    with pytest.raises(SettingError, match="Wrong"):
        refined(Wrong(), IMAGE, torch.full((3, 70, 90), 1 / 3))
