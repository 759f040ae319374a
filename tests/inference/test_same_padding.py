"""'same' convolutions in an export: as timm computes them at any size, and the network is as it was afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from segfield.inference.export import export_onnx
from segfield.inference.same_padding import same_as_operators, same_convolution
from segfield.inference.signal_stack import signal_stack_kept

SIZES = ((33, 70), (64, 48), (35, 37))


class Layers(nn.Module):
    """One of each kind: strides, kernels of even length, dilation, groups, no bias."""

    bands = 3

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Conv2dSame(3, 6, 3, stride=2),
            Conv2dSame(6, 6, 5, stride=(2, 1), groups=6, bias=False),
            Conv2dSame(6, 6, 3, dilation=4),
            Conv2dSame(6, 6, 2),
            Conv2dSame(6, 4, 3, stride=3, groups=2),
            Conv2dSame(4, 5, 1, stride=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.layers(image)
        return found


@pytest.fixture
def network() -> Layers:
    torch.manual_seed(0)
    return Layers().eval()


def test_the_operator_is_the_convolution() -> None:
    torch.manual_seed(0)
    image, weight = torch.randn(2, 4, 9, 11), torch.randn(6, 2, 3, 3)
    torch.library.opcheck(
        same_convolution, (image, weight, None, [2, 3], 2), test_utils=("test_schema", "test_faketensor")
    )
    assert same_convolution(image, weight, None, [2, 3], 2).shape == (2, 6, 5, 4)


@pytest.mark.parametrize("size", SIZES)
def test_values_are_as_before_and_the_network_too(network: Layers, size: tuple[int, int]) -> None:
    image, kept = torch.randn(2, 3, *size), object()
    expected = network(image)
    with same_as_operators(network):
        torch.testing.assert_close(network(image), expected)
        assert all("forward" in vars(layer) for layer in network.layers)
    assert not any("forward" in vars(layer) for layer in network.layers)
    network.layers[0].forward = kept  # type: ignore[assignment]
    with same_as_operators(network):
        assert network.layers[0].forward is not kept
    assert network.layers[0].forward is kept


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_compute_the_same(network: Layers, engine: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    runner = pytest.importorskip(engine)
    file = export_onnx(network, tmp_path / "network.onnx", size=(40, 56))
    for size in SIZES:
        image = torch.randn(2, 3, *size)
        if engine == "openvino":  # in float32, where `open_runtime` leaves the precision to it
            core = runner.Core()
            with signal_stack_kept():
                compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
                found = compiled(image.numpy())[0]
        else:
            found = runner.InferenceSession(file).run(None, {"image": image.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(found), network(image).detach(), rtol=1e-4, atol=1e-5)
