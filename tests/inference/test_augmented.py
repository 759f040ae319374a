"""Test-time augmentation: every view is undone exactly, and what is averaged is probabilities."""

import pytest
import torch
import torch.nn.functional as F

from segfield.errors import SettingError
from segfield.inference.augmented import augmented_probabilities
from tests.inference.networks import linear_network, pixelwise


def tiles(height=33, width=47, seed=0):
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(seed)) * 255


def test_an_equivariant_network_sees_no_difference_under_flips():
    x = tiles()
    assert torch.allclose(augmented_probabilities(pixelwise, x), torch.softmax(pixelwise(x), dim=1), atol=1e-6)


def test_flips_are_the_mean_of_four_views_undone():
    network, x = linear_network(), tiles()
    views = [torch.softmax(network(x.flip(axes)), dim=1).flip(axes) for axes in ([], [3], [2], [2, 3])]
    assert torch.allclose(augmented_probabilities(network, x), torch.stack(views).mean(dim=0), atol=1e-6)
    assert not torch.allclose(views[0], views[1], atol=1e-3)


def test_content_is_flipped_not_padding():
    """A network that pads inside must meet the same size in every view."""
    sizes = []

    def padding_network(x):
        height, width = x.shape[2:]
        sizes.append((height, width))
        padded = F.pad(x, (0, -width % 32, 0, -height % 32))
        assert (padded[..., :height, :width] == x).all()
        return pixelwise(padded)[..., :height, :width]

    x = tiles()
    got = augmented_probabilities(padding_network, x)
    assert sizes == [(33, 47)] * 4
    assert torch.allclose(got, torch.softmax(pixelwise(x), dim=1), atol=1e-6)


@pytest.mark.parametrize("scales", [(0.5, 1.0, 2.0), (0.75,), (1.3, 1.0)])
def test_scales_keep_a_smooth_image_and_sum_to_one(scales):
    ramp = torch.linspace(40, 215, 96).expand(1, 3, 64, 96).contiguous()
    got = augmented_probabilities(pixelwise, ramp, flips="none", scales=scales)
    assert got.shape == (1, 3, 64, 96)
    assert torch.allclose(got.sum(dim=1), torch.ones(1, 64, 96), atol=1e-5)
    assert (got - torch.softmax(pixelwise(ramp), dim=1)).abs().mean() < 0.02


def test_scaled_views_have_the_rounded_size_and_at_least_a_pixel():
    sizes = []

    def network(x):
        sizes.append(tuple(x.shape[2:]))
        return pixelwise(x)

    augmented_probabilities(network, tiles(1, 10), flips="none", scales=(0.25, 1.0, 1.5))
    assert sizes == [(1, 2), (1, 10), (2, 15)]


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (float("nan"),), (100.0,)])
def test_impossible_scales_are_refused(scales):
    with pytest.raises(SettingError, match=r"scales.*relative to the image"):
        augmented_probabilities(pixelwise, tiles(), scales=scales)
