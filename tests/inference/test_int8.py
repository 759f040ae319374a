"""A network in 8-bit integers: nearly the same numbers by both engines, a smaller file, the given metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segfield.inference.export import export_onnx
from segfield.inference.int8 import first_convolutions, quantise_onnx
from segfield.inference.runtimes import PACKAGES, open_runtime

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(64, 64, 3, padding=1), torch.nn.ReLU(),
            torch.nn.Conv2d(64, 5, 1),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.layers(image)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("int8")
    whole = export_onnx(Network(), folder / "whole.onnx", bands=3, metadata={"a": "of before"})
    return whole, quantise_onnx(whole, folder / "int8.onnx", map(image, range(4)), {"b": "said"})


def image(seed: int, size: tuple[int, int] = (24, 40)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, *size)).astype(np.float32)


@pytest.mark.parametrize("engine", PACKAGES)
def test_numbers_are_nearly_the_same_for_any_size_and_batch(files: tuple[Path, Path], engine: Any) -> None:
    pytest.importorskip(engine)
    before, after = open_runtime(files[0], engine)[1], open_runtime(files[1], engine)[1]
    for size in ((24, 40), (17, 33)):
        given = np.stack([image(10, size), image(11, size)])
        expected, found = before(given).copy(), after(given)
        assert found.dtype == np.float32 and found.shape == expected.shape
        error = np.abs(found - expected).mean() / np.abs(expected).mean()
        assert 1e-4 < error < 0.1  # and it is not the old network


def test_the_file_is_smaller_and_says_what_it_was_given(files: tuple[Path, Path]) -> None:
    assert files[1].stat().st_size < 0.45 * files[0].stat().st_size
    model = onnx.load(files[1])
    assert {entry.key: entry.value for entry in model.metadata_props} == {"b": "said"}
    kinds = {entry.op_type for entry in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds


def test_the_convolutions_that_read_the_image_stay_as_they_are(files: tuple[Path, Path]) -> None:
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [node("Conv", ["image", "w"], ["fine"], name="fine"), node("Resize", ["image"], ["small"]),
         node("Conv", ["small", "w"], ["coarse"], name="coarse"), node("Relu", ["coarse"], ["rectified"]),
         node("Conv", ["rectified", "w"], ["later"], name="later"), node("Add", ["fine", "later"], ["sum"]),
         node("Conv", ["sum", "w"], ["last"], name="last")],
        "two branches", [], [],
    )  # fmt: skip
    assert first_convolutions(graph) == ["fine", "coarse"]
    model = onnx.load(files[1])
    made = {output for entry in model.graph.node for output in entry.output}
    weights = [entry.input[1] for entry in model.graph.node if entry.op_type == "Conv"]
    assert [weight in made for weight in weights] == [False, True, True]  # as it was, or by DequantizeLinear


def test_integers_are_run_by_onnxruntime_unless_asked_otherwise(files: tuple[Path, Path]) -> None:
    pytest.importorskip("openvino")
    assert open_runtime(files[1], integers=True)[0] == "onnxruntime"
    assert open_runtime(files[1], "openvino", integers=True)[0] == "openvino"
