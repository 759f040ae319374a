"""Every classic network against its published or derived counts and sizes: parameters, and how sizes fall through the layers.

Networks are built without memory for their weights (torch's meta device) where only counts and sizes are asked. The value is how
many of the checks are equal, the goal all of them.

    python benchmarks/parameters.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


def counts() -> Iterator[tuple[str, Any, Any]]:
    """(what, expected, found): parameters without fixed bilinear kernels."""
    for what, name, bands, classes, options, expected in (
        ("U-Net, 1 band, 2 classes", "unet", 1, 2, {}, 31_030_658),
        ("FCN-8s, 21 classes", "fcn8s", 3, 21, {}, 134_362_751),
        ("DeepLab-LargeFOV, 21 classes", "deeplab_largefov", 3, 21, {}, 20_505_429),
        ("DeepLab ASPP-L, 21 classes", "deeplab_aspp_l", 3, 21, {}, 37_877_652),
        ("dilated front end, 21 classes", "dilation_front_end", 3, 21, {}, 134_346_581),
        ("multi-scale network, 8 classes", "farabet", 3, 8, {}, 861_832),
        ("multi-scale network with a hidden layer, 8 classes", "farabet", 3, 8, {"hidden": 1000}, 1_632_688),
    ):
        yield f"{what}: parameters", expected, parameters(on_meta(name, bands, classes, **options))
    for what, name, classes, options, expected in (
        ("context Basic, 21 classes", "dilation8", 21, {"context": "basic"}, 28_392),
        ("context Large, 21 classes", "dilation8", 21, {"context": "large"}, 6_803_139),
        ("context of Dilation10, 19 classes", "dilation10", 19, {}, 29_792),
    ):
        network = on_meta(name, 3, classes, **options)
        yield f"{what}: parameters", expected, parameters(network.context)  # type: ignore[arg-type]
    for what, name, expected_millions, digits in (
        ("SegNet, 11 classes", "segnet", 29.41, 2),
        ("SegNet-Basic, 11 classes", "segnet_basic", 1.42, 2),
    ):
        yield f"{what}: million parameters", expected_millions, round(parameters(on_meta(name, 3, 11)) / 1e6, digits)
    yield from adversary_counts()


def adversary_counts() -> Iterator[tuple[str, Any, Any]]:
    """The adversaries at 63 maps, and what each sees of them."""
    from segfield.models.adversaries import build_adversary

    for name, expected, field in (
        ("largefov", 2_387_458, 34),
        ("largefov_light", 907_778, 34),
        ("smallfov", 1_609_090, 18),
        ("smallfov_light", 526_722, 18),
    ):
        adversary = build_adversary(name, 63, 3)
        yield f"adversary {name}, 63 maps: parameters", expected, parameters(adversary)
        yield f"adversary {name}: field of view", field, adversary.field_of_view


def sizes() -> Iterator[tuple[str, Any, Any]]:
    """(what, expected, found): heights and widths of outputs and of maps inside."""
    unet = on_meta("unet", 1, 2)
    yield "U-Net, 572² in", (388, 388), size(unet.valid_logits(image(1, 572, 572)))  # type: ignore[operator]
    largefov = on_meta("deeplab_largefov", 3, 21).train()
    yield "DeepLab-LargeFOV, 321² in, in training", (41, 41), size(largefov(image(3, 321, 321)).logits)
    front_end = on_meta("dilation_front_end", 3, 21)
    yield "dilated front end, 900² in", (66, 66), size(front_end.valid_logits(image(3, 900, 900)))  # type: ignore[operator]
    fcn = on_meta("fcn8s", 3, 21).eval()
    for height, width in ((1, 1), (375, 500), (333, 77)):
        yield f"FCN-8s, {height}×{width} in", (height, width), size(fcn(image(3, height, width)))
    farabet = on_meta("farabet", 3, 8).train()
    yield "multi-scale network, 240×320 in, in training", (60, 80), size(farabet(image(3, 240, 320)))
    yield from icnet_sizes()


def icnet_sizes() -> Iterator[tuple[str, Any, Any]]:
    """The cascade at 1025×2049, each resize (n − 1)·z + 1."""
    icnet = on_meta("icnet", 3, 19).train()
    seen: dict[str, tuple[int, int]] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            seen[name] = size(output)

        return hook

    for name in ("conv5", "fuse_half", "fuse_full"):
        icnet.get_submodule(name).register_forward_hook(watch(name))
    logits = size(icnet(image(3, 1025, 2049)).logits)
    yield "ICNet at 1025×2049: conv5", (33, 65), seen["conv5"]
    yield "ICNet at 1025×2049: first fusion", (65, 129), seen["fuse_half"]
    yield "ICNet at 1025×2049: second fusion", (129, 257), seen["fuse_full"]
    yield "ICNet at 1025×2049: classifier", (257, 513), logits
    yield "ICNet at 1025×2049: out", (1025, 2049), size(icnet.eval()(image(3, 1025, 2049)))


def values() -> Iterator[tuple[str, Any, Any]]:
    """(what, True, found): what must hold of numbers."""
    from segfield.crf.dense_crf import DenseCRF
    from segfield.models.context import ContextModule

    torch.manual_seed(0)
    context = ContextModule(5, 8, widths="basic", sigma=0.0)
    scores = torch.rand(1, 5, 20, 30)
    yield "context Basic with σ = 0 is the identity", True, bool(torch.equal(context(scores), scores))
    logits = torch.randn(5, 20, 30)
    unary = -torch.log_softmax(logits, dim=0)
    picture = (torch.rand(3, 20, 30) * 255).to(torch.uint8)
    refined = DenseCRF(bilateral_weight=0.0, gaussian_weight=0.0)(picture, unary=unary)
    near = torch.allclose(refined, torch.softmax(logits, dim=0), atol=1e-5)
    yield "dense CRF with weights 0 is the softmax", True, near


def on_meta(name: str, bands: int, classes: int, **options: Any) -> nn.Module:
    from segfield.models import build_classifier

    with torch.device("meta"):
        return build_classifier(name, bands, classes, options=options)


def image(bands: int, height: int, width: int) -> Tensor:
    return torch.zeros(1, bands, height, width, device="meta")


def size(x: Tensor) -> tuple[int, int]:
    return (x.shape[-2], x.shape[-1])


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the same checks; nothing is kept")
    options = parser.parse_args()
    from record import record

    rows = []
    for what, expected, found in (row for part in (counts, sizes, values) for row in part()):
        rows.append({"check": what, "expected": expected, "found": found, "equal": expected == found})
        print(f"{'=' if expected == found else '≠'}  {what}: {found} (expected {expected})", flush=True)
    from segfield.models import CLASSIFIERS

    at_21 = {name: parameters(on_meta(name, 3, 21)) for name in CLASSIFIERS}
    for name, count in at_21.items():
        print(f"   {name}: {count / 1e6:.2f} million parameters at 21 classes")
    equal = sum(row["equal"] for row in rows)
    record(
        "parameters", equal, f"of {len(rows)} checks equal", "published and derived counts and sizes", len(rows),
        equal == len(rows), {"checks": rows, "parameters at 21 classes": at_21}, quick=options.quick,
    )  # fmt: skip


if __name__ == "__main__":
    main()
