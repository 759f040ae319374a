"""The ONNX file: free batch and sizes, names, evaluation mode, and no second file beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segfield.inference.export import export_onnx
from segfield.models import build_classifier

ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def test_one_file_takes_any_batch_and_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_classifier("unet_padded", 2, 3, options={"width": 2, "levels": 2, "dropout": 0.5}).train()
    file = export_onnx(network, tmp_path / "network.onnx", size=(32, 48))
    assert list(tmp_path.iterdir()) == [file]
    session = ort.InferenceSession(str(file))
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["logits"]
    for shape in ((1, 2, 32, 48), (3, 2, 17, 65)):
        image = torch.randn(*shape)
        with torch.inference_mode():
            expected = network.eval()(image)
        given = session.run(None, {"image": image.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(given), expected, rtol=1e-4, atol=1e-4)
