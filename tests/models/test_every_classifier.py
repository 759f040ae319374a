"""What every classifier promises: any bands, classes and sizes; ONNX at any size; the same numbers when compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segfield.models import CLASSIFIERS, build_classifier
from segfield.models.classifier import Classifier, TrainingOutput
from tests.models.networks import TINY

every_classifier = pytest.mark.parametrize("name", sorted(CLASSIFIERS))
ONE_A_FAMILY = {
    *("deeplab_largefov", "deeplab_resnet101", "dilation7", "farabet", "fcn8s", "icnet", "segnet_basic", "unet_padded"),
}
"""One of each source file; its kin share its code, and are exported and compiled in `make test-all`."""
LONG_EXPORTS = {"deeplab_resnet101", "farabet", "fcn8s", "icnet"}
"""Of these, a quarter to half a minute in torch's exporter: compiled here, exported there."""
quick_exports = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ONE_A_FAMILY - LONG_EXPORTS | {"fcn32s"} else pytest.mark.thorough)
        for name in sorted(CLASSIFIERS)
    ],
)
one_a_family = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in ONE_A_FAMILY else pytest.mark.thorough) for name in sorted(CLASSIFIERS)],
)


def tiny(name: str, bands: int = 3, classes: int = 4) -> Classifier:
    torch.manual_seed(0)
    network = build_classifier(name, bands, classes, options=TINY[name])
    for parameter in network.parameters():  # score layers may start at zero, and zeros prove nothing
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def test_every_classifier_has_a_small_form() -> None:
    assert set(TINY) == set(CLASSIFIERS)


@every_classifier
@pytest.mark.parametrize(("bands", "classes", "size"), [(1, 2, (1, 1)), (5, 3, (45, 70)), (3, 4, (64, 33))])
def test_any_bands_classes_and_size(name: str, bands: int, classes: int, size: tuple[int, int]) -> None:
    network = tiny(name, bands, classes).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, bands, *size))
    assert logits.shape == (2, classes, *size)
    assert torch.isfinite(logits).all()


@every_classifier
def test_it_learns_a_batch(name: str) -> None:
    """Every parameter that is to be learned gets a gradient; coarser logits lie on the grid the labels are shrunk to."""
    network = tiny(name).train()
    output = network(torch.randn(2, 3, 65, 97))
    heads = [(1.0, output)] if not isinstance(output, TrainingOutput) else [(1.0, output.logits), *output.auxiliary]
    for _, logits in heads:
        assert logits.shape[:2] == (2, 4)
        assert tuple(logits.shape[2:]) in {(-(-65 // step), -(-97 // step)) for step in (1, 2, 4, 8, 16, 32)}
    sum((weight * logits.square().mean() for weight, logits in heads), torch.zeros(())).backward()
    lacking = [key for key, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not lacking


@quick_exports
def test_onnx_gives_the_same_at_two_sizes(name: str, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from segfield.inference.export import export_onnx

    network = tiny(name)
    session = ort.InferenceSession(str(export_onnx(network, tmp_path / "network.onnx", (64, 96))))
    for size in ((64, 96), (45, 135)):
        image = torch.randn(1, 3, *size)
        with torch.inference_mode():
            expected = network(image)
        given = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@one_a_family
def test_compiled_whole_it_gives_the_same(name: str) -> None:
    """One graph without breaks, whose operations are those of the plain network: the numbers are equal but for the last digit."""
    network = tiny(name).eval()
    torch.compiler.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    image = torch.randn(1, 3, 48, 70)
    with torch.inference_mode():
        expected = network(image)
        tolerance = 1e-6 * max(1.0, float(expected.abs().max()))  # bilinear resizes are split up, and round otherwise
        torch.testing.assert_close(compiled(image), expected, rtol=1e-6, atol=tolerance)
