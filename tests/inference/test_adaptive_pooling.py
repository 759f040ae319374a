"""Adaptive average pooling in an exported file, at sizes other than that which was traced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfield.inference.export import export_onnx


class Pyramid(nn.Module):
    """Pools to one, three and 2×6 bins, and resizes by area."""

    bands = 3

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(bins) for bins in (1, 3, (2, 6)))

    def forward(self, image: Tensor) -> Tensor:
        levels = [pool(image) for pool in self.pools]
        levels.append(F.interpolate(image, size=(4, 5), mode="area"))
        return torch.cat([F.interpolate(level, size=image.shape[2:], mode="bilinear") for level in levels], dim=1)


def test_windows_follow_the_size(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    network = Pyramid().eval()
    session = runtime.InferenceSession(str(export_onnx(network, tmp_path / "network.onnx", size=(12, 24))))
    for size in ((12, 24), (1, 1), (7, 33), (61, 40)):
        image = torch.randn(2, 3, *size)
        found = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        torch.testing.assert_close(found, network(image), rtol=1e-4, atol=1e-5)
