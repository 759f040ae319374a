"""What runs ONNX files: the same numbers by both engines, the choice among them, and what is said where one lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segfield.errors import SettingError
from segfield.inference import runtimes
from segfield.inference.export import export_onnx
from segfield.inference.runtimes import PACKAGES, open_runtime

pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(network(), tmp_path_factory.mktemp("runtimes") / "sum.onnx", bands=2)


class Convolution(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Conv2d(2, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.inner(image)  # type: ignore[no-any-return]


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return Convolution()


@pytest.mark.parametrize("engine", PACKAGES)
def test_any_size_and_batch_one_after_another(file: Path, engine: Any) -> None:
    pytest.importorskip(engine)
    name, run = open_runtime(file, engine)
    assert name == engine
    own, kept = network(), []
    for shape in ((1, 2, 8, 12), (2, 2, 9, 5), (1, 2, 8, 12)):
        image = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
        with torch.inference_mode():
            expected = own(image)
        found = run(image.numpy())
        np.testing.assert_allclose(found, expected.numpy(), atol=0.05)  # OpenVINO may take bfloat16
        kept.append((found, found.copy()))
    assert all((found == copied).all() for found, copied in kept)  # a later call leaves earlier results alone


def without(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    whole = importlib.util.find_spec
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None if name in absent else whole(name))


def test_the_quicker_one_that_is_there_is_taken(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    assert open_runtime(file)[0] == "openvino"
    without(monkeypatch, "openvino")
    assert open_runtime(file)[0] == "onnxruntime"


def test_what_lacks_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, *PACKAGES)
    with pytest.raises(SettingError, match=r"pip install segfield\[openvino\]"):
        open_runtime(file)
    with pytest.raises(SettingError, match=r"onnxruntime.*pip install segfield\[export\]"):
        open_runtime(file, "onnxruntime")
    with pytest.raises(SettingError, match="auto, openvino or onnxruntime"):
        open_runtime(file, "tensorrt")  # type: ignore[arg-type]
