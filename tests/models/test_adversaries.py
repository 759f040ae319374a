"""Adversaries: the published parameter counts, and the fields of view that gradients show."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segfield.errors import SettingError
from segfield.models.adversaries import ADVERSARIES, LAYERS, Adversary, ConvolutionalAdversary, build_adversary
from segfield.training.recipe_limits import CHOICES

PUBLISHED = {"largefov": 2_387_458, "largefov_light": 907_778, "smallfov": 1_609_090, "smallfov_light": 526_722}


def test_the_recipe_names_each() -> None:
    assert CHOICES["adversary"] == ("none", *ADVERSARIES)


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameters_at_63_maps(name: str, count: int) -> None:
    assert sum(parameter.numel() for parameter in build_adversary(name, 63, 3).parameters()) == count


def seen(adversary: Adversary, side: int) -> tuple[int, int]:
    """Rows and columns of the input that the middle decision's gradient reaches."""
    for module in adversary.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.01)
            nn.init.zeros_(module.bias)
    if isinstance(adversary, ConvolutionalAdversary):
        last = [module for module in adversary.modules() if isinstance(module, nn.Conv2d)][-1]
        with torch.no_grad():
            last.weight[0] = 0  # the difference of equal logits has no gradient
    maps = torch.ones(1, 2, side, side, dtype=torch.float64, requires_grad=True)
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    decisions = adversary.double()(maps, image if adversary.wants_image else None)
    height, width = decisions.shape[2:]
    decisions[0, 0, height // 2, width // 2].backward()
    gradient = (maps.grad if not adversary.wants_image else image.grad)[0].abs().sum(0)
    rows, columns = (torch.nonzero(gradient.sum(dim=axis))[:, 0] for axis in (1, 0))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def averaging(adversary: Adversary) -> Adversary:
    """Pools that average, so that every pixel of a window shows."""
    for parent in adversary.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(2))
    return adversary


@pytest.mark.parametrize(
    ("name", "field"),
    [("largefov", 34), ("largefov_light", 34), ("smallfov", 18), ("smallfov_light", 18), ("fully_convolutional", 94)],
)
def test_the_field_of_view_is_that_of_the_gradient(name: str, field: int) -> None:
    adversary = averaging(build_adversary(name, 2, 3))
    assert adversary.field_of_view == field
    assert seen(adversary, 64 if field < 40 else 192) == (field, field)


def test_the_two_branches_see_the_image() -> None:
    adversary = averaging(build_adversary("stanford", 2, 3))
    assert seen(adversary, 128) == (adversary.field_of_view,) * 2
    widths = [module.out_channels for module in adversary.modules() if isinstance(module, nn.Conv2d)]
    assert widths == [16, 64, 64, 128, 256, 512, 1]


@pytest.mark.parametrize("name", ADVERSARIES)
@pytest.mark.parametrize("normalise", [False, True])
def test_any_size_from_its_stride_on(name: str, normalise: bool) -> None:
    adversary = build_adversary(name, 5, 3, normalise)
    for height, width in ((adversary.stride, adversary.stride + 3), (37, 70)):
        if min(height, width) < adversary.stride:
            continue
        image = torch.rand(2, 3, height, width) if adversary.wants_image else None
        decisions = adversary(torch.rand(2, 5, height, width), image)
        assert decisions.shape[:2] == (2, 1) and min(decisions.shape[2:]) >= 1


def test_spectral_norm_bounds_each_convolution() -> None:
    adversary = build_adversary("smallfov_light", 5, 3, True)
    maps = torch.rand(1, 5, 16, 16)
    for _ in range(50):  # one iteration of the power method a call
        adversary(maps)
    for module in adversary.modules():
        if isinstance(module, nn.Conv2d):
            assert torch.linalg.matrix_norm(module.weight.detach().flatten(1), ord=2) == pytest.approx(1, abs=0.05)


def test_two_logits_are_a_softmax() -> None:
    """The answer is the logit of 'true' against 'predicted', as in a cross-entropy over two classes."""
    torch.manual_seed(0)
    adversary = build_adversary("smallfov_light", 5, 3)
    maps = torch.rand(1, 5, 16, 16)
    both = adversary.layers(maps)
    torch.testing.assert_close(adversary(maps).sigmoid()[:, 0], both.softmax(dim=1)[:, 1])


def test_what_is_misspelt() -> None:
    with pytest.raises(SettingError, match="largefov"):
        build_adversary("largefof", 5, 3)
    assert set(LAYERS) < set(ADVERSARIES)
